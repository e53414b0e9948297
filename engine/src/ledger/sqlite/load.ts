/**
 * Loads rows for decisions into the unit of work, each at most once per transaction. Loading changes nothing.
 */
import type { Statement } from "better-sqlite3";
import type { EdgeRow, LimiterState, Propagation, Slice } from "../../core/decision.ts";
import type { WindowChoice } from "../../core/fanout.ts";
import type { FanoutRow, JobRow, JobSeq, JobState, RunRow, RunSeq, StageRow, WindowRow } from "../../core/model.ts";
import { stageKey, limiterKey, type Unit, windowKey } from "../../core/unit.ts";
import type { PropagationSource } from "../../core/propagate.ts";
import type { Selector, SliceOf } from "../../ports/ledger.ts";
import type { Connection } from "./open.ts";
import { SQL } from "./sql.ts";

/** Statements prepared once per connection, by their text. */
export class Statements {
  private readonly db: Connection;
  private readonly prepared = new Map<string, Statement>();

  constructor(db: Connection) {
    this.db = db;
  }

  of(sql: string): Statement<any[], any> {
    let statement = this.prepared.get(sql);
    if (statement === undefined) {
      statement = this.db.prepare(sql);
      this.prepared.set(sql, statement);
    }
    return statement as Statement<any[], any>;
  }
}

export class Loader implements PropagationSource {
  private readonly statements: Statements;
  unit: Unit;

  constructor(statements: Statements, unit: Unit) {
    this.statements = statements;
    this.unit = unit;
  }

  private get<T>(sql: string, ...args: unknown[]): T | undefined {
    return this.statements.of(sql).get(...args) as T | undefined;
  }

  private all<T>(sql: string, ...args: unknown[]): T[] {
    return this.statements.of(sql).all(...args) as T[];
  }

  private value<T>(sql: string, ...args: unknown[]): T | undefined {
    const row = this.statements.of(sql).get(...args) as Record<string, T> | undefined;
    return row === undefined ? undefined : Object.values(row)[0];
  }

  run(seq: RunSeq): RunRow | undefined {
    const known = this.unit.runs.get(seq);
    if (known !== undefined) return known;
    const row = this.get<RunRow>(SQL.run, seq);
    if (row !== undefined) this.unit.runs.set(seq, row);
    return row;
  }

  stage(run: RunSeq, ordinal: number): StageRow | undefined {
    const key = stageKey(run, ordinal);
    const known = this.unit.stages.get(key);
    if (known !== undefined) return known;
    const row = this.get<StageRow>(SQL.stage, run, ordinal);
    if (row !== undefined) this.unit.stages.set(key, row);
    return row;
  }

  job(seq: JobSeq): JobRow | undefined {
    const known = this.unit.jobs.get(seq);
    if (known !== undefined) return known;
    return this.adopt(this.get<JobRow>(SQL.job, seq));
  }

  private adopt(row: JobRow | undefined): JobRow | undefined {
    if (row === undefined) return undefined;
    const known = this.unit.jobs.get(row.seq);
    if (known !== undefined) return known;
    this.unit.jobs.set(row.seq, row);
    return row;
  }

  fanout(job: JobSeq): FanoutRow | null {
    const known = this.unit.fanouts.get(job);
    if (known !== undefined) return known;
    const row = this.get<FanoutRow>(SQL.fanout, job) ?? null;
    this.unit.fanouts.set(job, row);
    return row;
  }

  window(job: JobSeq, start: number): WindowRow | null {
    const key = windowKey(job, start);
    const known = this.unit.windows.get(key);
    if (known !== undefined) return known;
    const row = this.get<WindowRow>(SQL.window, job, start) ?? null;
    this.unit.windows.set(key, row);
    return row;
  }

  slice(seq: JobSeq): Slice | undefined {
    const job = this.job(seq);
    if (job === undefined) return undefined;
    const run = this.run(job.run);
    const stage = this.stage(job.run, job.stage);
    if (run === undefined || stage === undefined) return undefined;
    return { run, stage, job, fanout: job.kind === "single" ? null : this.fanout(seq), window: null };
  }

