/** Reading half of the SQLite ledger: what people, the runtime and reports ask. Nothing here decides or writes. */
import type { ArtifactRow, AttemptRow, ItemRow, LimiterState, StepRow } from "../../core/decision.ts";
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
} from "../../core/model.ts";
import type { EventRow } from "../../core/unit.ts";
import type { JobRecord, RunFilter, RunRecord } from "../../ports/ledger.ts";
import { EVENTS_PER_RUN } from "../events.ts";
import { SqliteUsageReader } from "./reads-usage.ts";
import { SQL } from "./sql.ts";
import { twice } from "./statements.ts";

export class SqliteReader extends SqliteUsageReader {
  protected one<T>(sql: string, ...args: unknown[]): T | null {
    return (this.statements.of(sql).get(...args) as T | undefined) ?? null;
  }

  protected many<T>(sql: string, ...args: unknown[]): T[] {
    return this.statements.of(sql).all(...args) as T[];
  }

  async dueJobs(limit: number): Promise<{ due: JobSeq[]; nextAt: number | null }> {
    const due = this.many<{ seq: number }>(SQL.due, this.now(), limit).map((row) => row.seq);
    const next = Object.values(this.one<Record<string, number | null>>(SQL.nextDue) ?? {})[0] ?? null;
    return { due, nextAt: next };
  }

  async boots(state?: BootRow["state"]): Promise<BootRow[]> {
    return this.many<BootRow>(SQL.boots, state ?? null);
  }

  async offers(): Promise<{ boot: BootSeq; agents: string[] | null }[]> {
    return this.many<{ boot: BootSeq; offers: string | null }>(SQL.offers).map(({ boot, offers }) => ({
      boot,
      agents: offers === null ? null : JSON.parse(offers),
    }));
  }

  async abandoned(): Promise<BootRow[]> {
    return this.many<BootRow>(SQL.abandoned);
  }

  async leasesOf(boot: BootSeq, limit: number): Promise<{ jobs: JobSeq[]; windows: WindowRow[] }> {
    return {
      jobs: this.many<{ seq: number }>(SQL.jobsOfBoot, boot, limit).map((row) => row.seq),
      windows: this.many<WindowRow>(SQL.windowsOfBoot, boot, limit),
    };
  }

  async processesOf(
    boot: BootSeq,
  ): Promise<{ pid: number; pidStart: string; marker: string; job: JobSeq; epoch: number }[]> {
    return this.many(SQL.processesOf, boot);
  }

  async definition(version: string): Promise<string | null> {
    return this.one<{ document: string }>(SQL.definition, version)?.document ?? null;
  }

  async run(seq: RunSeq): Promise<RunRecord | null> {
    return this.one<RunRecord>(SQL.runRecord, seq);
  }

  async runById(id: string): Promise<RunRecord | null> {
    return this.one<RunRecord>(SQL.runRecordById, id);
  }

  async rollbackOf(run: RunSeq): Promise<{ seq: RunSeq; id: string; state: RunState } | null> {
    return this.one(SQL.rollbackOf, run);
  }

  async successors(run: RunSeq): Promise<RunRecord[]> {
    return this.many<RunRecord>(SQL.successors, run);
  }

