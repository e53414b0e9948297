/**
 * Stays with runs until they have ended: works, shows progress, and stops in order on Ctrl-C.
 *
 * Invariants: (1) the first signal lets running work end (for `drainMs`), the second ends it at once, with no process left;
 * (2) a run that was stopped so is resumable, and whoever stopped it is told how; (3) the engine is closed on every way out.
 */

import { TenutoError } from "../core/errors.ts";
import type { RunSeq } from "../core/model.ts";
import { endOrphans } from "../executors/orphans.ts";
import type { Tenuto } from "../open.ts";
import type { RunRecord } from "../ports/ledger.ts";
import { tellAwaiting, watchApprovals } from "./awaiting.ts";
import { EXIT, tellFailure } from "./failure.ts";
import { counted, duration, parseDuration } from "./figures.ts";
import { Interrupts } from "./interrupt.ts";
import type { StopSignal } from "./io.ts";
import { watchStandstill } from "./known-agents.ts";
import type { Cli } from "./main.ts";
import { Progress } from "./progress.ts";
import { RunView } from "./run-view.ts";
import { endWithStray, type Stray, watchStrays } from "./strays.ts";

export interface AttendOptions {
  drain?: string;
  /** Stay while nothing but a person's decision is missing. */
  wait?: boolean;
  timeout?: string;
}

export type Attended =
  | { kind: "ended"; states: Map<RunSeq, RunRecord["state"]> }
  | { kind: "stopped"; code: number }
  | { kind: "timeout" };

const DRAIN_MS = 30_000;
/** Functions that don't listen to their signal are not waited for longer than this once everything must stop. */
const HASTE_MS = 3_000;

/** Refuses options that make no sense, before anything is started. */
export function checkTimes(options: AttendOptions): { drainMs: number; timeoutMs: number | null } {
  return {
    drainMs: options.drain === undefined ? DRAIN_MS : parseDuration(options.drain, "--drain"),
    timeoutMs: options.timeout === undefined ? null : parseDuration(options.timeout, "--timeout"),
  };
}

/** Works on the runs (if the engine has a worker) until all have ended, a signal came, or the time was up. */
export async function attend(
  cli: Cli,
  tenuto: Tenuto,
  runs: readonly RunRecord[],
  options: AttendOptions & { work: boolean },
): Promise<Attended> {
  const { drainMs, timeoutMs } = checkTimes(options);
  const interrupts = new Interrupts(cli.io);
  const views = runs.map((run) => new RunView(tenuto, run));
  for (const view of views) await view.begin();
  const progress = new Progress(cli.io, cli.out, tenuto, views);
  const strays = options.work ? watchStrays(cli, tenuto) : null;
  const standstill = watchStandstill(tenuto, options.work ? runs : []);
  const approvals = options.wait === true || !options.work ? null : watchApprovals(tenuto, runs);
  let timer: NodeJS.Timeout | undefined;
  try {
    // Work on one run leaves the jobs of others to whoever works on those.
    const [only] = runs;
    if (options.work)
      await tenuto.work(runs.length === 1 && only !== undefined ? { run: only.seq } : { schedules: false });
    const outcome = await Promise.race([
      Promise.all(runs.map((run) => tenuto.client.wait(run.seq))),
      interrupts.first,
      standstill.found,
      ...(strays === null ? [] : [strays.found.then((stray) => ({ stray }))]),
      ...(approvals === null ? [] : [approvals.found.then((rows) => ({ rows }))]),
      ...(timeoutMs === null
        ? []
        : [new Promise<"timeout">((resolve) => (timer = setTimeout(resolve, timeoutMs, "timeout")))]),
    ]);
    await progress.stop();
    if (Array.isArray(outcome)) {
      const states = new Map(runs.map((run, index) => [run.seq, outcome[index]!.state] as const));
      return { kind: "ended", states };
    }
    if (outcome === "timeout") return { kind: "timeout" };
    if (outcome instanceof TenutoError) {
      tellFailure(cli.out, outcome, cli.io.env);
      return { kind: "stopped", code: EXIT.runFailed };
    }
    if (typeof outcome === "object" && "stray" in outcome)
      return { kind: "stopped", code: await endOf(cli, tenuto, runs, outcome.stray) };
    if (typeof outcome === "object" && "rows" in outcome)
      return { kind: "stopped", code: tellAwaiting(cli, outcome.rows, runs.length === 1 ? runs[0]!.id : null) };
    return {
      kind: "stopped",
      code: await stop(cli, tenuto, runs, { ...options, drainMs, interrupts, signal: outcome }),
    };
  } finally {
    clearTimeout(timer);
    standstill.stop();
    strays?.stop();
    approvals?.stop();
    await progress.stop();
    interrupts.stop();
  }
}

