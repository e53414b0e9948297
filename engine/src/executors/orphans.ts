/**
 * Ends what a worker that died left running, at the next start of an engine on that machine.
 *
 * Owner: executors. Normally the guard has done it by then. Invariants:
 * 1. A recorded process is signalled only if pid, start time and marker are still the same; other processes only because
 *    they carry a recorded marker, are in the group of one that does, or descend from one. Never by pid alone.
 * 2. Whoever holds a recorded number now is left alone and reported as `stranger`.
 * 3. Without /proc nothing can be verified, so nothing is signalled: `unverifiable`.
 */
import type { ProcessIdentity } from "../ports/executor.ts";
import { endTree, systemTimers } from "./ending.ts";
import { endMarked } from "./marked.ts";
import { createScanner, HAS_PROC } from "./procfs.ts";
import { createTree, membersOf } from "./tree.ts";

export interface OrphanResult {
  identity: ProcessIdentity;
  /**
   * `ended`: live processes of that tree were found and are dead now. `gone`: nothing of it was alive. `stranger`: gone,
   * and its number belongs to another process, which was left alone. `unverifiable`: this system can't tell.
   */
  outcome: "ended" | "gone" | "stranger" | "unverifiable";
  /** Pids that were signalled. */
  pids: number[];
}

export interface EndOrphansOptions {
  /** Milliseconds between TERM and KILL. Default 2,000. */
  graceMs?: number;
  /** Prefixes of markers of dead workers: ends what was started but never recorded. See `markerPrefix` of the executor. */
  prefixes?: string[];
}

/** Ends the trees that still run. Resolves when each of them is verified dead. */
export async function endOrphans(
  identities: readonly ProcessIdentity[],
  options: EndOrphansOptions = {},
): Promise<OrphanResult[]> {
  if (!HAS_PROC) return identities.map((identity) => ({ identity, outcome: "unverifiable", pids: [] }));
  const ending = { graceMs: options.graceMs ?? 2_000, scanner: createScanner(), timers: systemTimers };
  const table = await ending.scanner.scan(0);
  const results = await Promise.all(
    identities.map(async (identity): Promise<OrphanResult> => {
      const tree = createTree(identity, false);
      if (identity.marker !== "" && membersOf(tree, table).live.length > 0) {
        return { identity, outcome: "ended", pids: await endTree(tree, ending) };
      }
      const holder = table.byPid.get(identity.pid);
      return { identity, outcome: holder?.live ? "stranger" : "gone", pids: [] };
    }),
  );
  for (const prefix of options.prefixes ?? []) {
    for (const [marker, pids] of await endMarked(markerStart(prefix), ending)) {
      if (pids.length > 0) results.push({ identity: { pid: pids[0]!, pidStart: "", marker }, outcome: "ended", pids });
    }
  }
  return results;
}

/** What every marker of a worker with that prefix begins with. */
export function markerStart(prefix: string): string {
  return `${prefix}-`;
}
