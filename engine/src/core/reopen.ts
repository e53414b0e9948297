/**
 * Retry of a run that failed or was cancelled: what did not complete is pending again, with its dependencies counted anew;
 * or only what was chosen, with what hangs on it.
 *
 * Invariants: (1) completed jobs stay; (2) what can never run any more stays as it is, and so does what needs it; (3) a
 * stage whose jobs all stay but which follows a failed one keeps its taint until that one has settled again.
 */
import type { Decision, EdgeRow, Slice, Verdict } from "./decision.ts";
import { reject } from "./decision.ts";
import { reopenFanout } from "./fanout.ts";
import type { JobSeq, JobState, RunRow, RunSeq, StageRow } from "./model.ts";
import { isRunEnd, variantOf } from "./model.ts";
import { reopenJob } from "./release.ts";
import { chosenJobs, type RetryChoice, Stages } from "./reopen-choice.ts";

export interface Reopened {
  jobs: number;
}

export interface ReopenSlice {
  run: RunRow;
  /** All jobs that did not complete, and those that did but have children; in the order of their numbers. */
  jobs: Slice[];
  edges: EdgeRow[];
  state(job: JobSeq): JobState | undefined;
  stages: StageRow[];
  /** Another run that has this run's concurrency key and has not ended. */
  holder: { seq: RunSeq; id: string } | null;
  /** Its rollback, if there is one. */
  rollback: { seq: RunSeq; id: string } | null;
}

export function reopen(slice: ReopenSlice, at: number, choice: RetryChoice | null = null): Verdict<Reopened> {
  const row = slice.run;
  const refused = refusal(slice);
  if (refused !== null) return refused;
  const chosen = choice === null ? reopenable(slice) : chosenJobs(slice, choice);
  if (!(chosen instanceof Set)) return chosen;
  const items = new Map((choice?.items ?? []).map((one) => [one.job, one]));
  const needed = new Map<JobSeq, number>();
  for (const edge of slice.edges) if (chosen.has(edge.from)) needed.set(edge.to, (needed.get(edge.to) ?? 0) + 1);
  const reopening = slice.jobs.filter((entry) => chosen.has(entry.job.seq));
  const unsettled = new Set(reopening.map((entry) => entry.job.stage));
  const tainted = new Set(slice.stages.filter((stage) => stage.tainted === 1).map((stage) => stage.ordinal));
  const view = new Stages(
    slice.stages,
    reopening.map((entry) => entry.job),
  );
  const children = new Map<JobSeq, number>();
  for (const { job } of reopening)
    if (job.parent !== null) children.set(job.parent, (children.get(job.parent) ?? 0) + 1);
  const then: NonNullable<Decision["then"]> = slice.jobs
    .filter(({ job }) => chosen.has(job.seq) || children.has(job.seq))
    .map((entry) => ({
      slice: entry,
      decide: () => {
        const { job } = entry;
        const openChildren = children.get(job.seq) ?? 0;
        if (!chosen.has(job.seq)) return { ok: true, job: { openChildren } };
        const before = job.stage - 1;
        const barrier = job.barrier === 1 && (unsettled.has(before) || tainted.has(before)) ? 1 : 0;
        const keepsTaint = tainted.has(job.stage) && !view.hears(job.stage);
        const some = items.get(job.seq) ?? null;
        const blockers = (needed.get(job.seq) ?? 0) + barrier;
        const verdict = reopenJob(entry, { blockers, openChildren, keepsTaint, items: some?.ordinals ?? null }, at);
        if (!verdict.ok || entry.fanout === null) return verdict;
        return { ...verdict, fanout: reopenFanout(entry.fanout, some) };
      },
    }));
  return {
    ok: true,
    run: { state: "running", endedAt: null, cancelRequestedAt: null, haltedAt: null },
    effects: [
      { type: "event", name: "run.reopened", job: null, data: { jobs: reopening.length } },
      { type: "propagate", row: { kind: "begin", run: row.seq, subject: 0, cursor: 0 } },
    ],
    then,
    result: { jobs: reopening.length },
  };
}

function refusal({ run, holder, rollback }: ReopenSlice) {
  if (!isRunEnd(run.state))
    return reject(
      "illegal_transition",
      `run ${run.id} is ${run.state}; only a failed or cancelled run can be retried`,
      { run: run.id, from: run.state },
    );
  if (variantOf(run).relation === "import")
    return reject("cannot_resume", `run ${run.id} was worked on elsewhere and imported; it cannot be retried here`, {
      run: run.id,
    });
  if (run.state === "completed")
    return reject("cannot_resume", `run ${run.id} is completed; there is nothing to retry`, { run: run.id });
  if (rollback !== null)
    return reject(
      "cannot_resume",
      `run ${run.id} is rolled back by run ${rollback.id}: what it did is undone, or about to be`,
      { run: run.id, rollback: rollback.id },
    );
  if (run.propagating > 0)
    return reject("conflict", `run ${run.id} has only just ended and is still being tidied up; try again`, {
      run: run.id,
    });
  if (holder !== null)
    return reject(
      "concurrency_refused",
      `run ${holder.id} holds the concurrency key ${JSON.stringify(run.concurrencyKey)}; retry run ${run.id} when it has ended`,
      { run: holder.id },
    );
  return null;
}

/** Jobs that run again: all that did not complete, but for those whose needs can never be met. */
function reopenable(slice: ReopenSlice): Set<JobSeq> {
  const chosen = new Set(slice.jobs.filter(({ job }) => job.state !== "completed").map(({ job }) => job.seq));
  const edgesFrom = new Map<JobSeq, EdgeRow[]>();
  for (const edge of slice.edges) {
    const known = edgesFrom.get(edge.from);
    if (known === undefined) edgesFrom.set(edge.from, [edge]);
    else known.push(edge);
  }
  const staying = [...edgesFrom.keys()].filter((job) => !chosen.has(job));
  for (let from = staying.pop(); from !== undefined; from = staying.pop()) {
    const state = slice.state(from);
    for (const edge of edgesFrom.get(from) ?? []) {
      const met = edge.on === "always" || state === (edge.on === "success" ? "completed" : "failed");
      if (!met && chosen.delete(edge.to)) staying.push(edge.to);
    }
  }
  for (const { job } of slice.jobs)
    if (job.kind === "map" && job.parent !== null && !chosen.has(job.parent)) chosen.delete(job.seq);
  return chosen;
}
