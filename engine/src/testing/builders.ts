/**
 * Short ways to write down graphs and rows in tests.
 *
 * A graph is one line: stages separated by `|`, jobs by blanks. `b(a)` needs `a`, `b(a:failure,c:always)` says on what,
 * `b()` starts at once, `b!` may fail, `b*` is a fan-out. Without parentheses a job waits for the stage before.
 *
 * Owner: testing.
 */

import type { Slice } from "../core/decision.ts";
import type { PipelineDocument } from "../core/document.ts";
import type { StoredError } from "../core/errors.ts";
import type {
  DependencyType,
  FanoutRow,
  JobRow,
  JobState,
  Priority,
  RunRow,
  StageRow,
  WindowRow,
} from "../core/model.ts";
import { isJobEnd } from "../core/model.ts";
import { type Plan, planOf } from "../core/plan.ts";
import type { StartRequest } from "../core/run.ts";

const JOB = /^([\w-]+)(\*?)(!?)(?:\(([^)]*)\))?$/;

/** The document of a graph in the short form. */
export function graph(text: string, name = "test"): PipelineDocument {
  const stages = text.split("|").map((part, ordinal) => ({
    name: `s${ordinal + 1}`,
    jobs: part
      .trim()
      .split(/\s+/)
      .filter((word) => word !== "")
      .map(jobOf),
  }));
  return { name, stages } as unknown as PipelineDocument;
}

function jobOf(word: string): object {
  const match = JOB.exec(word);
  if (match === null) throw new Error(`not a job in the short form: ${word}`);
  const [, id, fanout, allow, needs] = match;
  return {
    id,
    agent: "test/agent",
    ...(fanout === "*" ? { forEach: { source: [], concurrency: 2, errorRate: 0.1 } } : {}),
    ...(allow === "!" ? { allowFailure: true } : {}),
    ...(needs === undefined
      ? {}
      : {
          needs: needs
            .split(",")
            .filter((need) => need !== "")
            .map((need) => ({ job: need.split(":")[0], on: (need.split(":")[1] ?? "success") as DependencyType })),
        }),
  };
}

export function planFrom(text: string): Plan {
  return planOf(graph(text));
}

export interface StartSettings {
  id?: string;
  version?: string;
  priority?: Priority;
  idempotencyKey?: string;
  requestHash?: string;
  params?: string;
  concurrency?: StartRequest["concurrency"];
  agent?: string;
}

/** A start of a graph or a plan. */
export function startOf(what: string | Plan, settings: StartSettings = {}): StartRequest {
  const plan = typeof what === "string" ? planFrom(what) : what;
  return {
    pipeline: "test",
    version: settings.version ?? "v1",
    plan:
      settings.agent === undefined
        ? plan
        : { ...plan, jobs: plan.jobs.map((job) => ({ ...job, agent: settings.agent as string })) },
    priority: settings.priority ?? "normal",
    makeId: (seq) => settings.id ?? `run-${seq}`,
    facts: {
      params: settings.params ?? "{}",
      idempotencyKey: settings.idempotencyKey ?? null,
      requestHash: settings.requestHash ?? null,
      labels: null,
    },
    concurrency: settings.concurrency ?? null,
  };
}

export function errorOf(category: StoredError["category"], code = category): StoredError {
  return { category, code, message: `it is ${category}` };
}

export function runRow(patch: Partial<RunRow> = {}): RunRow {
  return {
    seq: 1,
    id: "run-1",
    pipeline: "test",
    version: "v1",
    state: "running",
    priority: "normal",
    stageCount: 1,
    jobCount: 1,
    openJobs: 1,
    liveJobs: 0,
    waitingJobs: 0,
    failedJobs: 0,
    spawnedJobs: 0,
    firstJob: 1,
    propagating: 0,
    eventSeq: 0,
    concurrencyKey: null,
    createdAt: 0,
    startedAt: null,
    endedAt: null,
    cancelRequestedAt: null,
    haltedAt: null,
    origin: null,
    variant: null,
    rowVersion: 0,
    ...patch,
  };
}

export function stageRow(patch: Partial<StageRow> = {}): StageRow {
  return {
    run: 1,
    ordinal: 0,
    name: "s1",
    firstJob: 1,
    declared: 1,
    total: 1,
    settled: 0,
    completed: 0,
    failed: 0,
    skipped: 0,
    cancelled: 0,
    tainted: 0,
    ...patch,
  };
}

export function jobRow(patch: Partial<JobRow> = {}): JobRow {
  return {
    seq: 1,
    run: 1,
    id: "a",
    stage: 0,
    kind: "single",
    agent: "test/agent",
    state: "pending",
    priority: "normal",
    allowFailure: 0,
    blockers: 0,
    barrier: 0,
    hasDependents: 0,
    parent: null,
    depth: 0,
    children: 0,
    openChildren: 0,
    approvals: 0,
    claimable: 0,
    rank: 0,
    dueAt: null,
    attempt: 0,
    failures: 0,
    crashes: 0,
    holding: 0,
    epoch: 0,
    boot: null,
    attemptBoot: null,
    readyAt: null,
    firstStartedAt: null,
    startedAt: null,
    endedAt: null,
    cancelRequestedAt: null,
    reason: null,
    rowVersion: 0,
    ...patch,
  };
}

export function fanoutRow(patch: Partial<FanoutRow> = {}): FanoutRow {
  return {
    job: 1,
    source: "0".repeat(64),
    total: 10,
    cursor: 0,
    concurrency: 2,
    slotsUsed: 0,
    leased: 0,
    retryCursor: null,
    released: 0,
    windowEpoch: 0,
    windowSize: 4,
    completed: 0,
    failed: 0,
    skipped: 0,
    duplicates: 0,
    errorRate: 0.5,
    stopped: 0,
    lastOrdinal: null,
    progressAt: 0,
    ...patch,
  };
}

export function windowRow(patch: Partial<WindowRow> = {}): WindowRow {
  return { job: 1, start: 0, stop: 4, open: 4, epoch: 1, boot: 7, slots: 2, ...patch };
}

/** The slice of a run's only job in this state, attempt 3 under boot 7 if it runs; a waiting one is due at 5,000. */
export function sliceIn(state: JobState, patch: Partial<JobRow> = {}, run: Partial<RunRow> = {}): Slice {
  const over = isJobEnd(state);
  const job = jobRow({
    state,
    blockers: state === "pending" ? 1 : 0,
    claimable: state === "ready" ? 1 : 0,
    boot: state === "running" ? 7 : null,
    attemptBoot: state === "running" ? 7 : null,
    dueAt: state === "waiting" ? 5_000 : null,
    epoch: 3,
    attempt: 3,
    startedAt: 1,
    endedAt: over ? 2 : null,
    openChildren: 1,
    children: 1,
    ...patch,
  });
  const live = state === "ready" || state === "running" ? 1 : 0;
  const counters = { openJobs: over ? 0 : 1, liveJobs: live, waitingJobs: state === "waiting" ? 1 : 0 };
  const stage = stageRow({
    settled: over ? 1 : 0,
    failed: state === "failed" ? 1 : 0,
    completed: state === "completed" ? 1 : 0,
  });
  return {
    run: runRow({ ...counters, failedJobs: state === "failed" ? 1 : 0, ...run }),
    stage,
    job,
    fanout: null,
    window: null,
  };
}
