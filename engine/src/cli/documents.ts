/**
 * The JSON documents of `--json`: what they are called and what they hold. Their shape is a promise to scripts, so it is
 * written down here and nowhere else; a change that breaks readers gets a new number in its `schema`.
 */
import type { ItemRow } from "../core/decision.ts";
import type { FanoutRow, Json, StageRow } from "../core/model.ts";
import type { JobRecord, RunRecord } from "../ports/ledger.ts";
import { storedError } from "./failure.ts";

export function runDocument(run: RunRecord) {
  return {
    id: run.id,
    pipeline: run.pipeline,
    version: run.version,
    state: run.state,
    priority: run.priority,
    params: JSON.parse(run.params) as Json,
    idempotencyKey: run.idempotencyKey,
    concurrencyKey: run.concurrencyKey,
    jobs: { total: run.jobCount, open: run.openJobs, failed: run.failedJobs, spawned: run.spawnedJobs },
    createdAt: time(run.createdAt),
    startedAt: time(run.startedAt),
    endedAt: time(run.endedAt),
    cancelRequestedAt: time(run.cancelRequestedAt),
    haltedAt: time(run.haltedAt),
  };
}

/** Failed jobs of a stage that were allowed to: what has settled in no other way. */
export function allowedFailures(stage: StageRow): number {
  const { settled, completed, failed, skipped, cancelled } = stage;
  return Math.max(0, settled - completed - failed - skipped - cancelled);
}

export function stageDocument(stage: StageRow, jobs: readonly JobRecord[] = []) {
  const { name, total, settled, completed, failed, skipped, cancelled } = stage;
  return {
    name,
    state: stageState(stage, jobs),
    total,
    settled,
    completed,
    failed,
    skipped,
    cancelled,
    allowedFailures: allowedFailures(stage),
  };
}

export function jobDocument(job: JobRecord, stage: string, parent: string | null) {
  return {
    id: job.id,
    stage,
    kind: job.kind,
    agent: job.agent,
    state: job.state,
    reason: job.reason,
    parent,
    attempt: job.attempt,
    failures: job.failures,
    crashes: job.crashes,
    allowFailure: job.allowFailure === 1,
    startedAt: time(job.firstStartedAt),
    endedAt: time(job.endedAt),
    dueAt: time(job.dueAt),
    output: job.output === null ? null : (JSON.parse(job.output) as Json),
    error: storedError(job.error),
  };
}

/** Counts of a fan-out; null for other jobs. */
export function itemsDocument(fanout: FanoutRow | null | undefined) {
  if (fanout == null) return null;
  const { total, completed, failed, skipped, duplicates, lastOrdinal } = fanout;
  return { total, completed, failed, skipped: skipped - duplicates, duplicates, lastOrdinal };
}

export function itemDocument(job: string, item: ItemRow) {
  return {
    job,
    ordinal: item.ordinal,
    state: item.state,
    attempts: item.attempts,
    error: storedError(item.error),
    endedAt: time(item.endedAt),
  };
}

export function time(at: number | null): string | null {
  return at === null ? null : new Date(at).toISOString();
}

/** The state that follows from a stage's counters, and from its jobs as far as they are known. */
export function stageState(stage: StageRow, jobs: readonly JobRecord[] = []): string {
  const begun = stage.settled > 0 || jobs.some((job) => job.stage === stage.ordinal && job.firstStartedAt !== null);
  if (stage.settled < stage.total) return begun ? "running" : "pending";
  if (stage.failed > 0) return "failed";
  if (stage.cancelled > 0) return "cancelled";
  return stage.completed === 0 && stage.skipped > 0 ? "skipped" : "completed";
}
