/** One sentence for each state of a job and of a run: why it is as it is. */
import type { StoredError } from "../core/errors.ts";
import type { RunRow } from "../core/model.ts";
import type { JobSummary } from "../ports/feed.ts";

const REASONS: Record<string, string> = {
  children: "It waits for the jobs that it has spawned",
  items: "It waits for its items",
  timer: "It waits for a time",
  sleep: "It waits for a time",
  approval: "It waits for a person's decision",
  retry: "It failed and is to be tried again",
  stopped: "Its worker was stopped; another one takes it up",
};

const SKIPPED: Record<string, string> = {
  when: "It was skipped: its condition is not met",
  halted: "It was skipped: a critical error halted the run",
  deadlock: "It was skipped: it could never start",
  retries_exhausted: "It was skipped: all tries were used up",
  run_cancelled: "It was skipped: the run was cancelled",
};

export interface JobFacts {
  job: JobSummary;
  run: RunRow;
  /** Jobs that it depends on and that have not ended. */
  missing: readonly string[];
  /** Name of the stage before, if it waits for that. */
  stageBefore: string | null;
  /** Whether a worker that is alive has its agent; null if that is not known. */
  offered: boolean | null;
  error: StoredError | null;
}

const clock = (at: number): string => new Date(at).toISOString();

export function whyJob(facts: JobFacts): string {
  const { job, run, error } = facts;
  if (job.cancelRequestedAt !== null && job.endedAt === null)
    return "A cancel is under way: its processes are being ended.";
  switch (job.state) {
    case "pending":
      return `${whyPending(facts)}.`;
    case "ready":
      return `${whyReady(facts)}.`;
    case "running":
      return job.attempt > 1 ? `It is running, in its attempt ${job.attempt}.` : "It is running.";
    case "waiting": {
      const due = job.dueAt === null ? "" : ` until ${clock(job.dueAt)}`;
      const [word = "", subject] = split(job.reason);
      return `${REASONS[word] ?? `It waits: ${word.replaceAll("_", " ")}`}${subject === "" ? "" : ` (${subject})`}${due}.`;
    }
    case "completed":
      return job.reason?.startsWith("reused:") === true
        ? `It was answered from ${job.reason.slice(7)}, without running.`
        : "It completed.";
    case "failed":
      return `It failed: ${error === null ? "no error was recorded" : error.message}`;
    case "skipped":
      return `${whySkipped(job.reason, error)}.`;
    case "cancelled":
      return run.cancelRequestedAt === null ? "It was cancelled." : "It was cancelled with its run.";
  }
}

function whyPending({ run, missing, stageBefore, job }: JobFacts): string {
  if (run.state === "pending") return "Its run has not begun: another run holds the concurrency key";
  if (missing.length > 0)
    return `It waits for ${missing.slice(0, 3).join(", ")}${missing.length > 3 ? ` and ${missing.length - 3} more` : ""}`;
  if (stageBefore !== null && job.barrier === 1) return `It waits until stage ${stageBefore} is done`;
  return "It waits for the jobs that it depends on";
}

function whyReady({ job, offered }: JobFacts): string {
  if (offered === false) return `No worker offers ${job.agent}`;
  const [word = "", subject] = split(job.reason);
  if (word === "no_judge") return `The worker that took it has no ${subject}, which judges it; another one may`;
  if (job.dueAt !== null) return `${REASONS[word] ?? "It was put off"}, not before ${clock(job.dueAt)}`;
  if (word !== "" && word !== "stopped") return `It is ready; before, ${word.replaceAll("_", " ")} held it back`;
  return "It is ready and waits for a free slot of a worker";
}

function whySkipped(reason: string | null, error: StoredError | null): string {
  const [word = "", subject] = split(reason);
  const known = SKIPPED[word];
  if (known !== undefined) return known;
  const dependency = /^dependency_(\w+)$/.exec(word)?.[1];
  if (dependency !== undefined) return `It was skipped: ${subject} ${dependency}`;
  if (word === "stage_failed") return `It was skipped: stage ${subject} failed`;
  if (error !== null) return `It was skipped: ${error.message.replace(/\.$/, "")}`;
  return word === ""
    ? "It was skipped"
    : `It was skipped: ${word.replaceAll("_", " ")}${subject === "" ? "" : ` (${subject})`}`;
}

/** `standing`: a ready job whose agent no worker offers, where nothing of the run is at work. */
export function whyRun(
  run: RunRow,
  failure: { job: string; error: StoredError | null } | null,
  standing: { id: string; agent: string } | null = null,
): string {
  const ended = run.endedAt !== null;
  if (!ended && run.cancelRequestedAt !== null) return "A cancel is under way: running work is being ended.";
  if (!ended && run.haltedAt !== null) return "A critical error halted it: running work is being stopped.";
  switch (run.state) {
    case "pending":
      return "It waits for another run that holds its concurrency key.";
    case "running":
      if (standing !== null) return `Nothing runs: job ${standing.id} waits, no worker offers ${standing.agent}.`;
      return `It is at work: ${run.liveJobs} of ${run.openJobs} open jobs are ready or running.`;
    case "waiting":
      return `Nothing runs: ${run.waitingJobs} of its jobs wait for a time, a child or a person.`;
    case "completed":
      return "All of its jobs have ended well.";
    case "cancelled":
      return "It was cancelled.";
    case "failed":
      return failure === null
        ? "It failed."
        : `Job ${failure.job} failed: ${failure.error === null ? "no error was recorded" : failure.error.message}`;
  }
}

function split(reason: string | null): [string, string] {
  if (reason === null) return ["", ""];
  const at = reason.indexOf(":");
  return at < 0 ? [reason, ""] : [reason.slice(0, at), reason.slice(at + 1)];
}
