/**
 * Rules of a run: start, cancel, halt, reopening, spawning, and the state that follows from its counters.
 *
 * Invariants: (1) a run's state is a function of its counters and of cancel and halt, derived once per transaction;
 * (2) a cancel is one column of the run that every claim, report, spawn and retry reads in its own transaction, the sweep
 * over its jobs follows in batches; (3) with a concurrency key, at most one run of that key is not `pending` and not over.
 */
import type { Decision, Effect, RunFacts, Slice, Verdict } from "./decision.ts";
import { leaseLost, reject } from "./decision.ts";
import type { Lease } from "./job.ts";
import { MAX_CHILDREN_PER_JOB, MAX_DEPTH, MAX_SPAWNED_PER_RUN } from "./limits.ts";
import type { JobKind, JobRow, JobSeq, Priority, RunRow, RunSeq, RunState, RunVariant, StageRow } from "./model.ts";
import { isRunEnd } from "./model.ts";
import type { Plan, PlannedJob } from "./plan.ts";
import { type OriginSlice, originRefusal } from "./rollback.ts";
import { rankOf } from "./schedule.ts";

/** Hands out ledger-wide numbers inside the transaction. */
export interface Numbers {
  run(): RunSeq;
  /** The first of `count` consecutive job numbers. */
  jobs(count: number): JobSeq;
}

export interface StartRequest {
  pipeline: string;
  version: string;
  plan: Plan;
  priority: Priority;
  makeId: (seq: RunSeq) => string;
  facts: RunFacts;
  concurrency: { key: string; onConflict: "queue" | "refuse" | "replace" } | null;
  /** The run that this one comes from, and how; ordinary runs have none. */
  origin?: RunSeq | null;
  variant?: RunVariant | null;
  /** JSON of specs that take the place of the plan's, by ordinal. */
  specs?: ReadonlyMap<number, string>;
}

/** What a start finds in the ledger. */
export interface StartSlice {
  /** The run with the same idempotency key. */
  twin: { seq: RunSeq; id: string; requestHash: string | null } | null;
  /** The run that holds the concurrency key. */
  holder: { seq: RunSeq; id: string } | null;
  /** The run that this one comes from. */
  origin: OriginSlice | null;
}

export interface Started {
  seq: RunSeq;
  id: string;
  /** False if an earlier start with the same idempotency key made this run. */
  created: boolean;
  queuedBehind: string | null;
}

/** Inserts a run with all its declared jobs; those without blockers are ready at once. */
export function startRun(slice: StartSlice, request: StartRequest, numbers: Numbers, at: number): Verdict<Started> {
  if (slice.twin !== null) {
    if (slice.twin.requestHash !== request.facts.requestHash) {
      return reject(
        "idempotency_mismatch",
        `the idempotency key was used for run ${slice.twin.id} with another pipeline or other params`,
        { run: slice.twin.id },
      );
    }
    return { ok: true, result: { seq: slice.twin.seq, id: slice.twin.id, created: false, queuedBehind: null } };
  }
  const relation = request.variant?.relation;
  if (relation === "rollback" || relation === "rerun") {
    if (slice.origin === null)
      return reject("not_found", "the run that this one would come from is not there any more");
    const refused = originRefusal(slice.origin, relation);
    if (refused !== null) return refused;
  }
  const held = request.concurrency !== null && slice.holder !== null;
  if (held && request.concurrency?.onConflict === "refuse") {
    return reject(
      "concurrency_refused",
      `run ${slice.holder?.id} already holds the concurrency key ${JSON.stringify(request.concurrency.key)}`,
      { run: slice.holder?.id },
    );
  }
  const { plan } = request;
  const seq = numbers.run();
  const firstJob = numbers.jobs(plan.jobs.length);
  const live = held ? 0 : plan.jobs.filter((job) => job.blockers === 0).length;
  const run: RunRow = {
    seq,
    id: request.makeId(seq),
    pipeline: request.pipeline,
    version: request.version,
    state: held ? "pending" : "running",
    priority: request.priority,
    stageCount: plan.stages.length,
    jobCount: plan.jobs.length,
    openJobs: plan.jobs.length,
    liveJobs: live,
    waitingJobs: 0,
    failedJobs: 0,
    spawnedJobs: 0,
    firstJob,
    propagating: 0,
    eventSeq: 0,
    concurrencyKey: request.concurrency?.key ?? null,
    createdAt: at,
    startedAt: null,
    endedAt: null,
    cancelRequestedAt: null,
    haltedAt: null,
    origin: request.origin ?? null,
    variant: request.variant == null ? null : JSON.stringify(request.variant),
    rowVersion: 0,
  };
  const effects: Effect[] = [{ type: "insertRun", row: run, facts: request.facts }];
  for (const [ordinal, stage] of plan.stages.entries())
    effects.push({
      type: "insertStage",
      row: newStage(seq, ordinal, stage.name, firstJob + stage.firstJob, stage.declared),
    });
  for (const job of plan.jobs)
    effects.push({
      type: "insertJob",
      job: { row: declaredJob(run, job, held, at), spec: request.specs?.get(job.ordinal) ?? null },
    });
  for (const edge of plan.edges)
    effects.push({ type: "insertEdge", row: { from: firstJob + edge.from, to: firstJob + edge.to, on: edge.on } });
  effects.push({
    type: "event",
    name: "run.created",
    job: null,
    data: { pipeline: request.pipeline, version: request.version },
  });
  if (held && request.concurrency?.onConflict === "replace" && slice.holder !== null) {
    effects.push({ type: "propagate", row: { kind: "replace", run: slice.holder.seq, subject: seq, cursor: 0 } });
  }
  return {
    ok: true,
    effects,
    result: { seq, id: run.id, created: true, queuedBehind: held ? (slice.holder?.id ?? null) : null },
  };
}

