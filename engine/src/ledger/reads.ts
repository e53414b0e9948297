/** What people, the runtime and reports ask. Nothing here decides or writes. */
import type { ArtifactRow, AttemptRow, ItemRow, LimiterState, StepRow } from "../core/decision.ts";
import type {
  BootRow,
  BootSeq,
  FanoutRow,
  ItemState,
  JobRow,
  JobSeq,
  JobState,
  RunSeq,
  RunState,
  StageRow,
  WindowRow,
} from "../core/model.ts";
import type { EventRow } from "../core/unit.ts";
import type { JobRecord, RunFilter, RunRecord } from "../ports/ledger.ts";

import { EVENTS_PER_RUN } from "./events.ts";
import { ALL, READ, twice } from "./read-sql.ts";
import { UsageReader } from "./reads-usage.ts";

export abstract class MainReader extends UsageReader {
  /** Jobs that boots hold, as rows of `seq` and `boot`. */
  protected readonly leased: string = "SELECT seq, boot FROM job WHERE boot IS NOT NULL";

  async dueJobs(limit: number): Promise<{ due: JobSeq[]; nextAt: number | null }> {
    const due = await this.many<{ seq: number }>(READ.due, this.now(), limit);
    const next = await this.one<{ at: number | null }>(READ.nextDue);
    return { due: due.map((row) => row.seq), nextAt: next?.at ?? null };
  }

  async boots(state?: BootRow["state"]): Promise<BootRow[]> {
    return await this.many<BootRow>(READ.boots, state ?? null);
  }

  async offers(): Promise<{ boot: BootSeq; agents: string[] | null }[]> {
    const rows = await this.many<{ boot: BootSeq; offers: string | null }>(READ.offers);
    return rows.map(({ boot, offers }) => ({ boot, agents: offers === null ? null : JSON.parse(offers) }));
  }

  async abandoned(): Promise<BootRow[]> {
    return await this.many<BootRow>(READ.abandoned(this.leased));
  }

  async leasesOf(boot: BootSeq, limit: number): Promise<{ jobs: JobSeq[]; windows: WindowRow[] }> {
    const jobs = await this.many<{ seq: JobSeq }>(READ.jobsOfBoot(this.leased), boot, limit);
    return {
      jobs: jobs.map((row) => row.seq),
      windows: await this.many<WindowRow>(READ.windowsOfBoot, boot, limit),
    };
  }

  async processesOf(
    boot: BootSeq,
  ): Promise<{ pid: number; pidStart: string; marker: string; job: JobSeq; epoch: number }[]> {
    return await this.many(READ.processesOf, boot);
  }

  async definition(version: string): Promise<string | null> {
    return (await this.one<{ document: string }>(READ.definition, version))?.document ?? null;
  }

  async run(seq: RunSeq): Promise<RunRecord | null> {
    return await this.one<RunRecord>(READ.runRecord, seq);
  }

  async runsToStop(runs: readonly RunSeq[]): Promise<{ seq: RunSeq; cancelRequestedAt: number | null }[]> {
    return await this.many(READ.runsToStop, JSON.stringify(runs));
  }

  async runById(id: string): Promise<RunRecord | null> {
    return await this.one<RunRecord>(READ.runRecordById, id);
  }

  async rollbackOf(run: RunSeq): Promise<{ seq: RunSeq; id: string; state: RunState } | null> {
    return await this.one(READ.rollbackOf, run);
  }

  async successors(run: RunSeq): Promise<RunRecord[]> {
    return await this.many<RunRecord>(READ.successors, run);
  }

  async runs(filter: RunFilter): Promise<RunRecord[]> {
    const states = filter.states ?? [];
    const pipeline = filter.pipeline === undefined ? [] : [filter.pipeline];
    return await this.many<RunRecord>(
      READ.runList(states.length, pipeline.length > 0),
      filter.before ?? ALL,
      ...states,
      ...pipeline,
      filter.limit,
    );
  }

  async runStates(): Promise<Record<RunState, number>> {
    const counts: Record<RunState, number> = {
      pending: 0,
      running: 0,
      waiting: 0,
      completed: 0,
      failed: 0,
      cancelled: 0,
    };
    for (const row of await this.many<{ state: RunState; n: number }>(READ.runStates)) counts[row.state] = row.n;
    return counts;
  }

  async stages(run: RunSeq): Promise<StageRow[]> {
    return await this.many<StageRow>(READ.stages, run);
  }

  async job(seq: JobSeq): Promise<JobRecord | null> {
    return await this.one<JobRecord>(READ.jobRecord, seq);
  }

