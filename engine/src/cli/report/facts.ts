/** What a report says, whatever its form: read once from the ledger, bounded for runs of any size. */
import type { FanoutRow } from "../../core/model.ts";
import type { Tenuto } from "../../open.ts";
import type { JobRecord, RunRecord } from "../../ports/ledger.ts";
import { type JobReason, jobReasons, relationOf, saysWhy } from "../aftermath.ts";
import { runDocument, stageDocument, time } from "../documents.ts";
import { reasonText } from "../event-text.ts";
import { hintAt, lastWords, storedError } from "../failure.ts";
import { badItems, nextSteps } from "../summary.ts";
import { type Executive, executiveOf } from "./executive.ts";
import {
  type ApprovalFacts,
  approvalsOf,
  type GateFacts,
  gatesOf,
  type NotificationFacts,
  notificationsOf,
} from "./people.ts";

const MOST_FAILURES = 50;
const MOST_ITEMS = 50;
const MOST_ARTIFACTS = 200;

export interface StageFacts {
  name: string;
  state: string;
  total: number;
  settled: number;
  completed: number;
  failed: number;
  skipped: number;
  cancelled: number;
  allowedFailures: number;
  startedAt: string | null;
  endedAt: string | null;
  ms: number | null;
}

export interface Failure {
  job: string;
  item: number | null;
  state: string;
  code: string;
  category: string;
  message: string;
  hint: string | null;
  /** The last lines of a program's stderr. */
  stderr: string[];
}

export interface ReportFacts {
  run: ReturnType<typeof runDocument>;
  ms: number;
  madeAt: string;
  stages: StageFacts[];
  jobs: {
    total: number;
    completed: number;
    failed: number;
    skipped: number;
    cancelled: number;
    open: number;
    retries: number;
  };
  items: {
    total: number;
    completed: number;
    failed: number;
    skipped: number;
    duplicates: number;
    notStarted: number;
  } | null;
  failures: Failure[];
  moreFailures: number;
  skipped: { job: string; reason: string }[];
  artifacts: { name: string; job: string; type: string; bytes: number; sha256: string; usedBy: string[] }[];
  moreArtifacts: number;
  gates: GateFacts[];
  approvals: ApprovalFacts[];
  /** Where the run comes from, and what has become of its effects. */
  relation: Awaited<ReturnType<typeof relationOf>>;
  /** What a dry run planned, or a rerun took over; null for other runs. */
  reasons: JobReason[] | null;
  /** What models were asked; null if none was. */
  usage: { calls: number; inputTokens: number; outputTokens: number; cost: number } | null;
  notifications: NotificationFacts | null;
  nextSteps: string[];
  executive: Executive;
}

export async function factsOf(tenuto: Tenuto, run: RunRecord): Promise<ReportFacts> {
  const { ledger } = tenuto.engine.parts;
  const now = Date.now();
  const jobs = await ledger.jobs(run.seq);
  const stages = (await ledger.stages(run.seq)).map((stage) => ({
    ...stageDocument(stage, jobs),
    ...timesOf(
      jobs.filter((job) => job.stage === stage.ordinal),
      stage.settled >= stage.total,
      now,
    ),
  }));
  const fanouts: { job: JobRecord; fanout: FanoutRow }[] = [];
  for (const job of jobs) {
    const fanout = job.kind === "single" ? null : await ledger.fanout(job.seq);
    if (fanout !== null) fanouts.push({ job, fanout });
  }
  const failedJobs = jobs
    .filter((job) => job.state === "failed")
    .map((job) => failureOf(run.id, job.id, null, job.state, job.error));
  const failedItems = await itemFailures(tenuto, run.id, fanouts);
  const artifacts = await ledger.artifactsOfRun(run.seq);
  const shown = artifacts.slice(0, MOST_ARTIFACTS);
  const users = await ledger.consumersOf(shown.map((artifact) => artifact.id));
  const bad = await badItems(tenuto, run);
  const facts = {
    run: runDocument(run),
    ms: (run.endedAt ?? now) - run.createdAt,
    madeAt: new Date(now).toISOString(),
    stages,
    jobs: jobCounts(run, jobs),
    items:
      fanouts.length === 0
        ? null
        : {
            ...itemCounts(fanouts),
            ...bad,
            skipped: bad.skipped - bad.duplicates,
            total: fanouts.reduce((sum, { fanout }) => sum + fanout.total, 0),
          },
    failures: [...failedJobs.slice(0, MOST_FAILURES), ...failedItems],
    moreFailures: Math.max(0, failedJobs.length - MOST_FAILURES) + Math.max(0, bad.total - failedItems.length),
    skipped: jobs
      .filter((job) => job.state === "skipped")
      .slice(0, MOST_FAILURES)
      .map((job) => ({ job: job.id, reason: job.reason === null ? "" : reasonText(job.reason) })),
    artifacts: shown.map(({ id, name, jobId, type, bytes, sha256 }) => ({
      name,
      job: jobId,
      type,
      bytes,
      sha256,
      usedBy: users
        .filter((use) => use.artifact === id)
        .map((use) => (use.runId === run.id ? use.jobId : `${use.runId}/${use.jobId}`)),
    })),
    moreArtifacts: Math.max(0, artifacts.length - MOST_ARTIFACTS),
    ...(await judged(tenuto, run, jobs, now)),
    nextSteps: await nextSteps(tenuto, run),
  };
  return { ...facts, executive: await executiveOf(tenuto, run, jobs, facts) };
}

