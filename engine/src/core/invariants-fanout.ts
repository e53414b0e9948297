/** The part of the ledger's invariants that concerns fan-outs, windows and items. Owner: core; see invariants.ts. */
import type { ItemRow } from "./decision.ts";
import { type Dump, groupBy } from "./dump.ts";
import type { FanoutRow, JobRow, JobSeq, RunSeq, WindowRow } from "./model.ts";

export function fanoutProblems(dump: Dump, jobs: ReadonlyMap<JobSeq, JobRow>, calm: ReadonlySet<RunSeq>): string[] {
  const problems: string[] = [];
  const windows = groupBy(dump.windows, (row) => row.job);
  const items = groupBy(dump.items, (row) => row.job);
  for (const fanout of dump.fanouts) {
    const job = jobs.get(fanout.job);
    const say = (problem: string) => problems.push(`fan-out ${job?.id ?? fanout.job}: ${problem}`);
    if (job === undefined) {
      say("has no job");
      continue;
    }
    const own = windows.get(fanout.job) ?? [];
    const rows = new Map((items.get(fanout.job) ?? []).map((row) => [row.ordinal, row]));
    counterProblems(fanout, own, [...rows.values()], say);
    windowProblems(fanout, own, rows, say);
    coverProblems(fanout, own, rows, say);
    if (job.state === "completed" && calm.has(job.run) && own.some((window) => window.open > 0))
      say("its job is completed while items are open");
  }
  return problems;
}

function counterProblems(fanout: FanoutRow, windows: WindowRow[], items: ItemRow[], say: (text: string) => void): void {
  const recount = {
    completed: items.filter((row) => row.state === "completed").length,
    failed: items.filter((row) => row.state === "failed").length,
    skipped: items.filter((row) => row.state === "skipped" || row.state === "cancelled").length,
    duplicates: items.filter((row) => row.state === "skipped" && row.attempts === 0).length,
    slotsUsed: windows.reduce((sum, window) => sum + window.slots, 0),
    leased: windows.filter((window) => window.boot !== null).length,
    released: windows.filter((window) => window.boot === null).length,
  };
  for (const [name, is] of Object.entries(recount))
    if (fanout[name as keyof typeof recount] !== is)
      say(`${name} is ${fanout[name as keyof typeof recount]}, a recount gives ${is}`);
  if (fanout.slotsUsed > fanout.concurrency) say("more slots are used than its concurrency");
  if (fanout.cursor < 0 || fanout.cursor > fanout.total) say(`cursor ${fanout.cursor} of ${fanout.total}`);
  for (const row of items) {
    if (row.ordinal < 0 || row.ordinal >= fanout.total) say(`item ${row.ordinal} of ${fanout.total}`);
    if ((row.state === "pending") !== (row.endedAt === null))
      say(`item ${row.ordinal} is ${row.state}, ended ${row.endedAt}`);
    if (String(row.state) === "running") say(`item ${row.ordinal} has a row while it runs`);
  }
}

function windowProblems(
  fanout: FanoutRow,
  windows: WindowRow[],
  items: ReadonlyMap<number, ItemRow>,
  say: (text: string) => void,
): void {
  const sorted = windows.toSorted((a, b) => a.start - b.start);
  for (const [index, window] of sorted.entries()) {
    const name = `window [${window.start}, ${window.stop})`;
    const next = sorted[index + 1];
    if (next !== undefined && next.start < window.stop) say(`${name} overlaps with [${next.start}, ${next.stop})`);
    if (window.stop > fanout.cursor) say(`${name} lies beyond the cursor ${fanout.cursor}`);
    if (window.epoch > fanout.windowEpoch) say(`${name} has epoch ${window.epoch}, the last is ${fanout.windowEpoch}`);
    if (window.boot === null && window.slots > 0) say(`${name} has slots but no worker`);
    let open = 0;
    for (let ordinal = window.start; ordinal < window.stop; ordinal++)
      if ((items.get(ordinal)?.state ?? "pending") === "pending") open += 1;
    if (window.open !== open) say(`${name}: open is ${window.open}, a recount gives ${open}`);
  }
}

/** Below the cursor every item has ended, is in a window, or will be found by the retry cursor. */
function coverProblems(
  fanout: FanoutRow,
  windows: WindowRow[],
  items: ReadonlyMap<number, ItemRow>,
  say: (text: string) => void,
): void {
  const covered = new Uint8Array(fanout.cursor);
  for (const window of windows) covered.fill(1, window.start, window.stop);
  for (let ordinal = 0; ordinal < fanout.cursor; ordinal++) {
    if (covered[ordinal] === 1) continue;
    const row = items.get(ordinal);
    if (row !== undefined && row.state !== "pending") continue;
    if (row !== undefined && fanout.retryCursor !== null && ordinal >= fanout.retryCursor) continue;
    say(`item ${ordinal} is ${row === undefined ? "without a row" : "pending"} and in no window: it is lost`);
    return;
  }
}
