/**
 * The part of the ledger's invariants that concerns events: numbered without gaps, in order of time, at most one end of a
 * job and of the run between two reopenings, and the last end told is the state that the row has.
 *
 * Owner: core; see invariants.ts.
 */
import { type DumpedEvent, ended, type RunDump } from "./dump.ts";
import type { JobRow } from "./model.ts";

const JOB_END = /^job\.(completed|failed|skipped|cancelled)$/;
const RUN_END = /^run\.(completed|failed|cancelled)$/;

export function eventProblems({ run, jobs, events, say }: RunDump): void {
  const sorted = events.toSorted((a, b) => a.seq - b.seq);
  for (const [index, event] of sorted.entries())
    if (event.seq !== index + 1) {
      say(`event ${index + 1} is missing, the next is ${event.seq}`);
      break;
    }
  if (sorted.length !== run.eventSeq) say(`eventSeq is ${run.eventSeq}, there are ${sorted.length} events`);
  const ends = new Map<string, { state: string; reopened: boolean }>();
  const started = new Map<string, boolean>();
  let runEnd: string | null = null;
  for (const event of sorted) {
    if (event.name === "run.reopened") {
      for (const end of ends.values()) end.reopened = true;
      runEnd = null;
    }
    const end = RUN_END.exec(event.name)?.[1];
    if (end !== undefined) {
      if (runEnd !== null) say(`event ${event.seq}: the run ends as ${end} after it ended as ${runEnd}`);
      runEnd = end;
    }
    if (event.job !== null) foldJob(event, event.job, ends, started, say);
  }
  if (run.endedAt !== null && runEnd !== run.state) say(`is ${run.state}, its events end with ${runEnd}`);
  if (run.endedAt === null && runEnd !== null) say(`is ${run.state} although event run.${runEnd} was told`);
  for (const job of jobs) jobHistory(job, ends.get(job.id), say);
}

function foldJob(
  event: DumpedEvent,
  job: string,
  ends: Map<string, { state: string; reopened: boolean }>,
  started: Map<string, boolean>,
  say: (text: string) => void,
): void {
  const end = JOB_END.exec(event.name)?.[1];
  const before = ends.get(job);
  const over = before !== undefined && !before.reopened;
  if (end !== undefined) {
    if (over) say(`event ${event.seq}: job ${job} ends as ${end} after it ended as ${before.state}`);
    ends.set(job, { state: end, reopened: false });
    started.set(job, false);
  } else if (event.name === "job.started") {
    if (over) say(`event ${event.seq}: job ${job} starts after it ended as ${before.state}`);
    if (started.get(job) === true) say(`event ${event.seq}: job ${job} starts although it runs`);
    started.set(job, true);
  } else if (["job.retrying", "job.waiting", "job.stopped", "job.lost"].includes(event.name)) {
    if (started.get(job) !== true) say(`event ${event.seq}: ${event.name} of job ${job}, which does not run`);
    started.set(job, false);
  }
}

function jobHistory(
  job: JobRow,
  end: { state: string; reopened: boolean } | undefined,
  say: (text: string) => void,
): void {
  if (ended(job) && end?.state !== job.state)
    say(`job ${job.id} is ${job.state}, its events say ${end?.state ?? "nothing"}`);
  if (!ended(job) && end !== undefined && !end.reopened)
    say(`job ${job.id} is ${job.state} although it ended as ${end.state}`);
}