export function newStage(run: RunSeq, ordinal: number, name: string, firstJob: JobSeq, declared: number): StageRow {
  return {
    run,
    ordinal,
    name,
    firstJob,
    declared,
    total: declared,
    settled: 0,
    completed: 0,
    failed: 0,
    skipped: 0,
    cancelled: 0,
    tainted: 0,
  };
}

function declaredJob(run: RunRow, planned: PlannedJob, held: boolean, at: number): JobRow {
  const ready = !held && planned.blockers === 0;
  const priority = planned.priority ?? run.priority;
  return {
    ...blankJob(
      run.firstJob + planned.ordinal,
      run.seq,
      planned.id,
      planned.stage,
      planned.kind,
      planned.agent,
      priority,
      at,
    ),
    state: ready ? "ready" : "pending",
    claimable: ready ? 1 : 0,
    readyAt: ready ? at : null,
    allowFailure: planned.allowFailure,
    blockers: planned.blockers,
    barrier: planned.barrier,
    hasDependents: planned.hasDependents,
  };
}

export function blankJob(
  seq: JobSeq,
  run: RunSeq,
  id: string,
  stage: number,
  kind: JobKind,
  agent: string,
  priority: Priority,
  at: number,
): JobRow {
  return {
    seq,
    run,
    id,
    stage,
    kind,
    agent,
    state: "pending",
    priority,
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
    rank: rankOf(priority, at),
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
  };
}

/** A cancel is accepted in any state before the end; what it means for the jobs follows in batches. */
export function requestCancel(run: RunRow, reason: string | null, at: number): Verdict<boolean> {
  if (isRunEnd(run.state))
    return reject("illegal_transition", `run ${run.id} is ${run.state} and cannot be cancelled`, {
      run: run.id,
      from: run.state,
    });
  if (run.cancelRequestedAt !== null) return { ok: true, result: false };
  return {
    ok: true,
    run: { cancelRequestedAt: at },
    effects: [
      reason === null
        ? { type: "event", name: "run.cancelRequested", job: null }
        : { type: "event", name: "run.cancelRequested", job: null, data: { reason } },
      { type: "propagate", row: { kind: "cancel", run: run.seq, subject: 0, cursor: 0 } },
    ],
    result: true,
  };
}

/** A queued run gets its concurrency key. */
export function beginRun(run: RunRow): Verdict<boolean> {
  if (run.state !== "pending") return { ok: true, result: false };
  return {
    ok: true,
    run: { state: "running" },
    effects: [
      { type: "event", name: "run.started", job: null },
      { type: "propagate", row: { kind: "begin", run: run.seq, subject: 0, cursor: 0 } },
    ],
    result: true,
  };
}

/**
 * The state that follows from a run's counters; null if it stays. Called once per changed run when everything else of
 * the transaction is decided. `deadlock` asks for the sweep that names the jobs which can never start.
 */
