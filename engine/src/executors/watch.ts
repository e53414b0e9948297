/**
 * Records the descendants of running commands, so that one which later clears its environment, leaves the session and
 * loses its parent is still known by pid and start time.
 *
 * Owner: executors. One scan a second over all running trees, less often where a scan is slow (never more than two
 * percent of the time); none while nothing runs. Commands shorter than a second are not watched.
 */
import type { Scanner } from "./procfs.ts";
import { HAS_PROC } from "./procfs.ts";
import type { Tree } from "./tree.ts";
import { recordMembers } from "./tree.ts";

export interface Watch {
  add(tree: Tree): void;
  remove(tree: Tree): void;
  /** Looks at once. */
  look(): Promise<void>;
}

export function createWatch(scanner: Scanner, everyMs = 1_000): Watch {
  const trees = new Set<Tree>();
  let timer: NodeJS.Timeout | null = null;

  const look = async (): Promise<void> => {
    const table = await scanner.scan(Number.POSITIVE_INFINITY);
    for (const tree of trees) recordMembers(tree, table);
  };
  const tick = async (): Promise<void> => {
    timer = null;
    if (trees.size === 0) return;
    const from = performance.now();
    // A failed look costs only this round; ending a tree scans for itself.
    await look().catch(() => {});
    schedule(Math.max(everyMs, 50 * (performance.now() - from)));
  };
  const schedule = (ms: number): void => {
    if (timer !== null || trees.size === 0) return;
    timer = setTimeout(() => void tick(), ms);
    timer.unref();
  };

  return {
    add(tree) {
      trees.add(tree);
      if (HAS_PROC) schedule(everyMs);
    },
    remove(tree) {
      trees.delete(tree);
    },
    look,
  };
}
