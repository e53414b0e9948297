/**
 * Measures deduplication: time, memory, and whether the right ones were found, on made-up companies.
 *
 *   npm run bench:dedupe -w systems/associations -- 100000
 *
 * Memory is VmHWM of this process: the most it ever held, generator included.
 */
import { readFileSync } from "node:fs";
import { findDuplicates } from "../domain/matching/find-duplicates.ts";
import { ProfileBuilder } from "../domain/matching/profiles.ts";
import { madeCompanies } from "../fixtures/companies-at-scale.ts";

for (const argument of process.argv.slice(2).length > 0 ? process.argv.slice(2) : ["100000"]) measure(Number(argument));

function measure(count: number): void {
  const entities = new Int32Array(count);
  const builder = new ProfileBuilder();
  let seconds = 0;
  const timed = <T>(work: () => T): T => {
    const start = performance.now();
    const result = work();
    seconds += (performance.now() - start) / 1000;
    return result;
  };
  let at = 0;
  for (const { entity, ...record } of madeCompanies({ count })) {
    entities[at++] = entity;
    timed(() => builder.add(record));
  }
  const preparing = seconds;
  const profiles = timed(() => builder.seal());
  const result = timed(() => {
    const work = findDuplicates(profiles);
    for (let step = work.next(); ; step = work.next()) if (step.done) return step.value;
  });
  const right = quality(result.groups, entities);
  say(
    `${count} records: ${seconds.toFixed(1)} s (profiles ${preparing.toFixed(1)} s), ${result.stats.candidates} comparisons, ` +
      `${result.groups.length} groups, ${result.refused.length} pairs refused, ${result.stats.largeBlocks} large blocks, VmHWM ${memoryMb()} MB`,
  );
  say(`  pairs: precision ${right.precision.toFixed(4)}, recall ${right.recall.toFixed(4)}`);
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
