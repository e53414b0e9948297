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
import type { Evidence } from "../domain/matching/score.ts";
import { DEFAULT_THRESHOLD, explainPair } from "../domain/matching/score.ts";

const FOLDS = 5;

export interface Pair {
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

export interface Counts {
  found: number;
  wrong: number;
  missed: number;
}

export interface Judged {
  all: Counts;
  /** Pair n counts in fold n modulo 5. */
  folds: Counts[];
  errors: { pair: Pair; score: number; evidence: Evidence[] }[];
}

export function f1({ found, wrong, missed }: Counts): number {
  return found === 0 ? 0 : (2 * found) / (2 * found + wrong + missed);
}

/** What the shipped weights and threshold make of labelled pairs. */
export function judge(pairs: readonly Pair[]): Judged {
  const profiles = profilesOf(pairs.flatMap(({ left, right }) => [left, right]));
  const none = (): Counts => ({ found: 0, wrong: 0, missed: 0 });
  const judged: Judged = { all: none(), folds: Array.from({ length: FOLDS }, none), errors: [] };
  for (const [at, pair] of pairs.entries()) {
    const { score, evidence } = explainPair(profiles, 2 * at, 2 * at + 1);
    const said = score >= DEFAULT_THRESHOLD;
    if (!said && !pair.same) continue;
    const kind = said && pair.same ? "found" : said ? "wrong" : "missed";
    for (const counts of [judged.all, judged.folds[at % FOLDS]!]) counts[kind]++;
    if (kind !== "found") judged.errors.push({ pair, score, evidence });
  }
  return judged;
}

function report(name: string, pairs: readonly Pair[]): void {
  const { all, folds, errors } = judge(pairs);
  for (const { pair, score, evidence } of errors) {
    say(`  ${pair.same ? "the same, but" : "not the same, but"} ${score.toFixed(3)}: ${JSON.stringify(pair.left)}`);
    say(`    ${JSON.stringify(pair.right)}`);
    say(`    ${evidence.map((one) => `${one.field} ${one.likeness.toFixed(2)}·${one.weight.toFixed(2)}`).join("  ")}`);
  }
  const mean = folds.reduce((sum, fold) => sum + f1(fold), 0) / FOLDS;
  say(
    `${name}: ${pairs.length} pairs, ${all.found} found, ${all.wrong} wrong, ${all.missed} missed, F1 ${f1(all).toFixed(4)}`,
  );
  say(`  five folds: ${folds.map((fold) => f1(fold).toFixed(3)).join(" ")}, mean ${mean.toFixed(4)}`);
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

if (import.meta.main) {
  for (const path of process.argv.slice(2)) report(basename(path), readPairs(readFileSync(path, "utf8")));
}
