/** The words of messages about runs. Facts as of now; read from the ledger, nothing is changed. */
import type { Occasion } from "../core/delivery.ts";
import type { StoredError } from "../core/errors.ts";
import { isRunEnd, type RunRow } from "../core/model.ts";
import type { ApprovalRow } from "../core/records.ts";
import type { Message } from "../ports/notifier.ts";
import type { Parts } from "./parts.ts";

interface About {
  id: string;
  notifier: string;
  occasion: Occasion;
  run: RunRow;
  approval: ApprovalRow | null;
}

const TEXT_CHARS = 500;

export async function composeMessage(parts: Parts, about: About): Promise<Message> {
  const { ledger } = parts;
  const { id, notifier, occasion, run, approval } = about;
  const now = ledger.now();
  const stages = await ledger.stages(run.seq);
  const stage = isRunEnd(run.state) ? null : (stages.find((one) => one.settled < one.total)?.name ?? null);
  const failure = occasion === "failed" ? await failureOf(parts, run) : null;
  const ms = Math.max(0, (run.endedAt ?? now) - (run.startedAt ?? run.createdAt));
  const facts: Message["run"] = {
    id: run.id,
    pipeline: run.pipeline,
    state: run.state,
    startedAt: iso(run.startedAt),
    endedAt: iso(run.endedAt),
    seconds: Math.round(ms / 1_000),
    jobs: { total: run.jobCount, ended: run.jobCount - run.openJobs, failed: run.failedJobs },
    stage,
  };
  const { title, more } = words(occasion, facts, failure, approval);
  return {
    id,
    notifier,
    occasion,
    at: new Date(now).toISOString(),
    title,
    text: [title, ...more].join("\n"),
    run: facts,
    failure,
    approval:
      approval === null
        ? null
        : { id: approval.id, title: approval.title, hash: approval.hash, expiresAt: iso(approval.expiresAt) },
  };
}

function words(
  occasion: Occasion,
  run: Message["run"],
  failure: Message["failure"],
  approval: ApprovalRow | null,
): { title: string; more: string[] } {
  const { id, pipeline, jobs } = run;
  const done = `${jobs.ended} of ${jobs.total} jobs${jobs.failed === 0 ? "" : `, ${jobs.failed} failed`}`;
  const time = spoken(run.seconds);
  switch (occasion) {
    case "completed":
      return { title: `Run ${id} of ${pipeline} completed in ${time}`, more: [done] };
    case "cancelled":
      return { title: `Run ${id} of ${pipeline} was cancelled after ${time}`, more: [done] };
    case "failed":
      return {
        title: `Run ${id} of ${pipeline} failed after ${time}`,
        more: [
          ...(failure === null ? [] : [`${failure.job === null ? "" : `job ${failure.job}: `}${failure.message}`]),
          done,
          `Look: tenuto runs show ${id}    Try again: tenuto runs retry ${id}`,
        ],
      };
    case "approval":
      return {
        title: `Run ${id} of ${pipeline} waits for a decision: ${approval?.title ?? ""}`,
        more: [
          `Look: tenuto approvals show ${approval?.id}    Decide: tenuto approve ${approval?.id}`,
          ...(approval?.expiresAt == null ? [] : [`It expires at ${iso(approval.expiresAt)}`]),
        ],
      };
    case "progress": {
      const where = run.stage === null ? "" : ` in stage ${run.stage}`;
      const what = run.state === "waiting" ? "has waited" : "has been running";
      return { title: `Run ${id} of ${pipeline} ${what} for ${time}: ${done}${where}`, more: [] };
    }
  }
}

/** The first failed job that counts, or whatever stopped the run. */
async function failureOf({ ledger }: Parts, run: RunRow): Promise<Message["failure"]> {
  const failed = await ledger.jobs(run.seq, { states: ["failed"], limit: 100 });
  const job = failed.find((one) => one.allowFailure === 0) ?? failed[0];
  if (job === undefined)
    return run.haltedAt === null ? null : { job: null, code: "halted", message: "the run was halted" };
  const { code, message } = JSON.parse(job.error ?? '{"code":"job_failed","message":"it failed"}') as StoredError;
  return { job: job.id, code, message: message.split("\n")[0]!.slice(0, TEXT_CHARS) };
}

function iso(at: number | null): string | null {
  return at === null ? null : new Date(at).toISOString();
}

function spoken(seconds: number): string {
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}
