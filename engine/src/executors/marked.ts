/**
 * Ends everything whose marker begins with a prefix: what a worker started without telling anyone before it died.
 *
 * Owner: executors. Invariants:
 * 1. Trees are made from what is found: one per marker, led by the process that leads its own group.
 * 2. Done means two scans in a row without a match, since a program that was just being started has no marker yet.
 */
import type { ProcessIdentity } from "../ports/executor.ts";
import type { EndOptions } from "./ending.ts";
import { endTree } from "./ending.ts";
import type { ProcessTable } from "./procfs.ts";
import { HAS_PROC } from "./procfs.ts";
import { createTree } from "./tree.ts";

/** Returns the pids that were signalled, by marker. */
export async function endMarked(prefix: string, options: EndOptions): Promise<Map<string, number[]>> {
  const ended = new Map<string, number[]>();
  if (!HAS_PROC || prefix === "") return ended;
  for (let clean = 0; clean < 2; ) {
    const found = identitiesWith(prefix, await options.scanner.scan(0));
    clean = found.length === 0 ? clean + 1 : 0;
    const results = await Promise.all(found.map((identity) => endTree(createTree(identity, false), options)));
    for (const [index, { marker }] of found.entries()) {
      ended.set(marker, [...(ended.get(marker) ?? []), ...results[index]!]);
    }
  }
  return ended;
}

function identitiesWith(prefix: string, table: ProcessTable): ProcessIdentity[] {
  const found: ProcessIdentity[] = [];
  for (const [marker, entries] of table.byMarker) {
    // The last part is this worker's; those before it belong to engines that it runs under.
    if (!marker.slice(marker.lastIndexOf("/") + 1).startsWith(prefix)) continue;
    const others = entries.filter((entry) => entry.pid !== process.pid);
    if (others.length === 0) continue;
    const leader = others.find((entry) => entry.pid === entry.group && entry.pid === entry.session) ?? others[0]!;
    found.push({ pid: leader.pid, pidStart: String(leader.start), marker });
  }
  return found;
}
