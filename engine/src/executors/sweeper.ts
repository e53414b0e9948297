/**
 * Looks for what commands left behind after a normal end, many attempts at a time.
 *
 * Owner: executors. Invariants:
 * 1. At most one scan per `everyMs` covers all attempts that ended since: a scan per job costs a third of the spawn rate.
 * 2. What is found is ended like a cancelled tree, with a short grace.
 * 3. `add` resolves when its tree is verified dead.
 */
import type { Scanner } from "./procfs.ts";
import { HAS_PROC } from "./procfs.ts";
import type { Tree } from "./tree.ts";
import { membersOf, startTicks } from "./tree.ts";

export interface Sweeper {
  add(tree: Tree): Promise<void>;
  /** Scans now instead of at the next tick; resolves when everything added so far is verified. */
  flush(): Promise<void>;
}

export interface SweeperOptions {
  scanner: Scanner;
  everyMs: number;
  end: (tree: Tree) => Promise<unknown>;
}

interface Entry {
  tree: Tree;
  done: (result: Promise<void>) => void;
}

export function createSweeper(options: SweeperOptions): Sweeper {
  let queue: Entry[] = [];
  let timer: NodeJS.Timeout | null = null;
  const open = new Set<Promise<void>>();

  const sweep = async (): Promise<void> => {
    if (timer !== null) clearTimeout(timer);
    timer = null;
    const batch = queue;
    queue = [];
    if (batch.length === 0) return;
    const since = batch.reduce((least, { tree }) => Math.min(least, startTicks(tree)), Number.POSITIVE_INFINITY);
    try {
      const table = await options.scanner.scan(since);
      for (const { tree, done } of batch) done(verify(tree, membersOf(tree, table).live.length));
    } catch (error) {
      for (const { done } of batch) done(Promise.reject(error));
    }
  };

  const verify = async (tree: Tree, live: number): Promise<void> => {
    if (live > 0) await options.end(tree);
  };

  return {
    add(tree) {
      if (!HAS_PROC) return Promise.resolve();
      const result = new Promise<void>((resolve) => queue.push({ tree, done: resolve }));
      timer ??= setTimeout(() => void sweep(), options.everyMs);
      open.add(result);
      const forget = (): void => void open.delete(result);
      result.then(forget, forget);
      return result;
    },
    async flush() {
      await sweep();
      await Promise.allSettled([...open]);
    },
  };
}
