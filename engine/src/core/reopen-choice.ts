/**
 * Retry of some jobs of a run: which jobs run again, and what speaks against it.
 *
 * Invariants: (1) what is chosen runs again, or the whole retry is refused with what is missing; (2) with it run again its
 * parents that did not complete, its children, and what was skipped or cancelled because of it; (3) whatever failed and was
 * not chosen stays as it is, and what needs it stays skipped.
 */
import type { EdgeRow, Rejection } from "./decision.ts";
import { reject } from "./decision.ts";
import type { ChosenItems } from "./fanout.ts";
import type { JobRow, JobSeq, StageRow } from "./model.ts";
import type { ReopenSlice } from "./reopen.ts";

export interface RetryChoice {
  /** Of the run's row, as it was when the choice was made: what has changed since is not what was chosen. */
  rowVersion: number;
  jobs: readonly JobSeq[];
  items: readonly ChosenItems[];
}

/** What stages will do to the ones after them, once the chosen jobs run again. */
export class Stages {
  private readonly hearing: boolean[] = [];
  private readonly bad: boolean[] = [];

  /** `rows` of a run that has ended: all jobs of each have. */
  constructor(rows: readonly StageRow[], chosen: readonly JobRow[]) {
    const unsettled = new Set(chosen.map((job) => job.stage));
    const mended = new Map<number, number>();
    for (const job of chosen)
      if (job.state === "failed" && job.allowFailure === 0) mended.set(job.stage, (mended.get(job.stage) ?? 0) + 1);
    for (const [at, row] of rows.entries()) {
      this.hearing.push(at > 0 && (unsettled.has(at - 1) || this.hearing[at - 1] === true));
      const behind = this.hearing[at] === true ? this.bad[at - 1] === true : row.tainted === 1;
      this.bad.push(row.failed > (mended.get(at) ?? 0) || behind);
    }
  }

  /** A stage before it settles again, so that it is looked at again whether that did well. */
  hears(stage: number): boolean {
    return this.hearing[stage] === true;
  }

  /** It keeps failed jobs, or stays behind a stage that does: the next one is not let in. */
  isBad(stage: number): boolean {
    return this.bad[stage] === true;
  }
}

const waitsFor = (job: JobRow, stages: Stages): boolean =>
  job.barrier === 1 && job.stage > 0 && stages.isBad(job.stage - 1);

/** Jobs that run again. */
export function chosenJobs(slice: ReopenSlice, choice: RetryChoice): Set<JobSeq> | Rejection {
  const rows = new Map(slice.jobs.map(({ job }) => [job.seq, job]));
  const explicit = new Set([...choice.jobs, ...choice.items.map((one) => one.job)]);
  for (const seq of explicit) {
    const refused = refusal(slice, rows.get(seq), choice);
    if (refused !== null) return refused;
  }
  const chosen = new Set<JobSeq>();
  const grow = growth(slice, rows, chosen);
  for (const seq of explicit) grow.whole(seq);
  for (const seq of explicit) grow.parents(seq);
  grow.stages();
  dropUnmet(slice, rows, chosen);
  for (const seq of explicit) if (!chosen.has(seq)) return notYet(slice, rows, rows.get(seq)!, chosen);
  return chosen;
}

function refusal({ run }: ReopenSlice, job: JobRow | undefined, choice: RetryChoice): Rejection | null {
  if (run.rowVersion !== choice.rowVersion)
    return reject("conflict", `run ${run.id} has changed since these jobs were chosen; look at it again`, {
      run: run.id,
    });
  if (job === undefined || job.state === "completed")
    return reject(
      "invalid_input",
      `${job === undefined ? "one of the jobs" : `job ${job.id}`} has completed: only what did not complete can be retried`,
      {
        run: run.id,
      },
    );
  return null;
}

