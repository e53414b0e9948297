/** The last words on a run: how it ended, what failed and why, and what to do next. */
import { type Json, type RunState, variantOf } from "../core/model.ts";
import type { Tenuto } from "../open.ts";
import type { JobRecord, RunRecord } from "../ports/ledger.ts";
import { rollbackStatus } from "../runtime/rollback.ts";
import { jobReasons, reasonLines, saysWhy } from "./aftermath.ts";
import { signOfState, styleOf } from "./board.ts";
import { allowedFailures, runDocument, stageDocument } from "./documents.ts";
import { failureLines, storedError } from "./failure.ts";
import { count, counted, duration } from "./figures.ts";
import type { Cli } from "./main.ts";
import { oneLine } from "./terminal.ts";

const MOST_FAILURES = 5;
const FAILURES_READ = 1_000;

/** Tells how a run ended: one line of data on stdout, the rest as talk. With `--json` the document. */
export async function tellEnd(cli: Cli, tenuto: Tenuto, id: string): Promise<RunState> {
  const { out } = cli;
  const run = await tenuto.client.run(id);
  const { ledger } = tenuto.engine.parts;
  const end = run.endedAt === null ? null : await tenuto.client.wait(run.seq);
  const stages = await ledger.stages(run.seq);
  const allowed = stages.reduce((sum, stage) => sum + allowedFailures(stage), 0);
  const reasons = saysWhy(run) ? await jobReasons(tenuto, run) : null;
  out.document("run", {
    run: runDocument(run),
    ...(reasons === null ? {} : { reasons }),
    stages: stages.map((stage) => stageDocument(stage)),
    output: end?.output ?? null,
    error: end?.error ?? null,
  });
  const style = styleOf(run.state);
  const state = style === undefined ? run.state : out.paint(style, run.state);
  out.data(
    `${run.id}  ${state}  ${counted(run.jobCount, "job")} in ${duration((run.endedAt ?? run.createdAt) - run.createdAt)}${allowed > 0 ? `  (${count(allowed)} failed, allowed)` : ""}`,
  );
  if (reasons !== null) out.data(...reasonLines(run, reasons));
  const output = end === null || variantOf(run).dryRun === true ? null : smallOutput(end.output);
  if (output !== null) out.say(`output: ${output}`);
  await tellFailures(cli, tenuto, run);
  for (const line of await nextSteps(tenuto, run)) out.say(line);
  return run.state;
}

const MOST_OUTPUT = 200;

/** The output of a run as one line, if it is small enough to be read at a glance. */
export function smallOutput(output: Json): string | null {
  if (output === null) return null;
  const text = oneLine(typeof output === "string" ? output : JSON.stringify(output));
  return text === "" || text.length > MOST_OUTPUT ? null : text;
}

async function tellFailures(cli: Cli, tenuto: Tenuto, run: RunRecord): Promise<void> {
  const { out } = cli;
  if (run.state !== "failed") return;
  const failed = await tenuto.engine.parts.ledger.jobs(run.seq, { states: ["failed"], limit: FAILURES_READ });
  // Those that were not allowed to fail are why the run did.
  const jobs = failed.sort((a, b) => a.allowFailure - b.allowFailure).slice(0, MOST_FAILURES);
  for (const job of jobs) {
    const error = storedError(job.error);
    const lines =
      error === null ? ["no error was recorded"] : failureLines(error, out.paintTalk, { run: run.id, job: job.id });
    out.say(
      `${out.paintTalk("red", signOfState("failed", out.signs))} ${job.id}: ${lines[0]}`,
      ...lines.slice(1).map((line) => `  ${line}`),
    );
  }
  const allowed = jobs.filter((job) => job.allowFailure === 1).length;
  const more = run.failedJobs - (jobs.length - allowed);
  if (jobs.length === MOST_FAILURES && more > 0) out.say(`  and ${counted(more, "more job")} failed`);
}

/** What somebody may do now, as commands. */
export async function nextSteps(tenuto: Tenuto, run: RunRecord): Promise<string[]> {
  const bad = await badItems(tenuto, run);
  const items =
    bad.total + bad.notStarted > 0
      ? [
          `${counted(bad.total + bad.notStarted, "item")} not done${bad.notStarted > 0 ? ` (${count(bad.notStarted)} of them not started)` : ""}: tenuto runs show ${run.id} --items failed,skipped`,
        ]
      : [];
  const rollback = run.endedAt === null ? null : await rollbackStatus(tenuto.engine.parts.ledger, run);
  if (rollback !== null)
    return [...items, `It is ${rollback.state} by run ${rollback.run}: tenuto runs show ${rollback.run}`];
  if (run.state === "completed") return items;
  if (run.endedAt === null) return [...items, `Go on with it: tenuto resume ${run.id}`];
  return [
    ...items,
    `What happened:  tenuto logs ${run.id}`,
    `Only what did not complete runs again:  tenuto runs retry ${run.id}`,
  ];
}

export interface BadItems {
  failed: number;
  skipped: number;
  duplicates: number;
  /** Of fan-outs that ended before their last item. */
  notStarted: number;
  /** Failed and skipped ones, duplicates left out. */
  total: number;
}

/** Items of a run's fan-outs that failed or were skipped. */
export async function badItems(tenuto: Tenuto, run: RunRecord): Promise<BadItems> {
  const { ledger } = tenuto.engine.parts;
  const sum: BadItems = { failed: 0, skipped: 0, duplicates: 0, notStarted: 0, total: 0 };
  for (const job of await ledger.jobs(run.seq)) {
    if (job.kind === "single") continue;
    const fanout = await ledger.fanout(job.seq);
    if (fanout === null) continue;
    sum.failed += fanout.failed;
    sum.skipped += fanout.skipped;
    sum.duplicates += fanout.duplicates;
    sum.notStarted += notStarted(job, fanout);
  }
  sum.total = sum.failed + sum.skipped - sum.duplicates;
  return sum;
}

/** Items of a fan-out that ended early which nobody began. */
export function notStarted(
  job: Pick<JobRecord, "state">,
  fanout: { total: number; completed: number; failed: number; skipped: number },
): number {
  if (job.state !== "failed" && job.state !== "cancelled" && job.state !== "skipped") return 0;
  return Math.max(0, fanout.total - fanout.completed - fanout.failed - fanout.skipped);
}

/** `1,134 items: 1,130 completed, 3 failed, 1 skipped` */
export function itemsText(
  job: Pick<JobRecord, "state">,
  fanout: { total: number; completed: number; failed: number; skipped: number; duplicates: number },
): string {
  const parts = [`${count(fanout.completed)} completed`];
  if (fanout.failed > 0) parts.push(`${count(fanout.failed)} failed`);
  const skipped = fanout.skipped - fanout.duplicates;
  if (skipped > 0) parts.push(`${count(skipped)} skipped`);
  if (fanout.duplicates > 0)
    parts.push(fanout.duplicates === 1 ? "1 duplicate" : `${count(fanout.duplicates)} duplicates`);
  const rest = notStarted(job, fanout);
  if (rest > 0) parts.push(`${count(rest)} not started`);
  return `${counted(fanout.total, "item")}: ${parts.join(", ")}`;
}
