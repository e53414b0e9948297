/**
 * A run that was worked on elsewhere, taken into the ledger as it ended: run, jobs, attempts and artifacts in one transaction.
 *
 * Invariants: (1) it is ended from its first row on, so that nobody ever claims a job of it; (2) a retry is refused, as there
 * is nothing that could be worked on; (3) all rules that hold for rows of runs that ended here hold for it.
 */
import type { AttemptRow, Effect, RunFacts, Verdict } from "./decision.ts";
import { reject } from "./decision.ts";
import type { JobRow, JobSeq, RunRow, RunSeq, StageRow } from "./model.ts";
import type { Plan } from "./plan.ts";
import { blankJob, type Numbers, newStage, type StartSlice } from "./run.ts";

export type ImportedEnd = "completed" | "failed" | "skipped" | "cancelled";

export interface ImportedJob {
  id: string;
  /** Ordinal of its stage. */
  stage: number;
  agent: string;
  /** Position of the job that spawned it, which comes before it; null for a declared one. */
  parent: number | null;
  state: ImportedEnd;
  reason: string | null;
  attempts: number;
  startedAt: number | null;
  endedAt: number;
  /** JSON, or null. */
  output: string | null;
  error: string | null;
  /** JSON of its spec, for spawned ones. */
  spec: string | null;
  artifacts: readonly { name: string; type: string; sha256: string; bytes: number; mediaType: string }[];
}

export interface ImportRequest {
  pipeline: string;
  version: string;
  plan: Plan;
  makeId: (seq: RunSeq) => string;
  facts: RunFacts;
  state: "completed" | "failed" | "cancelled";
  createdAt: number;
  startedAt: number | null;
  endedAt: number;
  /** Declared ones first, in the plan's order. */
  jobs: readonly ImportedJob[];
}

export interface Imported {
  seq: RunSeq;
  id: string;
  /** False if it had been imported before. */
  created: boolean;
}

export function importRun(slice: StartSlice, request: ImportRequest, numbers: Numbers): Verdict<Imported> {
  const { twin } = slice;
  if (twin !== null) {
    if (twin.requestHash !== request.facts.requestHash)
      return reject("idempotency_mismatch", `the key of this import was used for run ${twin.id} with other content`, {
        run: twin.id,
      });
    return { ok: true, result: { seq: twin.seq, id: twin.id, created: false } };
  }
  const seq = numbers.run();
  const firstJob = numbers.jobs(request.jobs.length);
  const run = runOf(request, seq, firstJob);
  const effects: Effect[] = [{ type: "insertRun", row: run, facts: request.facts }];
  for (const row of stagesOf(request, seq, firstJob)) effects.push({ type: "insertStage", row });
  for (const [at, job] of request.jobs.entries()) {
    const row = jobOf(request, run, at);
    effects.push({ type: "insertJob", job: { row, spec: job.spec } });
    if (job.output !== null || job.error !== null)
      effects.push({ type: "payload", job: row.seq, output: job.output, error: job.error });
    for (const attempt of attemptsOf(row, job)) effects.push({ type: "attempt", row: attempt });
    for (const artifact of job.artifacts)
      effects.push({
        type: "artifact",
        row: { ...artifact, run: seq, job: row.seq, attempt: row.attempt, at: job.endedAt },
      });
  }
  for (const edge of request.plan.edges)
    effects.push({ type: "insertEdge", row: { from: firstJob + edge.from, to: firstJob + edge.to, on: edge.on } });
  effects.push({ type: "event", name: "run.imported", job: null, data: { pipeline: request.pipeline } });
  for (const job of request.jobs) effects.push({ type: "event", name: `job.${job.state}`, job: job.id });
  effects.push({ type: "event", name: `run.${request.state}`, job: null });
  return { ok: true, effects, result: { seq, id: run.id, created: true } };
}

function runOf(request: ImportRequest, seq: RunSeq, firstJob: JobSeq): RunRow {
  const { jobs } = request;
  return {
    seq,
    id: request.makeId(seq),
    pipeline: request.pipeline,
    version: request.version,
    state: request.state,
    priority: "normal",
    stageCount: request.plan.stages.length,
    jobCount: jobs.length,
    openJobs: 0,
    liveJobs: 0,
    waitingJobs: 0,
    failedJobs: request.state === "completed" ? 0 : jobs.filter((job) => job.state === "failed").length,
    spawnedJobs: jobs.filter((job) => job.parent !== null).length,
    firstJob,
    propagating: 0,
    eventSeq: 0,
    concurrencyKey: null,
    createdAt: request.createdAt,
    startedAt: request.startedAt,
    endedAt: request.endedAt,
    cancelRequestedAt: request.state === "cancelled" ? request.endedAt : null,
    // A run that failed without any failed job was stopped from outside.
    haltedAt: request.state === "failed" && !jobs.some((job) => job.state === "failed") ? request.endedAt : null,
    origin: null,
    variant: JSON.stringify({ relation: "import" }),
    rowVersion: 0,
  };
}

function stagesOf(request: ImportRequest, run: RunSeq, firstJob: JobSeq): StageRow[] {
  const rows = request.plan.stages.map((stage, ordinal) =>
    newStage(run, ordinal, stage.name, firstJob + stage.firstJob, stage.declared),
  );
  const counted = request.state !== "completed";
  for (const job of request.jobs) {
    const row = rows[job.stage]!;
    if (job.parent !== null) row.total += 1;
    row.settled += 1;
    if (job.state !== "failed" || counted) row[job.state] += 1;
  }
  return rows;
}

function jobOf(request: ImportRequest, run: RunRow, at: number): JobRow {
  const job = request.jobs[at]!;
  const planned = request.plan.jobs[at];
  const parent = job.parent === null ? null : run.firstJob + job.parent;
  const children = request.jobs.filter((other) => other.parent === at).length;
  return {
    ...blankJob(run.firstJob + at, run.seq, job.id, job.stage, "single", job.agent, "normal", request.createdAt),
    state: job.state,
    allowFailure: request.state === "completed" ? 1 : 0,
    hasDependents: planned?.hasDependents ?? 0,
    barrier: planned?.barrier ?? 0,
    parent,
    depth: depthOf(request.jobs, at),
    children,
    attempt: job.attempts,
    epoch: job.attempts,
    failures: job.state === "failed" ? job.attempts : Math.max(0, job.attempts - 1),
    readyAt: job.startedAt,
    firstStartedAt: job.startedAt,
    startedAt: job.startedAt,
    endedAt: job.endedAt,
    reason: job.reason,
  };
}

function depthOf(jobs: readonly ImportedJob[], at: number): number {
  let depth = 0;
  for (let parent = jobs[at]!.parent; parent !== null; parent = jobs[parent]!.parent) depth += 1;
  return depth;
}

/** What is known of former attempts is their number; they get the times of the job. */
function attemptsOf(row: JobRow, job: ImportedJob): AttemptRow[] {
  const startedAt = job.startedAt ?? job.endedAt;
  return Array.from({ length: job.attempts }, (_, index) => ({
    job: row.seq,
    number: index + 1,
    epoch: index + 1,
    boot: null,
    state:
      index + 1 < job.attempts
        ? "failed"
        : job.state === "completed"
          ? "completed"
          : job.state === "failed"
            ? "failed"
            : "stopped",
    startedAt,
    endedAt: job.endedAt,
    error: null,
  }));
}