  edges(from: JobSeq, after: JobSeq, limit: number): EdgeRow[] {
    const known = this.unit.edges.get(from);
    if (known === undefined) return this.all<EdgeRow>(SQL.edges, from, after, limit);
    return known
      .filter((edge) => edge.to > after)
      .sort((a, b) => a.to - b.to)
      .slice(0, limit);
  }

  jobs(run: RunSeq, states: readonly JobState[], after: JobSeq, before: JobSeq, limit: number): JobSeq[] {
    const fresh = this.freshJobs(run, states, after, before, limit);
    if (fresh !== null) return fresh;
    const rows =
      before === Number.MAX_SAFE_INTEGER
        ? this.all<{ seq: number }>(SQL.jobsInState(states.length), run, after, before, ...states, limit)
        : this.all<{ seq: number }>(SQL.jobsInRange(states.length), after, before, run, ...states, limit);
    return rows.map((row) => row.seq).filter((seq) => states.includes(this.unit.jobs.get(seq)?.state ?? states[0]!));
  }

  /** Jobs of a run that this very transaction inserts are not in the database yet. */
  private freshJobs(
    run: RunSeq,
    states: readonly JobState[],
    after: JobSeq,
    before: JobSeq,
    limit: number,
  ): JobSeq[] | null {
    if (!this.unit.writes.runs.some((entry) => entry.row.seq === run)) return null;
    const found: JobSeq[] = [];
    for (const { row } of this.unit.writes.jobs) {
      if (found.length === limit) break;
      if (row.run === run && row.seq > after && row.seq < before && states.includes(row.state)) found.push(row.seq);
    }
    return found;
  }

  nextOfKey(key: string): RunSeq | undefined {
    for (const row of this.unit.dirtyRuns.keys())
      if (row.concurrencyKey === key && row.endedAt === null && row.state !== "pending") return undefined;
    const active = this.all<{ seq: number }>(SQL.activeOfKey, key).find(
      (row) => (this.unit.runs.get(row.seq)?.endedAt ?? null) === null,
    );
    return active === undefined ? this.value<number>(SQL.nextOfKey, key) : undefined;
  }

  propagations(limit: number): (Propagation & { seq: number })[] {
    return this.all<Propagation & { seq: number }>(SQL.pendingPropagations, limit);
  }

  /** The slice that a selector names; undefined when a row is missing. */
  select(selector: Selector): SliceOf[keyof SliceOf] | undefined {
    switch (selector.kind) {
      case "start":
        return this.startSlice(selector.idempotencyKey, selector.concurrencyKey);
      case "run": {
        const run = this.run(selector.run);
        return run === undefined ? undefined : { run };
      }
      case "job":
        return this.slice(selector.job);
      case "lease": {
        const job = this.job(selector.job);
        return job === undefined ? undefined : { job };
      }
      case "spawn":
        return this.spawnSlice(selector.job, selector.stage, selector.childId);
      case "window": {
        const slice = this.slice(selector.job);
        return slice === undefined ? undefined : { ...slice, window: this.window(selector.job, selector.start) };
      }
      case "nextWindow":
        return this.nextWindow(selector.job, selector.held);
      case "limiter":
        return this.limiterSlice(selector.name, selector.key, selector.job);
      case "itemKeys": {
        const job = this.job(selector.job);
        return job === undefined
          ? undefined
          : {
              job,
              owners: selector.hashes.map(
                (hash) => this.value<number>(SQL.keyOwner, selector.scope, hash, selector.job) ?? null,
              ),
            };
      }
      case "reopen":
        return this.reopenSlice(selector.run);
    }
  }

  private startSlice(idempotencyKey: string | null, concurrencyKey: string | null): SliceOf["start"] {
    const slice: SliceOf["start"] = { twin: null, holder: null };
    if (idempotencyKey !== null) {
      const fresh = this.unit.writes.runs.find((entry) => entry.facts.idempotencyKey === idempotencyKey);
      slice.twin =
        fresh !== undefined
          ? { seq: fresh.row.seq, id: fresh.row.id, requestHash: fresh.facts.requestHash }
          : (this.get<NonNullable<SliceOf["start"]["twin"]>>(SQL.twin, idempotencyKey) ?? null);
    }
    if (concurrencyKey !== null) {
      const stored = this.all<{ seq: number; id: string }>(SQL.holder, concurrencyKey).find(
        (row) => (this.unit.runs.get(row.seq)?.endedAt ?? null) === null,
      );
      const fresh = this.unit.writes.runs.find(
        (entry) => entry.row.concurrencyKey === concurrencyKey && entry.row.endedAt === null,
      );
      slice.holder = stored ?? (fresh === undefined ? null : { seq: fresh.row.seq, id: fresh.row.id });
    }
    return slice;
  }