  async runs(filter: RunFilter): Promise<RunRecord[]> {
    const states = filter.states ?? [];
    const pipeline = filter.pipeline === undefined ? [] : [filter.pipeline];
    return this.many<RunRecord>(
      SQL.runList(states.length, pipeline.length > 0),
      filter.before ?? Number.MAX_SAFE_INTEGER,
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
    for (const row of this.many<{ state: RunState; n: number }>(SQL.runStates)) counts[row.state] = row.n;
    return counts;
  }

  async stages(run: RunSeq): Promise<StageRow[]> {
    return this.many<StageRow>(SQL.stages, run);
  }

  async job(seq: JobSeq): Promise<JobRecord | null> {
    return this.one<JobRecord>(SQL.jobRecord, seq);
  }

  async jobs(
    run: RunSeq,
    filter: { states?: readonly JobState[]; after?: JobSeq; limit?: number } = {},
  ): Promise<JobRecord[]> {
    const states = filter.states ?? [];
    return this.many<JobRecord>(
      SQL.jobList(states.length),
      ...twice(run, filter.after ?? 0, ...states),
      filter.limit ?? -1,
    );
  }

  async outcome(seq: JobSeq): Promise<{ state: JobState; output: string | null; error: string | null } | null> {
    return this.one(SQL.outcome, seq);
  }

  async childOf(parent: JobSeq, id: string): Promise<JobRecord | null> {
    return this.one<JobRecord>(SQL.childRecord, parent, id);
  }

  async children(parent: JobSeq): Promise<JobRecord[]> {
    return this.many<JobRecord>(SQL.childRecords, parent);
  }

  async spec(job: JobSeq): Promise<string | null> {
    return this.one<{ spec: string }>(SQL.spec, job)?.spec ?? null;
  }

  async attempts(job: JobSeq): Promise<AttemptRow[]> {
    const rows = this.many<AttemptRow>(SQL.attempts, job);
    const present = this.one<JobRow>(SQL.job, job);
    if (present === null || present.attemptBoot === null) return rows;
    const { attempt, epoch, attemptBoot, state, startedAt, endedAt } = present;
    const ended = state === "running" ? "running" : "completed";
    const last = { job, number: attempt, epoch, boot: attemptBoot, state: ended, startedAt, endedAt, error: null };
    return [...rows, last as AttemptRow];
  }

  async fanout(job: JobSeq): Promise<FanoutRow | null> {
    return this.one<FanoutRow>(SQL.fanout, job);
  }

  async items(
    job: JobSeq,
    filter: { states?: readonly ItemState[]; from?: number; to?: number; limit: number },
  ): Promise<ItemRow[]> {
    const range = [filter.from ?? 0, filter.to ?? Number.MAX_SAFE_INTEGER];
    const states = filter.states ?? [];
    if (states.length === 0) return this.many<ItemRow>(SQL.itemsAll, job, ...range, filter.limit);
    return this.many<ItemRow>(SQL.itemsInState(states.length), job, ...range, ...states, filter.limit);
  }

  async windows(job: JobSeq): Promise<WindowRow[]> {
    return this.many<WindowRow>(SQL.windows, job);
  }

  async step(job: JobSeq, item: number, key: string): Promise<StepRow | null> {
    return this.one<StepRow>(SQL.step, job, item, key);
  }

  async steps(job: JobSeq, item?: number): Promise<StepRow[]> {
    return this.many<StepRow>(SQL.stepsOf, job, item ?? null);
  }

  async events(run: RunSeq, after: number, limit: number): Promise<EventRow[]> {
    const base = run * EVENTS_PER_RUN;
    return this.many<EventRow & { data: string | null }>(SQL.events, base + after, base + EVENTS_PER_RUN, limit).map(
      (row) => ({
        ...row,
        data: row.data === null ? null : JSON.parse(row.data as unknown as string),
      }),
    );
  }

  async limiters(): Promise<LimiterState[]> {
    return this.many<LimiterState>(SQL.limiters);
  }

  async artifacts(run: RunSeq): Promise<ArtifactRow[]> {
    return this.many<ArtifactRow>(SQL.artifacts, run);
  }

  async dataset(sha256: string): Promise<{ count: number; bytes: number; stride: number; offsets: Uint8Array } | null> {
    return this.one(SQL.dataset, sha256);
  }

  async cached(pipeline: string, key: string): Promise<{ job: JobSeq; at: number; output: string } | null> {
    return this.one(SQL.cached, pipeline, key);
  }

  async itemsByKey(scope: number, hash: Uint8Array, limit: number): Promise<{ job: JobSeq; ordinal: number }[]> {
    return this.many(SQL.itemsByKey, scope, scope, hash, limit);
  }

  async standing(limit: number): Promise<RunSeq[]> {
    return this.many<{ seq: number }>(SQL.standing, limit).map((row) => row.seq);
  }

  async readyAgents(): Promise<string[]> {
    return this.many<{ agent: string }>(SQL.agentsReady).map((row) => row.agent);
  }

  async referenced(sha256: string): Promise<boolean> {
    return this.one(SQL.artifactReferenced, sha256, sha256) !== null;
  }
}
