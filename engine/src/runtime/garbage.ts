/**
 * Removal of objects that nothing in the ledger names any more.
 *
 * Invariants: (1) an object that a row stands for, or that any stored value names, stays; (2) an object younger than the grace
 * stays: whoever stored it may be about to register it; (3) the last look at the ledger comes when nobody can find the object
 * any more, see artifacts/trash.ts.
 */
import type { Parts } from "./parts.ts";

export interface Garbage {
  objects: number;
  bytes: number;
  /** Objects that were looked at. */
  seen: number;
}

/** Time between storing bytes and registering them that nobody exceeds. */
export const GRACE_MS = 60 * 60_000;
/** Candidates that are looked for in the ledger's values at once. */
const BATCH = 10_000;

/** `dryRun` counts only. The age of objects is told by the file system's clock. */
export async function collectGarbage(
  parts: Pick<Parts, "ledger" | "store">,
  options: { graceMs?: number; dryRun?: boolean; stopped?: () => boolean } = {},
): Promise<Garbage> {
  const { graceMs = GRACE_MS, dryRun = false, stopped = () => false } = options;
  const result: Garbage = { objects: 0, bytes: 0, seen: 0 };
  let batch = new Map<string, number>();
  const flush = async () => {
    const candidates = batch;
    batch = new Map();
    const named = await parts.ledger.namedAnywhere(new Set(candidates.keys()));
    for (const [sha256, bytes] of candidates) {
      if (stopped()) return;
      if (named.has(sha256)) continue;
      if (!dryRun && !(await remove(parts, sha256, graceMs))) continue;
      result.objects += 1;
      result.bytes += bytes;
    }
  };
  for await (const { sha256, bytes, ageMs } of parts.store.list()) {
    if (stopped()) return result;
    result.seen += 1;
    if (ageMs <= graceMs || (await parts.ledger.referenced(sha256))) continue;
    batch.set(sha256, bytes);
    if (batch.size >= BATCH) await flush();
  }
  if (batch.size > 0) await flush();
  return result;
}

async function remove({ ledger, store }: Pick<Parts, "ledger" | "store">, sha256: string, graceMs: number) {
  const gone = await store.removeUnused(sha256, graceMs, () => ledger.referenced(sha256));
  if (gone) await ledger.forgetDataset(sha256);
  return gone;
}
