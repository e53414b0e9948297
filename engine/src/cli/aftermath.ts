/** What comes after a run, in words and as documents: its rollback, the plan of a dry run, what a rerun took over. */
import { type Json, variantOf } from "../core/model.ts";
import { PLANNED, type Planned } from "../core/rerun.ts";
import type { Tenuto } from "../open.ts";
import type { RunRecord } from "../ports/ledger.ts";
import { rollbackStatus } from "../runtime/rollback.ts";
import { reasonText } from "./event-text.ts";
import { counted } from "./figures.ts";
import { oneLine } from "./terminal.ts";

const EVENTS_PAGE = 5_000;

/** Where a run comes from and what has become of its effects. */
export async function relationOf(tenuto: Tenuto, run: RunRecord) {
  const { ledger } = tenuto.engine.parts;
  const { relation, from, dryRun, excluded = [] } = variantOf(run);
  const origin = run.origin === null ? null : await ledger.run(run.origin);
  return {
    relation: relation ?? null,
    origin: origin?.id ?? null,
    from: typeof from === "string" ? from : null,
    dryRun: dryRun === true,
    excluded,
    rollback: await rollbackStatus(ledger, run),
  };
}

/** The same as lines of a run's head. */
export async function relationLines(tenuto: Tenuto, run: RunRecord): Promise<string[]> {
  const { relation, origin, from, dryRun, excluded, rollback } = await relationOf(tenuto, run);
  const lines: string[] = [];
  if (relation === "rollback") lines.push(`Undoes    ${origin ?? "a run that has been pruned"}`);
  if (relation === "rerun")
    lines.push(`Rerun of  ${origin ?? "a run that has been pruned"}${from === null ? "" : `, from job ${from}`}`);
  if (excluded.length > 0) lines.push(`Left out  ${excluded.join(", ")}`);
  if (dryRun) lines.push("Dry run   what changes something outside was planned, not run");
  if (rollback !== null)
    lines.push(
      `Rollback  ${rollback.state}${rollback.state === "rolled back" ? "" : ` (${rollback.done} of ${rollback.of})`} by run ${rollback.run}`,
    );
  return lines;
}

/** Whether the run is one whose jobs say why they did, or did not do, their work. */
export function saysWhy(run: RunRecord): boolean {
  const { relation, from, dryRun } = variantOf(run);
  return dryRun === true || (relation === "rerun" && typeof from === "string");
}

export interface JobReason {
  job: string;
  /** `reused`, `planned`, or what became of the job. */
  what: string;
  /** For a reused job where it is from, for another one why it was run again; null where there is nothing to say. */
  why: string | null;
  planned: Planned | null;
}

/** What became of each job, and why. */
export async function jobReasons(tenuto: Tenuto, run: RunRecord): Promise<JobReason[]> {
  const { ledger } = tenuto.engine.parts;
  const again = new Map<string, string>();
  for (let after = 0; ; ) {
    const page = await ledger.events(run.seq, after, EVENTS_PAGE);
    for (const { name, job, data } of page)
      if (name === "job.again" && job !== null) again.set(job, String(data?.["why"] ?? ""));
    if (page.length < EVENTS_PAGE) break;
    after = page.at(-1)!.seq;
  }
  return (await ledger.jobs(run.seq)).map((job) => {
    const reused = job.reason?.startsWith("reused:") === true ? job.reason.slice("reused:".length) : null;
    if (reused !== null) return { job: job.id, what: "reused", why: reused, planned: null };
    const planned = job.reason === PLANNED ? plannedOf(job.output) : null;
    if (planned !== null) return { job: job.id, what: PLANNED, why: planned.why, planned };
    const why = again.get(job.id) ?? (job.reason === null ? null : reasonText(job.reason));
    return { job: job.id, what: job.state, why, planned: null };
  });
}

function plannedOf(output: string | null): Planned | null {
  const value = output === null ? null : (JSON.parse(output) as { $planned?: Planned } | null);
  return value?.$planned ?? null;
}

/** The plan of a dry run, or what a rerun reused and ran again. */
export function reasonLines(run: RunRecord, reasons: readonly JobReason[]): string[] {
  const dry = variantOf(run).dryRun === true;
  const planned = reasons.filter((entry) => entry.planned !== null);
  const lines = dry
    ? [`${counted(planned.length, "job")} planned, not run:`]
    : [`${counted(reasons.filter((entry) => entry.what === "reused").length, "job")} reused of ${reasons.length}:`];
  const width = Math.min(40, Math.max(...reasons.map((entry) => entry.job.length), 0));
  for (const { job, what, why, planned: plan } of reasons) {
    if (dry && plan === null && what === "completed") continue;
    lines.push(`  ${job.padEnd(width)}  ${what}${why === null ? "" : `: ${oneLine(why)}`}`);
    if (plan === null) continue;
    const agent = plan.argv === null ? `${plan.agent} ` : "";
    const what_ = plan.argv === null ? plan.input : plan.argv;
    const items = plan.items === null ? "" : `, for ${counted(plan.items, "item")}`;
    lines.push(`  ${"".padEnd(width)}    ${agent}${JSON.stringify(what_ as Json)}${items}`);
  }
  return lines;
}
