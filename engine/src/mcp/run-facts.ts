/** Runs, jobs and approvals as tools show them: small, with what to do next. */
import type { StoredError } from "../core/errors.ts";
import { isRunEnd, type Json } from "../core/model.ts";
import type { ApprovalRow } from "../core/records.ts";
import type { JobRecord, RunRecord } from "../ports/ledger.ts";
import type { McpHost } from "./host.ts";

const JOBS_SHOWN = 100;
const TEXT_CHARS = 2_000;

const iso = (at: number | null): string | null => (at === null ? null : new Date(at).toISOString());

export function runFacts(run: RunRecord) {
  return {
    id: run.id,
    pipeline: run.pipeline,
    state: run.state,
    cancelling: run.cancelRequestedAt !== null && !isRunEnd(run.state),
    params: JSON.parse(run.params) as Json,
    jobs: { total: run.jobCount, open: run.openJobs, failed: run.failedJobs },
    createdAt: iso(run.createdAt),
    startedAt: iso(run.startedAt),
    endedAt: iso(run.endedAt),
  };
}

export function approvalFacts(row: ApprovalRow, runId: string) {
  return {
    id: row.id,
    run: runId,
    state: row.state,
    title: row.title,
    shown: JSON.parse(row.shown) as Json,
    hash: row.hash,
    editable: row.editable === 1,
    createdAt: iso(row.createdAt),
    expiresAt: iso(row.expiresAt),
    decidedBy: row.decidedBy,
    reason: row.reason,
  };
}

function jobFacts(job: JobRecord) {
  const error = job.error === null ? null : (JSON.parse(job.error) as StoredError);
  return {
    id: job.id,
    state: job.state,
    agent: job.agent,
    attempt: job.attempt,
    reason: job.reason,
    output: shortened(job.output),
    error: error === null ? null : { code: error.code, message: error.message, hint: error.hint ?? null },
  };
}

/** A large output is cut: what is whole is an artifact. */
function shortened(output: string | null): Json {
  if (output === null) return null;
  return output.length <= TEXT_CHARS ? (JSON.parse(output) as Json) : `${output.slice(0, TEXT_CHARS)}… (cut)`;
}

/** A run with its stages, the jobs that matter most first, and what it waits for. */
export async function wholeRun({ client, ledger }: McpHost, id: string) {
  const run = await client.run(id);
  const stages = await ledger.stages(run.seq);
  const failed = await ledger.jobs(run.seq, { states: ["failed"], limit: JOBS_SHOWN });
  const others = await ledger.jobs(run.seq, { limit: JOBS_SHOWN });
  const seen = new Set(failed.map((job) => job.seq));
  const jobs = [...failed, ...others.filter((job) => !seen.has(job.seq))].slice(0, JOBS_SHOWN);
  const approvals = await client.approvals({ run: run.id, state: "open" });
  return {
    run: runFacts(run),
    stages: stages.map(({ name, total, settled, completed, failed: bad, skipped }) => ({
      name,
      total,
      settled,
      completed,
      failed: bad,
      skipped,
    })),
    jobs: jobs.map(jobFacts),
    jobsLeftOut: Math.max(0, run.jobCount - jobs.length),
    approvals: approvals.map((row) => approvalFacts(row, run.id)),
  };
}