/** Adds jobs with what hangs on them. */
function growth(slice: ReopenSlice, rows: ReadonlyMap<JobSeq, JobRow>, chosen: Set<JobSeq>) {
  const children = grouped(
    slice.jobs.map(({ job }) => job),
    (job) => job.parent,
  );
  const edges = grouped(slice.edges, (edge) => edge.from);
  const open = (seq: JobSeq) => rows.has(seq) && rows.get(seq)!.state !== "completed";
  /** Skipped or cancelled: it ended because of others. */
  const followed = (seq: JobSeq) => open(seq) && rows.get(seq)!.state !== "failed";
  const whole = (first: JobSeq) => {
    const list = [first];
    for (let seq = list.pop(); seq !== undefined; seq = list.pop()) {
      if (chosen.has(seq)) continue;
      chosen.add(seq);
      for (const child of children.get(seq) ?? []) if (open(child.seq)) list.push(child.seq);
      for (const edge of edges.get(seq) ?? []) if (followed(edge.to)) list.push(edge.to);
    }
  };
  /** A child alone is of no use: whoever spawned it takes its result. Its siblings stay. */
  const parents = (child: JobSeq) => {
    for (
      let seq = rows.get(child)!.parent;
      seq !== null && open(seq) && !chosen.has(seq);
      seq = rows.get(seq)!.parent
    ) {
      chosen.add(seq);
      for (const edge of edges.get(seq) ?? []) if (followed(edge.to)) whole(edge.to);
    }
  };
  /** Jobs of later stages that were not let in. */
  const stages = () => {
    for (let before = -1; before !== chosen.size; ) {
      before = chosen.size;
      const view = new Stages(slice.stages, rowsOf(rows, chosen));
      for (const { job } of slice.jobs)
        if (
          job.barrier === 1 &&
          !chosen.has(job.seq) &&
          followed(job.seq) &&
          view.hears(job.stage) &&
          !waitsFor(job, view)
        )
          whole(job.seq);
    }
  };
  return { whole, parents, stages };
}

const rowsOf = (rows: ReadonlyMap<JobSeq, JobRow>, chosen: ReadonlySet<JobSeq>): JobRow[] =>
  [...chosen].map((seq) => rows.get(seq)!);

function grouped<T>(list: readonly T[], key: (one: T) => JobSeq | null): Map<JobSeq, T[]> {
  const groups = new Map<JobSeq, T[]>();
  for (const one of list) {
    const at = key(one);
    if (at === null) continue;
    const known = groups.get(at);
    if (known === undefined) groups.set(at, [one]);
    else known.push(one);
  }
  return groups;
}

const isMet = (slice: ReopenSlice, edge: EdgeRow): boolean => {
  const state = slice.state(edge.from);
  return edge.on === "always" || state === (edge.on === "success" ? "completed" : "failed");
};

/** What needs something that stays as it is, or stands behind a stage that stays bad, stays too. */
function dropUnmet(slice: ReopenSlice, rows: ReadonlyMap<JobSeq, JobRow>, chosen: Set<JobSeq>): void {
  for (let before = -1; before !== chosen.size; ) {
    before = chosen.size;
    for (const edge of slice.edges)
      if (chosen.has(edge.to) && !chosen.has(edge.from) && !isMet(slice, edge)) chosen.delete(edge.to);
    const view = new Stages(slice.stages, rowsOf(rows, chosen));
    for (const seq of [...chosen]) if (waitsFor(rows.get(seq)!, view)) chosen.delete(seq);
    for (const { job } of slice.jobs)
      if (job.kind === "map" && job.parent !== null && !chosen.has(job.parent)) chosen.delete(job.seq);
  }
}

function notYet(
  slice: ReopenSlice,
  rows: ReadonlyMap<JobSeq, JobRow>,
  job: JobRow,
  chosen: ReadonlySet<JobSeq>,
): Rejection {
  const needs = slice.edges
    .filter((edge) => edge.to === job.seq && !chosen.has(edge.from) && !isMet(slice, edge))
    .map((edge) => rows.get(edge.from)?.id ?? String(edge.from));
  const stage = slice.stages[job.stage - 1]?.name;
  const why =
    needs.length > 0
      ? `it needs ${needs.slice(0, 5).join(", ")}, which did not end as it must`
      : job.kind === "map"
        ? "it belongs to a job that has ended"
        : `stage ${stage} before it has jobs that failed`;
  return reject("cannot_resume", `job ${job.id} can't run again alone: ${why}; choose that too`, {
    job: job.id,
    needs: needs.slice(0, 100),
  });
}