export function settleRun(run: RunRow, at: number): { decision: Decision; deadlock: boolean } | null {
  if (isRunEnd(run.state)) return null;
  if (run.openJobs === 0) {
    const state: RunState =
      run.cancelRequestedAt !== null
        ? "cancelled"
        : run.failedJobs > 0 || run.haltedAt !== null
          ? "failed"
          : "completed";
    const effects: Effect[] = [{ type: "event", name: `run.${state}`, job: null }];
    if (run.concurrencyKey !== null)
      effects.push({ type: "propagate", row: { kind: "keyFreed", run: run.seq, subject: 0, cursor: 0 } });
    return {
      decision: { ok: true, run: { state, endedAt: Math.max(at, run.startedAt ?? run.createdAt) }, effects },
      deadlock: false,
    };
  }
  if (run.state === "pending" || run.propagating > 0) return null;
  if (run.liveJobs > 0) {
    return run.state === "waiting" ? { decision: { ok: true, run: { state: "running" } }, deadlock: false } : null;
  }
  if (run.waitingJobs > 0)
    return run.state === "running" ? { decision: { ok: true, run: { state: "waiting" } }, deadlock: false } : null;
  return run.cancelRequestedAt !== null || run.haltedAt !== null ? null : { decision: { ok: true }, deadlock: true };
}

export interface SpawnRequest {
  /** Id below the parent: `<parent>/<key>`. */
  key: string;
  kind: JobKind;
  agent: string;
  /** Priority of the child; default the parent's. */
  priority: Priority | null;
  allowFailure: boolean;
  /** JSON of the child's JobSpec. */
  spec: string;
  /** Children that the parent may have by its own spec; absent: only the engine's bound. */
  maxChildren?: number;
}

export interface Spawned {
  seq: JobSeq;
  id: string;
  created: boolean;
  state: JobRow["state"];
}

/**
 * A running job adds a child to its run; it starts at once. `slice.stage` is the child's stage, `twin` the child of that
 * key if it is there already. A `map` child starts under the parent's boot.
 */
export function spawnJob(
  slice: Slice,
  lease: Lease,
  request: SpawnRequest,
  twin: JobRow | null,
  numbers: Numbers,
  at: number,
): Verdict<Spawned> {
  const { run, stage, job: parent } = slice;
  if (parent.state !== "running" || parent.epoch !== lease.epoch || parent.boot !== lease.boot)
    return leaseLost(parent, lease.epoch);
  if (twin !== null) return { ok: true, result: { seq: twin.seq, id: twin.id, created: false, state: twin.state } };
  if (run.cancelRequestedAt !== null)
    return reject("run_cancelled", `run ${run.id} is being cancelled; job ${parent.id} cannot spawn`);
  if (run.haltedAt !== null) return reject("run_cancelled", `run ${run.id} was halted; job ${parent.id} cannot spawn`);
  const limit = spawnLimit(run, parent);
  if (limit !== null) return limit;
  const { maxChildren } = request;
  if (maxChildren !== undefined && parent.children >= maxChildren)
    return reject(
      "spawn_limit",
      `job ${parent.id} has spawned ${parent.children} jobs already; spawns.children is ${maxChildren}`,
    );
  const seq = numbers.jobs(1);
  const child: JobRow = {
    ...blankJob(
      seq,
      run.seq,
      `${parent.id}/${request.key}`,
      stage.ordinal,
      request.kind,
      request.agent,
      request.priority ?? parent.priority,
      at,
    ),
    state: "ready",
    claimable: request.kind === "map" ? 0 : 1,
    readyAt: at,
    allowFailure: request.allowFailure ? 1 : 0,
    parent: parent.seq,
    depth: parent.depth + 1,
  };
  return {
    ok: true,
    run: {
      jobCount: run.jobCount + 1,
      openJobs: run.openJobs + 1,
      liveJobs: run.liveJobs + 1,
      spawnedJobs: run.spawnedJobs + 1,
    },
    stage: { total: stage.total + 1 },
    job: { children: parent.children + 1, openChildren: parent.openChildren + 1 },
    effects: [
      { type: "insertJob", job: { row: child, spec: request.spec } },
      { type: "event", name: "job.spawned", job: child.id, data: { parent: parent.id, agent: request.agent } },
      { type: "ready", job: child },
    ],
    result: { seq, id: child.id, created: true, state: "ready" },
  };
}

function spawnLimit(run: RunRow, parent: JobRow) {
  const over = (what: string, limit: number) =>
    reject("spawn_limit", `job ${parent.id} cannot spawn another job: ${what} is limited to ${limit}`, {
      job: parent.id,
      limit,
    });
  if (parent.depth + 1 > MAX_DEPTH) return over("the depth of spawned jobs", MAX_DEPTH);
  if (parent.children >= MAX_CHILDREN_PER_JOB) return over("the number of children of one job", MAX_CHILDREN_PER_JOB);
  if (run.spawnedJobs >= MAX_SPAWNED_PER_RUN) return over("the number of spawned jobs of one run", MAX_SPAWNED_PER_RUN);
  return null;
}
