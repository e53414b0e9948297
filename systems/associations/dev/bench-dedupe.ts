/**
 * Measures deduplication whole: JSONL file in, groups, merged JSONL file out; time, memory, and whether the right ones were found.
 *
 *   npm run bench:dedupe -w systems/associations -- 100000
 *
 * The records are made up and seeded, a fifth of them another writing of an earlier company. Memory is VmHWM of this process, the most it ever held.
 */
import { readFileSync } from "node:fs";
import { mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { writeJsonl } from "../adapters/files.ts";
import { fromFiles } from "../adapters/records.ts";
import type { MadeCompany } from "../fixtures/companies-at-scale.ts";
import { madeCompanies } from "../fixtures/companies-at-scale.ts";
import { holdMembers, searchDuplicates, uniqueRecords } from "../jobs/validate-dedupe.ts";

const counts = process.argv.slice(2).map(Number);
for (const count of counts.length > 0 ? counts : [100_000]) await measure(count);

async function measure(count: number): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "dedupe-"));
  try {
    const entities = new Int32Array(count);
    const [raw, unique] = [join(folder, "records.jsonl"), join(folder, "unique.jsonl")];
    await writeJsonl(raw, withoutAnswers(madeCompanies({ count }), entities));
    const source = fromFiles([raw]);
    const started = performance.now();
    const before = process.cpuUsage();
    const { duplicates } = await searchDuplicates(source);
    const searched = performance.now();
    const held = await holdMembers(source, duplicates.groups);
    const mergedAt = new Date(0).toISOString();
    const kept = await writeJsonl(unique, uniqueRecords(source, { groups: duplicates.groups, held, mergedAt }));
    const seconds = (performance.now() - started) / 1000;
    const { user, system } = process.cpuUsage(before);
    const { precision, recall } = quality(duplicates.groups, entities);
    const { candidates, largeBlocks } = duplicates.stats;
    say(
      `${count} records, ${Math.round((await stat(raw)).size / 1e6)} MB: ${seconds.toFixed(1)} s (processor ${((user + system) / 1e6).toFixed(1)} s), VmHWM ${memoryMb()} MB`,
    );
    say(
      `  search ${((searched - started) / 1000).toFixed(1)} s, ${candidates} comparisons, ${largeBlocks} large blocks`,
    );
    say(`  ${kept} left, ${duplicates.groups.length} groups, ${duplicates.refused.length} pairs refused`);
    say(`  pairs: precision ${precision.toFixed(4)}, recall ${recall.toFixed(4)}`);
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** Which company a record is goes into the list, not into the file. */
function* withoutAnswers(companies: Iterable<MadeCompany>, entities: Int32Array): Generator<object> {
  let at = 0;
  for (const { entity, ...record } of companies) {
    entities[at++] = entity;
    yield record;
  }
}

/** Over all pairs of records that are one company. */
function quality(groups: readonly number[][], entities: Int32Array): { precision: number; recall: number } {
  const pairsOf = (size: number) => (size * (size - 1)) / 2;
  const sizes = new Map<number, number>();
  for (const entity of entities) sizes.set(entity, (sizes.get(entity) ?? 0) + 1);
  let [found, correct, all] = [0, 0, 0];
  for (const size of sizes.values()) all += pairsOf(size);
  for (const group of groups) {
    found += pairsOf(group.length);
    const inGroup = new Map<number, number>();
    for (const record of group) inGroup.set(entities[record]!, (inGroup.get(entities[record]!) ?? 0) + 1);
    for (const size of inGroup.values()) correct += pairsOf(size);
  }
  return { precision: found === 0 ? 1 : correct / found, recall: all === 0 ? 1 : correct / all };
}

function memoryMb(): number {
  const kilobytes = /VmHWM:\s+(\d+)/.exec(readFileSync("/proc/self/status", "utf8"))?.[1];
  return Math.round(Number(kilobytes) / 1024);
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}
