/**
 * Ends a tree of processes and says so only when that is verified.
 *
 * Owner: executors. Invariants:
 * 1. TERM to all members, then up to the grace for the group to go, then KILL to whatever is left, again and again.
 * 2. Done means two scans in a row without a live member: what forks while it is scanned shows up in the second.
 * 3. There is no upper bound: a process that can't be killed keeps its attempt open, and `onStuck` names it.
 * 4. Without /proc only the group is ended, and "no such group" is the proof.
 */
import type { Clock } from "../ports/clock.ts";
import type { Scanner } from "./procfs.ts";
import { HAS_PROC } from "./procfs.ts";
import type { Tree } from "./tree.ts";
import { groupExists, membersOf, recordMembers, signalGroup, signalMembers, startTicks } from "./tree.ts";

/** The part of the clock that executors need. */
export type Timers = Pick<Clock, "after">;

/** Longest delay that a Node timer takes; a longer one would fire at once. */
const MAX_TIMER_MS = 2_147_483_647;
const STUCK_POLLS = 40;

/** Real timers. A delay beyond 24.8 days never fires. */
export const systemTimers: Timers = {
  after(ms, callback) {
    if (!(ms <= MAX_TIMER_MS)) return { cancel() {} };
    const timer = setTimeout(callback, ms);
    return { cancel: () => clearTimeout(timer) };
  },
};

export interface EndOptions {
  graceMs: number;
  scanner: Scanner;
  timers: Timers;
  /** Resolves when the leader has been reaped. Absent for trees that another process started. */
  leaderExited?: Promise<unknown>;
  /** Called once with the pids that do not go although they were killed. */
  onStuck?: (pids: number[]) => void;
}

/** Resolves when nothing of the tree is alive. Returns the pids that had to be signalled. */
export async function endTree(tree: Tree, options: EndOptions): Promise<number[]> {
  const signalled = new Set<number>();
  if (!HAS_PROC) {
    await endGroup(tree, options);
    return [];
  }
  const table = await options.scanner.scan(startTicks(tree));
  const members = membersOf(tree, table);
  for (const entry of members.live) signalled.add(entry.pid);
  if (members.live.length > 0 && options.graceMs > 0) {
    recordMembers(tree, table);
    signalMembers(tree, members, "SIGTERM");
    await waitForGroup(tree, options);
  }
  await killUntilGone(tree, options, signalled);
  return [...signalled];
}

async function killUntilGone(tree: Tree, options: EndOptions, signalled: Set<number>): Promise<void> {
  let clean = 0;
  let polls = 0;
  for (;;) {
    const table = await options.scanner.scan(startTicks(tree));
    const members = membersOf(tree, table);
    if (members.live.length === 0) {
      if (++clean === 2) return;
      continue;
    }
    clean = 0;
    recordMembers(tree, table);
    for (const entry of members.live) signalled.add(entry.pid);
    signalMembers(tree, members, "SIGKILL");
    if (++polls === STUCK_POLLS) options.onStuck?.(members.live.map((entry) => entry.pid));
    await pause(Math.min(250, 2 * polls));
  }
}

/** Resolves when no live process is left in the group, or after the grace. */
async function waitForGroup(tree: Tree, options: EndOptions): Promise<void> {
  let over = false;
  let wake = (): void => {};
  const timer = options.timers.after(options.graceMs, () => {
    over = true;
    wake();
  });
  let leaderGone = options.leaderExited === undefined;
  void options.leaderExited?.then(() => {
    leaderGone = true;
    wake();
  });
  try {
    for (let waitMs = 5; !over; waitMs = Math.min(250, waitMs * 2)) {
      if (leaderGone && !(await groupLives(tree, options.scanner))) return;
      if (over) return;
      await new Promise<void>((resolve) => {
        const poll = setTimeout(resolve, waitMs);
        wake = () => {
          clearTimeout(poll);
          resolve();
        };
      });
    }
  } finally {
    timer.cancel();
  }
}

async function groupLives(tree: Tree, scanner: Scanner): Promise<boolean> {
  const { pid } = tree.identity;
  if (pid <= 1 || !groupExists(pid)) return false;
  // Zombies keep a group in existence.
  const table = await scanner.scan(Number.POSITIVE_INFINITY);
  return membersOf(tree, table).live.some((entry) => entry.group === pid);
}

async function endGroup(tree: Tree, options: EndOptions): Promise<void> {
  const { pid } = tree.identity;
  if (!tree.owned || tree.groupGone || !groupExists(pid)) return;
  let over = false;
  signalGroup(pid, "SIGTERM");
  const timer = options.timers.after(options.graceMs, () => {
    over = true;
  });
  for (let polls = 1; groupExists(pid); polls++) {
    if (over) signalGroup(pid, "SIGKILL");
    await pause(Math.min(100, 5 * polls));
  }
  timer.cancel();
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