/** An error that nobody awaits ends the engine; the runs are kept. */
async function endOf(cli: Cli, tenuto: Tenuto, runs: readonly RunRecord[], stray: Stray): Promise<number> {
  const ended = endings(tenuto);
  const code = await endWithStray(cli, tenuto, stray);
  for (const run of runs)
    cli.out.tell(
      ended.has(run.seq)
        ? `Run ${run.id} has ended: tenuto runs show ${run.id}`
        : `Run ${run.id} is kept. Go on with: tenuto resume ${run.id}`,
    );
  return code;
}

/** Runs that end from now on. */
function endings(tenuto: Tenuto): Set<RunSeq> {
  const ended = new Set<RunSeq>();
  tenuto.engine.parts.ledger.onCommit((hints) => {
    for (const run of hints.endedRuns) ended.add(run.seq);
  });
  return ended;
}

interface Stop {
  work: boolean;
  drainMs: number;
  interrupts: Interrupts;
  signal: StopSignal;
}

async function stop(cli: Cli, tenuto: Tenuto, runs: readonly RunRecord[], how: Stop): Promise<number> {
  const { out } = cli;
  const code = EXIT[how.signal];
  const ended = endings(tenuto);
  const { ledger } = tenuto.engine.parts;
  for (const run of runs) if ((await ledger.run(run.seq))?.endedAt != null) ended.add(run.seq);
  if (how.work) await stopWorking(cli, tenuto, how);
  const open = runs.filter((run) => !ended.has(run.seq));
  if (!how.work) out.say("Stopped watching; the run goes on.");
  else if (open.length === 1) out.tell(`Run ${open[0]!.id} is kept. Go on with: tenuto resume ${open[0]!.id}`);
  else if (open.length > 1) out.tell(`${counted(open.length, "run")} are kept. Go on with: tenuto resume`);
  return code;
}

/** Closes the engine: gracefully, and at once when a second signal comes. */
export async function stopWorking(
  cli: Cli,
  tenuto: Tenuto,
  how: { drainMs: number; interrupts: Interrupts },
): Promise<void> {
  const { out } = cli;
  out.tell(
    how.drainMs > 0
      ? `Stopping: running work has ${duration(how.drainMs)} to end. Ctrl-C again stops it at once.`
      : "Stopping at once.",
  );
  // Asked for now, as the ledger is closed with the engine.
  const open = await tenuto.client.runs({ states: ["running", "waiting"], limit: 10_000 });
  const closing = tenuto.close({ drainMs: how.drainMs });
  const first = await Promise.race([closing.then(() => "closed" as const), how.interrupts.second]);
  if (first === "closed") return;
  out.tell("Stopping at once.");
  for (const run of open) tenuto.engine.worker.haltRun(run.seq);
  // Programs that ignore the polite signal are not given their grace.
  const killed = endOrphans([], { graceMs: 0, prefixes: [tenuto.engine.parts.bootPrefix] });
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<"late">((resolve) => (timer = setTimeout(resolve, HASTE_MS, "late")));
  await killed;
  if ((await Promise.race([closing, late])) === "late") {
    out.tell("Some work did not stop; its process ends now, and the work starts again with the next resume.");
    cli.io.exit(how.interrupts.signal === "SIGTERM" ? EXIT.SIGTERM : EXIT.SIGINT);
  }
  clearTimeout(timer);
}

/** The exit code of runs that ended: the worst of them. */
export function exitCodeOfRuns(states: Iterable<RunRecord["state"]>): number {
  const all = new Set(states);
  if (all.has("failed")) return EXIT.runFailed;
  return all.has("cancelled") ? EXIT.cancelled : EXIT.ok;
}
