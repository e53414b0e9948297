/**
 * Measures duplicate detection on labelled pairs: `left<TAB>right<TAB>label`, records as `COL name VAL …` or as JSON.
 *
 *   node --conditions=source systems/associations/dev/dedupe-pairs.ts TRAIN VALID
 *
 * Nothing is fitted: the shipped weights and threshold are used on every file. As a cross-check TRAIN is also measured in five folds, with the
 * rarity of words taken from all records of the file, without labels. Every error is shown with its reasons.
 */
import { readFileSync } from "node:fs";
import { basename } from "node:path";
import type { RecordLike } from "../domain/matching/profiles.ts";
import { profilesOf } from "../domain/matching/profiles.ts";
import { DEFAULT_THRESHOLD, explainPair } from "../domain/matching/score.ts";

interface Pair {
  left: RecordLike;
  right: RecordLike;
  same: boolean;
}

/** The records of one line; quoting of the packaging is undone. */
export function readPairs(text: string): Pair[] {
  return text.split("\n").flatMap((line) => {
    const [left, right, label] = line.split("\t");
    if (left === undefined || right === undefined || label === undefined) return [];
    return [{ left: readRecord(left), right: readRecord(right), same: label.trim() === "1" }];
  });
}

function readRecord(text: string): RecordLike {
  if (text.trimStart().startsWith("{")) return JSON.parse(text) as RecordLike;
  const record: Record<string, string> = {};
  for (const part of text.split(/\bCOL /).slice(1)) {
    const [, field, value] = /^(\S+)\s+VAL\s?([\s\S]*)$/.exec(part.trim()) ?? [];
    if (field !== undefined) record[field] = tidy(value ?? "");
  }
  return record;
}

function tidy(value: string): string {
  const bare = value.trim();
  const quoted = /^(['"`])([\s\S]*?)\s*['"`]$/.exec(bare);
  return (quoted === null ? bare : (quoted[2] as string)).replaceAll(" .", ".").trim();
}

interface Counts {
  truePositives: number;
  falsePositives: number;
  falseNegatives: number;
}

function f1({ truePositives, falsePositives, falseNegatives }: Counts): number {
  return (2 * truePositives) / (2 * truePositives + falsePositives + falseNegatives);
}

function measure(name: string, pairs: readonly Pair[], shown: boolean): number {
  const profiles = profilesOf(pairs.flatMap(({ left, right }) => [left, right]));
  const counts: Counts = { truePositives: 0, falsePositives: 0, falseNegatives: 0 };
  const byFold = Array.from({ length: 5 }, () => ({ ...counts }));
  pairs.forEach(({ left, right, same }, at) => {
    const { score, evidence } = explainPair(profiles, 2 * at, 2 * at + 1);
    const found = score >= DEFAULT_THRESHOLD;
    const kind = found && same ? "truePositives" : found ? "falsePositives" : same ? "falseNegatives" : (null as never);
    if (kind !== null) for (const one of [counts, byFold[at % 5]!]) one[kind]++;
    if (found === same || !shown) return;
    say(`  ${found ? "not the same, but" : "the same, but"} ${score.toFixed(3)}: ${JSON.stringify(left)}`);
    say(`    ${JSON.stringify(right)}`);
    say(`    ${evidence.map((one) => `${one.field} ${one.likeness.toFixed(2)}·${one.weight.toFixed(2)}`).join("  ")}`);
  });
  const { truePositives, falsePositives, falseNegatives } = counts;
  say(
    `${name}: ${pairs.length} pairs, ${truePositives} found, ${falsePositives} wrong, ${falseNegatives} missed, F1 ${f1(counts).toFixed(4)}; in five folds ${byFold.map((fold) => f1(fold).toFixed(3)).join(" ")}`,
  );
  return f1(counts);
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

for (const path of process.argv.slice(2)) measure(basename(path), readPairs(readFileSync(path, "utf8")), true);
