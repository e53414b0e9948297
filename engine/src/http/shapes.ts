/** From rows of the ledger to the shapes of the contract. */
import type * as contract from "../contract/index.ts";
import type { StoredError } from "../core/errors.ts";
import type { Json, StageRow } from "../core/model.ts";
import { variantOf } from "../core/model.ts";
import type { ApprovalRow } from "../core/records.ts";
import type { ScheduleRow } from "../core/scheduling.ts";
import type { EventRow } from "../core/unit.ts";
import type { ArtifactRecord } from "../ports/artifacts.ts";
import type { JobSummary, RunSummary } from "../ports/feed.ts";
import type { LogLine } from "../ports/log-sink.ts";

export function time(at: number): string;
export function time(at: number | null): string | null;
export function time(at: number | null): string | null {
  return at === null ? null : new Date(at).toISOString();
}

export function json(text: string | null): Json {
  return text === null ? null : (JSON.parse(text) as Json);
}

/** An error as it may be shown: without the stack, which names paths of the worker. */
export function errorShape(text: string | null): StoredError | null {
  if (text === null) return null;
  const { stack: _, ...error } = JSON.parse(text) as StoredError;
  return error;
}

export function runShape(run: RunSummary): contract.RunSummary {
  const { relation = null, dryRun = false } = variantOf(run);
  return {
    id: run.id,
    seq: run.seq,
    pipeline: run.pipeline,
    version: run.version,
    state: run.state,
    priority: run.priority,
    labels: run.labels === null ? {} : (JSON.parse(run.labels) as Record<string, string>),
    jobs: {
      total: run.jobCount,
      open: run.openJobs,
      live: run.liveJobs,
      waiting: run.waitingJobs,
      failed: run.failedJobs,
      spawned: run.spawnedJobs,
    },
    createdAt: time(run.createdAt),
    startedAt: time(run.startedAt),
    endedAt: time(run.endedAt),
    cancelRequestedAt: time(run.cancelRequestedAt),
    haltedAt: time(run.haltedAt),
    origin: run.originId,
    relation,
    dryRun,
    event: run.eventSeq,
  };
}

export function stageShape(stage: StageRow, begun: boolean): contract.Infer<typeof contract.Stage> {
  const { name, total, settled, completed, failed, skipped, cancelled } = stage;
  const allowedFailures = Math.max(0, settled - completed - failed - skipped - cancelled);
  return {
    name,
    state: stageState(stage, begun),
    total,
    settled,
    completed,
    failed,
    skipped,
    cancelled,
    allowedFailures,
  };
}

function stageState(stage: StageRow, begun: boolean): contract.Infer<typeof contract.StageStates> {
  if (stage.settled < stage.total) return begun || stage.settled > 0 ? "running" : "pending";
  if (stage.failed > 0) return "failed";
  if (stage.cancelled > 0) return "cancelled";
  return stage.completed === 0 && stage.skipped > 0 ? "skipped" : "completed";
}

export function jobShape(job: JobSummary, stage: string, parent: string | null): contract.JobSummary {
  return {
    id: job.id,
    seq: job.seq,
    stage,
    kind: job.kind,
    agent: job.agent,
    state: job.state,
    reason: job.reason,
    parent,
    priority: job.priority,
    allowFailure: job.allowFailure === 1,
    attempt: job.attempt,
    failures: job.failures,
    crashes: job.crashes,
    children: job.children,
    openChildren: job.openChildren,
    approvals: job.approvals,
    readyAt: time(job.readyAt),
    startedAt: time(job.firstStartedAt),
    attemptStartedAt: time(job.startedAt),
    endedAt: time(job.endedAt),
    dueAt: time(job.dueAt),
    error: errorShape(job.error),
  };
}

/** Ids of spawned jobs begin with the id of their parent. */
export function parentOf(job: { id: string; parent: number | null }, ids?: ReadonlyMap<number, string>): string | null {
  if (job.parent === null) return null;
  return ids?.get(job.parent) ?? job.id.slice(0, Math.max(0, job.id.lastIndexOf("/")));
}

export function eventShape(run: string, event: EventRow): contract.Event {
  return { run, seq: event.seq, at: time(event.at), name: event.name, job: event.job, data: event.data };
}

export function lineShape(line: LogLine & { number: number }): contract.LogLine {
  const { number, at, run, job = null, attempt = null, item = null, agent, level, message, fields = null } = line;
  return { number, at: time(at), run, job, attempt, item, agent, level, message, fields };
}

export function artifactShape(row: ArtifactRecord): contract.Infer<typeof contract.Artifact> {
  return {
    id: row.id,
    name: row.name,
    type: row.type,
    mediaType: row.mediaType,
    sha256: row.sha256,
    bytes: row.bytes,
    run: row.runId,
    job: row.jobId,
    agent: row.agent,
    attempt: row.attempt,
    item: row.item === null || row.item < 0 ? null : row.item,
    offered: row.offered === 1,
    superseded: row.superseded === 1,
    at: time(row.at),
  };
}

export function approvalShape(row: ApprovalRow, run: string, job: string): contract.Infer<typeof contract.Approval> {
  return {
    id: row.id,
    run,
    job,
    key: row.key,
    state: row.state,
    title: row.title,
    shown: json(row.shown),
    hash: row.hash,
    editable: row.editable === 1,
    edited: json(row.edited),
    decidedBy: row.decidedBy,
    reason: row.reason,
    createdAt: time(row.createdAt),
    expiresAt: time(row.expiresAt),
    decidedAt: time(row.decidedAt),
  };
}

export function scheduleShape(row: ScheduleRow, next: readonly number[]): contract.Infer<typeof contract.Schedule> {
  return {
    name: row.id,
    pipeline: row.pipeline,
    template: row.template === 1,
    cron: row.cron,
    zone: row.zone,
    params: json(row.params),
    priority: row.priority,
    missed: row.missed,
    cap: row.cap,
    enabled: row.enabled === 1,
    nextAt: time(row.nextAt),
    next: next.map((at) => time(at)),
    fired: row.fired,
    passed: row.passed,
    lastAt: time(row.lastAt),
    lastRun: row.lastRun,
    lastError: json(row.lastError),
    createdAt: time(row.createdAt),
    updatedAt: time(row.updatedAt),
  };
}
