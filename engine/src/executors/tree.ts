/**
 * The processes that belong to one attempt, and signals to them.
 *
 * Owner: executors. Invariants:
 * 1. Nothing is signalled by its pid alone. A member is known by its marker, by pid and start time, by a recorded pid and
 *    start time, by its group (only while that group is verified ours), or as a descendant of such a process.
 * 2. Our own process and our own group are never members.
 * 3. What clears its environment and leaves the session is found only if it was recorded while its parent lived
 *    (see watch.ts). That is the known limit; a cgroup would be needed to close it.
 */
import type { ProcessIdentity } from "../ports/executor.ts";
import type { ProcessEntry, ProcessTable } from "./procfs.ts";
import { HAS_PROC, readProcess } from "./procfs.ts";

export interface Tree {
  identity: ProcessIdentity;
  /**
   * Whether pid and start time are proof enough without the marker: true for who started the process or was told so by
   * the one that did, false for identities read back from a ledger.
   */
  owned: boolean;
  /** Start time by pid of descendants seen while it ran. */
  seen: Map<number, number>;
  /** Set once the group is empty after its leader was reaped; from then on the number may be a stranger's. */
  groupGone: boolean;
}

export interface Members {
  live: ProcessEntry[];
  /** Whether the group with the leader's number is this tree's, so that it may be signalled as a whole. */
  group: boolean;
}

const OWN_GROUP = readProcess(process.pid)?.group ?? -1;

export function createTree(identity: ProcessIdentity, owned: boolean): Tree {
  return { identity, owned, seen: new Map(), groupGone: false };
}

/** Ticks from which on members can have started; identities without a start time match by marker alone. */
export function startTicks(tree: Tree): number {
  return tree.identity.pidStart === "" ? 0 : Number(tree.identity.pidStart);
}

/** Live processes of the tree in that table. */
export function membersOf(tree: Tree, table: ProcessTable): Members {
  const { pid, pidStart, marker } = tree.identity;
  const found = new Map<number, ProcessEntry>();
  const add = (entry: ProcessEntry | undefined): void => {
    if (entry?.live && entry.pid !== process.pid && entry.group !== OWN_GROUP && entry.pid > 1)
      found.set(entry.pid, entry);
  };
  for (const entry of table.byMarker.get(marker) ?? []) add(entry);
  const leader = table.byPid.get(pid);
  const sameLeader = leader !== undefined && pidStart !== "" && leader.start === Number(pidStart);
  if (tree.owned && sameLeader) add(leader);
  for (const [seenPid, start] of tree.seen) {
    const entry = table.byPid.get(seenPid);
    if (entry?.start === start) add(entry);
  }
  const group = isOwnTreesGroup(tree, leader, sameLeader, found);
  if (group) for (const entry of table.byGroup.get(pid) ?? []) add(entry);
  const queue = [...found.values()];
  for (let entry = queue.pop(); entry !== undefined; entry = queue.pop()) {
    for (const child of table.byParent.get(entry.pid) ?? []) {
      if (found.has(child.pid) || child.start < entry.start) continue;
      add(child);
      if (found.has(child.pid)) queue.push(child);
    }
  }
  return { live: [...found.values()], group: group && (table.byGroup.get(pid)?.length ?? 0) > 0 };
}

function isOwnTreesGroup(
  tree: Tree,
  leader: ProcessEntry | undefined,
  sameLeader: boolean,
  found: ReadonlyMap<number, ProcessEntry>,
): boolean {
  const { pid } = tree.identity;
  if (tree.groupGone || pid <= 1 || pid === OWN_GROUP) return false;
  // Another process leads under this number now: the group is a stranger's.
  if (leader !== undefined && tree.identity.pidStart !== "" && !sameLeader) return false;
  for (const entry of found.values()) if (entry.group === pid) return true;
  // A group outlives its leader and keeps its number taken. Who owns the tree has seen it so without a gap.
  return tree.owned && (sameLeader || leader === undefined);
}

/** Records the members of a running tree, so that they are found after they have left it. */
export function recordMembers(tree: Tree, table: ProcessTable): void {
  for (const [pid, start] of tree.seen) if (table.byPid.get(pid)?.start !== start) tree.seen.delete(pid);
  for (const entry of membersOf(tree, table).live) tree.seen.set(entry.pid, entry.start);
}

/** Sends a signal to the group, if it is the tree's, and to each member outside of it. */
export function signalMembers(tree: Tree, members: Members, signal: NodeJS.Signals): void {
  const { pid } = tree.identity;
  if (members.group) signalGroup(pid, signal);
  for (const entry of members.live) {
    if (members.group && entry.group === pid) continue;
    try {
      // The table is some milliseconds old; the number may have changed hands since.
      if (readProcess(entry.pid)?.start !== entry.start) continue;
      process.kill(entry.pid, signal);
    } catch {
      // Gone in between, or not ours to signal (setuid): the caller looks again.
    }
  }
}

/** Signals a group. Only for a group that is verified the tree's. */
export function signalGroup(group: number, signal: NodeJS.Signals): void {
  if (group <= 1 || group === OWN_GROUP) return;
  try {
    process.kill(-group, signal);
  } catch {
    // Empty by now.
  }
}

/** Whether anything, zombies included, is in the group: one system call. */
export function groupExists(group: number): boolean {
  try {
    process.kill(-group, 0);
    return true;
  } catch (error) {
    // macOS answers EPERM for a group of zombies; there nothing can tell more.
    return HAS_PROC && (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