  async jobs(
    run: RunSeq,
    filter: { states?: readonly JobState[]; after?: JobSeq; limit?: number } = {},
  ): Promise<JobRecord[]> {
    const states = filter.states ?? [];
    return await this.many<JobRecord>(
      READ.jobList(states.length),
      ...twice(run, filter.after ?? 0, ...states),
      filter.limit ?? ALL,
    );
  }

  async outcome(seq: JobSeq): Promise<{ state: JobState; output: string | null; error: string | null } | null> {
    return await this.one(READ.outcome, seq);
  }

  async childOf(parent: JobSeq, id: string): Promise<JobRecord | null> {
    return await this.one<JobRecord>(READ.childRecord, parent, id);
  }

  async children(parent: JobSeq): Promise<JobRecord[]> {
    return await this.many<JobRecord>(READ.childRecords, parent);
  }

  async spec(job: JobSeq): Promise<string | null> {
    return (await this.one<{ spec: string }>(READ.spec, job))?.spec ?? null;
  }

  async attempts(job: JobSeq): Promise<AttemptRow[]> {
    const rows = await this.many<AttemptRow>(READ.attempts, job);
    const present = await this.one<JobRow>(READ.job, job);
    if (present === null || present.attemptBoot === null) return rows;
    const { attempt, epoch, attemptBoot, state, startedAt, endedAt } = present;
    const ended = state === "running" ? "running" : "completed";
    const last = { job, number: attempt, epoch, boot: attemptBoot, state: ended, startedAt, endedAt, error: null };
    return [...rows, last as AttemptRow];
  }

  async fanout(job: JobSeq): Promise<FanoutRow | null> {
    return await this.one<FanoutRow>(READ.fanout, job);
  }

  async items(
    job: JobSeq,
    filter: { states?: readonly ItemState[]; from?: number; to?: number; limit: number },
  ): Promise<ItemRow[]> {
    const range = [filter.from ?? 0, filter.to ?? ALL];
    const states = filter.states ?? [];
    if (states.length === 0) return await this.many<ItemRow>(READ.itemsAll, job, ...range, filter.limit);
    return await this.many<ItemRow>(READ.itemsInState(states.length), job, ...range, ...states, filter.limit);
  }

  async windows(job: JobSeq): Promise<WindowRow[]> {
    return await this.many<WindowRow>(READ.windows, job);
  }

  async step(job: JobSeq, item: number, key: string): Promise<StepRow | null> {
    return await this.one<StepRow>(READ.step, job, item, key);
  }

  async steps(job: JobSeq, item?: number): Promise<StepRow[]> {
    return await this.many<StepRow>(READ.stepsOf, job, item ?? null);
  }

  async stepTimes(job: JobSeq, limit: number): Promise<Pick<StepRow, "item" | "key" | "startedAt" | "endedAt">[]> {
    return await this.many(READ.stepTimes, job, limit);
  }

  async events(run: RunSeq, after: number, limit: number): Promise<EventRow[]> {
    const base = run * EVENTS_PER_RUN;
    const rows = await this.many<Omit<EventRow, "data"> & { data: string | null }>(
      READ.events,
      base + after,
      base + EVENTS_PER_RUN,
      limit,
    );
    return rows.map((row) => ({ ...row, data: row.data === null ? null : JSON.parse(row.data) }));
  }

  async limiters(): Promise<LimiterState[]> {
    return await this.many<LimiterState>(READ.limiters);
  }

  async artifacts(run: RunSeq): Promise<ArtifactRow[]> {
    return await this.many<ArtifactRow>(READ.artifacts, run);
  }

  async dataset(sha256: string): Promise<{ count: number; bytes: number; stride: number; offsets: Uint8Array } | null> {
    return await this.one(READ.dataset, sha256);
  }

  async cached(pipeline: string, key: string): Promise<{ job: JobSeq; at: number; output: string } | null> {
    return await this.one(READ.cached, pipeline, key);
  }

  async itemsByKey(scope: number, hash: Uint8Array, limit: number): Promise<{ job: JobSeq; ordinal: number }[]> {
    return await this.many(READ.itemsByKey, scope, scope, hash, limit);
  }

  async standing(limit: number): Promise<RunSeq[]> {
    return (await this.many<{ seq: number }>(READ.standing, limit)).map((row) => row.seq);
  }

  async referenced(sha256: string): Promise<boolean> {
    return (await this.one(READ.referenced, sha256, sha256)) !== null;
  }
}