  private spawnSlice(parent: JobSeq, stage: number | null, childId: string): SliceOf["spawn"] | undefined {
    const slice = this.slice(parent);
    if (slice === undefined) return undefined;
    const childStage = stage === null || stage === slice.job.stage ? slice.stage : this.stage(slice.run.seq, stage);
    if (childStage === undefined) return undefined;
    const fresh = this.unit.writes.jobs.find((entry) => entry.row.parent === parent && entry.row.id === childId);
    const twin = fresh?.row ?? this.adopt(this.get<JobRow>(SQL.child, parent, childId)) ?? null;
    return { ...slice, stage: childStage, twin };
  }

  nextWindow(job: JobSeq, held: number | null): SliceOf["nextWindow"] | undefined {
    const slice = this.slice(job);
    if (slice === undefined) return undefined;
    const choice: WindowChoice = { released: null, reopened: null, existing: 0 };
    const fanout = slice.fanout;
    if (fanout !== null) {
      if (fanout.released > 0) choice.released = this.releasedWindow(job);
      else if (fanout.retryCursor !== null) choice.reopened = this.reopened(job, fanout);
      if (choice.released === null && choice.reopened === null && fanout.duplicates > 0) {
        choice.existing =
          this.value<number>(
            SQL.rowsInRange,
            job,
            fanout.cursor,
            Math.min(fanout.cursor + fanout.windowSize, fanout.total),
          ) ?? 0;
      }
    }
    return { ...slice, window: held === null ? null : this.window(job, held), choice };
  }

  private releasedWindow(job: JobSeq): WindowRow | null {
    for (const window of this.unit.windows.values())
      if (window !== null && window.job === job && window.boot === null) return window;
    const row = this.get<WindowRow>(SQL.releasedWindow, job);
    if (row === undefined) return null;
    const key = windowKey(job, row.start);
    const known = this.unit.windows.get(key);
    if (known !== undefined) return known !== null && known.boot === null ? known : null;
    this.unit.windows.set(key, row);
    return row;
  }

  private reopened(job: JobSeq, fanout: FanoutRow): WindowChoice["reopened"] {
    const ordinals = this.all<{ ordinal: number }>(SQL.reopenedItems, job, fanout.retryCursor, fanout.windowSize);
    const first = ordinals[0];
    const last = ordinals.at(-1);
    return first === undefined || last === undefined
      ? null
      : { first: first.ordinal, last: last.ordinal, count: ordinals.length };
  }

  private limiterSlice(name: string, key: string, job: JobSeq | null): SliceOf["limiter"] {
    const id = limiterKey(name, key);
    let state = this.unit.limiters.get(id);
    if (state === undefined) {
      state = this.get<LimiterState>(SQL.limiter, name, key) ?? null;
      this.unit.limiters.set(id, state);
    }
    return {
      state,
      job: job === null ? null : (this.job(job) ?? null),
      holders: this.value<number>(SQL.holders, name, key) ?? 0,
    };
  }

  private reopenSlice(seq: RunSeq): SliceOf["reopen"] | undefined {
    const run = this.run(seq);
    if (run === undefined) return undefined;
    const states = new Map(
      this.all<{ seq: number; state: JobState }>(SQL.statesOfRun, seq).map((row) => [row.seq, row.state]),
    );
    const jobs: Slice[] = [];
    for (const [job, state] of states) {
      if (state === "completed") continue;
      const slice = this.slice(job);
      if (slice !== undefined) jobs.push(slice);
    }
    const stages: StageRow[] = [];
    for (let ordinal = 0; ordinal < run.stageCount; ordinal++) stages.push(this.stage(seq, ordinal)!);
    return { run, jobs, edges: this.all<EdgeRow>(SQL.edgesOfRun, seq), state: (job) => states.get(job), stages };
  }
}
