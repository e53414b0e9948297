/**
 * What a pass of deciding did not find, and how it is fetched: names and runs are locked first, in order, then everything is
 * read, all in one round trip.
 */
import type { FanoutRow, JobRow, JobSeq, RunRow, RunSeq, StageRow, WindowRow } from "../../core/model.ts";
import { stageKey, windowKey } from "../../core/unit.ts";
import type { Session, Statement } from "./connection.ts";
import type { KnownRows } from "./known.ts";
import { SQL } from "./sql.ts";

interface Question {
  statement: Statement;
  take(rows: any[]): void;
  /** May be asked without a lock: what depends on the answer is checked by the commit itself. */
  free: boolean;
}

export class Needs {
  readonly names = new Set<number>();
  readonly runs = new Set<RunSeq>();
  readonly jobs = new Set<JobSeq>();
  /** Jobs that may be claimed: if somebody else is at work on their runs, others are taken instead. */
  readonly spare = new Set<JobSeq>();
  readonly stages = new Map<string, { run: RunSeq; ordinal: number }>();
  readonly fanouts = new Set<JobSeq>();
  readonly windows = new Map<string, { job: JobSeq; start: number }>();
  readonly questions = new Map<string, Question>();

  /** Nothing in here needs a lock. */
  get free(): boolean {
    if (this.names.size + this.runs.size + this.jobs.size + this.spare.size > 0) return false;
    if (this.stages.size + this.fanouts.size + this.windows.size > 0) return false;
    for (const question of this.questions.values()) if (!question.free) return false;
    return true;
  }

  get size(): number {
    return (
      this.names.size +
      this.runs.size +
      this.jobs.size +
      this.spare.size +
      this.stages.size +
      this.fanouts.size +
      this.windows.size +
      this.questions.size
    );
  }
}

/** What a transaction has locked and found missing so far. */
export class Held {
  readonly names = new Set<number>();
  readonly runs = new Set<RunSeq>();
  /** Runs and jobs that are not there. */
  readonly absentRuns = new Set<RunSeq>();
  readonly absentJobs = new Set<JobSeq>();
  /** Spare jobs whose runs others are at work on. */
  readonly busy = new Set<JobSeq>();
}

interface Asked {
  statement: Statement;
  take(rows: any[]): void;
}

/** Fetches inside a transaction. Rows that come under a lock are known from now on. */
export async function fetchNeeds(session: Session, needs: Needs, held: Held, known: KnownRows): Promise<void> {
  const asked: Asked[] = [];
  const ask = (name: string, sql: string, values: unknown[], take: (rows: any[]) => void) =>
    asked.push({ statement: { name, sql, values }, take });
  if (needs.names.size > 0)
    ask("lockNames", SQL.lockNames, [[...needs.names]], () => {
      for (const name of needs.names) held.names.add(name);
    });
  askRuns(ask, needs, held, known);
  const jobs = [...needs.jobs, ...needs.spare];
  if (jobs.length > 0) askJobs(ask, jobs, needs, held, known);
  askRows(ask, needs, known);
  for (const { statement, take } of needs.questions.values()) asked.push({ statement, take });
  const replies = await session.pipeline(asked.map(({ statement }) => statement));
  for (const [index, { take }] of asked.entries()) take(replies[index] as any[]);
}

type Ask = (name: string, sql: string, values: unknown[], take: (rows: any[]) => void) => void;

function askRuns(ask: Ask, needs: Needs, held: Held, known: KnownRows): void {
  const learn = (rows: RunRow[]) => {
    for (const row of rows) {
      known.learn(row);
      held.runs.add(row.seq);
    }
  };
  if (needs.runs.size + needs.jobs.size > 0)
    ask("lockRuns", SQL.lockRuns, [[...needs.runs], [...needs.jobs]], (rows) => {
      learn(rows);
      for (const run of needs.runs) if (!held.runs.has(run)) held.absentRuns.add(run);
    });
  if (needs.spare.size > 0) ask("lockFreeRuns", SQL.lockFreeRuns, [[], [...needs.spare]], learn);
}

function askJobs(ask: Ask, jobs: JobSeq[], needs: Needs, held: Held, known: KnownRows): void {
  ask("jobs", SQL.jobs, [jobs], (rows: JobRow[]) => {
    const found = new Set<JobSeq>();
    for (const row of rows) {
      found.add(row.seq);
      if (held.runs.has(row.run)) known.learnJob(row);
      else if (needs.spare.has(row.seq)) held.busy.add(row.seq);
    }
    for (const job of jobs) if (!found.has(job)) held.absentJobs.add(job);
  });
  ask("stagesOfJobs", SQL.stagesOfJobs, [jobs], (rows: StageRow[]) => {
    for (const row of rows) if (held.runs.has(row.run)) known.learnStage(row);
  });
  ask("fanouts", SQL.fanouts, [jobs], (rows: FanoutRow[]) => {
    const isHeld = (job: JobSeq) => held.runs.has(known.runOf(job) ?? 0);
    for (const job of jobs) if (isHeld(job)) known.learnFanout(job, null);
    for (const row of rows) if (isHeld(row.job)) known.learnFanout(row.job, row);
  });
}

function askRows(ask: Ask, needs: Needs, known: KnownRows): void {
  const stages = [...needs.stages.values()];
  if (stages.length > 0)
    ask(
      "stages",
      SQL.stages,
      [stages.map(({ run }) => run), stages.map(({ ordinal }) => ordinal)],
      (rows: StageRow[]) => {
        const found = new Set(rows.map((row) => stageKey(row.run, row.ordinal)));
        for (const row of rows) known.learnStage(row);
        for (const [key, { run, ordinal }] of needs.stages) if (!found.has(key)) known.learnNoStage(run, ordinal);
      },
    );
  const fanouts = [...needs.fanouts];
  if (fanouts.length > 0)
    ask("fanouts", SQL.fanouts, [fanouts], (rows: FanoutRow[]) => {
      for (const job of fanouts) known.learnFanout(job, null);
      for (const row of rows) known.learnFanout(row.job, row);
    });
  const windows = [...needs.windows.values()];
  if (windows.length > 0)
    ask("windows", SQL.windows, [windows.map(({ job }) => job), windows.map(({ start }) => start)], (rows) => {
      for (const key of needs.windows.keys()) known.learnWindow(key, null);
      for (const row of rows as WindowRow[]) known.learnWindow(windowKey(row.job, row.start), row);
    });
}

/** Questions that need no lock, asked outside of any transaction. */
export async function fetchFree(session: Session, needs: Needs): Promise<void> {
  const questions = [...needs.questions.values()];
  const replies = await session.pipeline(questions.map(({ statement }) => statement));
  for (const [index, { take }] of questions.entries()) take(replies[index] as any[]);
}