/** What people, gates and models said, and where the run belongs. */
async function judged(tenuto: Tenuto, run: RunRecord, jobs: readonly JobRecord[], now: number) {
  const ids = new Map(jobs.map((job) => [job.seq, job.id]));
  const usage = await tenuto.engine.parts.ledger.runUsage(run.seq);
  return {
    gates: await gatesOf(tenuto, run, ids),
    approvals: await approvalsOf(tenuto, run, ids, now),
    relation: await relationOf(tenuto, run),
    reasons: saysWhy(run) ? (await jobReasons(tenuto, run)).slice(0, MOST_ARTIFACTS) : null,
    usage:
      usage === null
        ? null
        : { calls: usage.calls, inputTokens: usage.inputTokens, outputTokens: usage.outputTokens, cost: usage.cost },
    notifications: await notificationsOf(tenuto, run),
  };
}

function timesOf(
  jobs: readonly JobRecord[],
  over: boolean,
  now: number,
): Pick<StageFacts, "startedAt" | "endedAt" | "ms"> {
  let start: number | null = null;
  let end: number | null = null;
  for (const job of jobs) {
    if (job.firstStartedAt !== null) start = Math.min(start ?? job.firstStartedAt, job.firstStartedAt);
    if (job.firstStartedAt !== null && job.endedAt !== null) end = Math.max(end ?? job.endedAt, job.endedAt);
  }
  return {
    startedAt: time(start),
    endedAt: over ? time(end) : null,
    ms: start === null ? null : ((over ? end : null) ?? now) - start,
  };
}

function jobCounts(run: RunRecord, jobs: readonly JobRecord[]): ReportFacts["jobs"] {
  const counts = {
    total: run.jobCount,
    completed: 0,
    failed: 0,
    skipped: 0,
    cancelled: 0,
    open: run.openJobs,
    retries: 0,
  };
  for (const job of jobs) {
    if (job.state === "completed" || job.state === "failed" || job.state === "skipped" || job.state === "cancelled")
      counts[job.state] += 1;
    counts.retries += Math.max(0, job.failures - (job.state === "failed" ? 1 : 0)) + job.crashes;
  }
  return counts;
}

function itemCounts(fanouts: readonly { fanout: FanoutRow }[]) {
  return { completed: fanouts.reduce((sum, { fanout }) => sum + fanout.completed, 0) };
}

async function itemFailures(
  tenuto: Tenuto,
  run: string,
  fanouts: readonly { job: JobRecord; fanout: FanoutRow }[],
): Promise<Failure[]> {
  const found: Failure[] = [];
  for (const { job, fanout } of fanouts) {
    if (fanout.failed + fanout.skipped - fanout.duplicates <= 0 || found.length >= MOST_ITEMS) continue;
    const items = await tenuto.engine.parts.ledger.items(job.seq, {
      states: ["failed", "skipped"],
      limit: MOST_ITEMS + fanout.duplicates,
    });
    for (const item of items) {
      const failure = failureOf(run, job.id, item.ordinal, item.state, item.error);
      if (failure.code !== "duplicate_key" && found.length < MOST_ITEMS) found.push(failure);
    }
  }
  return found;
}

function failureOf(run: string, job: string, item: number | null, state: string, json: string | null): Failure {
  const error = storedError(json);
  return {
    job,
    item,
    state,
    code: error?.code ?? "unknown",
    category: error?.category ?? "permanent",
    message: error?.message ?? "no error was recorded",
    hint: error === null ? null : hintAt(error, { run, job, item }),
    stderr: error === null ? [] : lastWords(error),
  };
}
