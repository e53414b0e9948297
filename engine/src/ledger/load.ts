/**
 * Loads rows for decisions into the unit of work, each at most once, and shows queries what the unit has changed since.
 * Shared by all ledgers. Loading changes nothing.
 */
import type { EdgeRow, Slice } from "../core/decision.ts";
import type { WindowChoice } from "../core/fanout.ts";
import type { FanoutRow, JobRow, JobSeq, JobState, RunRow, RunSeq, StageRow, WindowRow } from "../core/model.ts";
import { variantOf } from "../core/model.ts";
import type { PropagationSource } from "../core/propagate.ts";
import { type Records, type RecordTable, recordKey } from "../core/records.ts";
import type { OriginSlice } from "../core/rollback.ts";
import { limiterKey, stageKey, type Unit, windowKey } from "../core/unit.ts";
import type { RecordName, Selector, SliceOf } from "../ports/ledger.ts";
import { countHolders, holderEffects } from "./holders.ts";
import type { KeyQuery, RowSource } from "./source.ts";

export class Loader implements PropagationSource {
  private readonly source: RowSource;
  readonly unit: Unit;

  constructor(source: RowSource, unit: Unit) {
    this.source = source;
    this.unit = unit;
  }

  run(seq: RunSeq): RunRow | undefined {
    const known = this.unit.runs.get(seq);
    if (known !== undefined) return known;
    const row = this.source.run(seq);
    if (row !== undefined) this.unit.runs.set(seq, row);
    return row;
  }

  stage(run: RunSeq, ordinal: number): StageRow | undefined {
    const key = stageKey(run, ordinal);
    const known = this.unit.stages.get(key);
    if (known !== undefined) return known;
    const row = this.source.stage(run, ordinal);
    if (row !== undefined) this.unit.stages.set(key, row);
    return row;
  }

  job(seq: JobSeq): JobRow | undefined {
    const known = this.unit.jobs.get(seq);
    if (known !== undefined) return known;
    return this.adopt(this.source.job(seq));
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
    const row = this.source.fanout(job) ?? null;
    this.unit.fanouts.set(job, row);
    return row;
  }

  window(job: JobSeq, start: number): WindowRow | null {
    const key = windowKey(job, start);
    const known = this.unit.windows.get(key);
    if (known !== undefined) return known;
    const row = this.source.window(job, start) ?? null;
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
    if (known === undefined) return this.source.edges(from, after, limit);
    return known
      .filter((edge) => edge.to > after)
      .sort((a, b) => a.to - b.to)
      .slice(0, limit);
  }

  jobs(run: RunSeq, states: readonly JobState[], after: JobSeq, before: JobSeq, limit: number): JobSeq[] {
    const changed = this.changedJobs(run, after, before);
    const found = [...changed.values()].filter((row) => states.includes(row.state)).map((row) => row.seq);
    // What this transaction has changed is not in the database yet; as many rows more are needed to fill the limit.
    const wanted = limit + changed.size;
    const stored = this.unit.writes.runs.some((entry) => entry.row.seq === run)
      ? []
      : this.source.jobs(run, states, after, before, wanted);
    if (changed.size === 0) return stored;
    for (const seq of stored) if (!changed.has(seq)) found.push(seq);
    return found.sort((a, b) => a - b).slice(0, limit);
  }

  /** Jobs of a run that this transaction has inserted or changed. */
  private changedJobs(run: RunSeq, after: JobSeq, before: JobSeq): Map<JobSeq, JobRow> {
    const changed = new Map<JobSeq, JobRow>();
    const look = (row: JobRow) => {
      if (row.run === run && row.seq > after && row.seq < before) changed.set(row.seq, row);
    };
    for (const row of this.unit.dirtyJobs.keys()) look(row);
    for (const { row } of this.unit.writes.jobs) look(row);
    return changed;
  }

  /** Runs of a concurrency key that this transaction has inserted or changed. */
  private changedRuns(key: string): Map<RunSeq, RunRow> {
    const changed = new Map<RunSeq, RunRow>();
    for (const row of this.unit.dirtyRuns.keys()) if (row.concurrencyKey === key) changed.set(row.seq, row);
    for (const { row } of this.unit.writes.runs) if (row.concurrencyKey === key) changed.set(row.seq, row);
    return changed;
  }

  /** The first run of the key in (after, before) that passes, by what is stored and what has changed since. */
  private firstOfKey(
    key: string,
    after: RunSeq,
    before: RunSeq,
    test: (row: RunRow) => boolean,
    query: KeyQuery,
  ): RunRow | undefined {
    const changed = this.changedRuns(key);
    const stored = this.source
      .runsOfKey(query, key, after, before, changed.size + 1)
      .filter((row) => !changed.has(row.seq));
    return [...stored, ...changed.values()]
      .filter((row) => row.seq > after && row.seq < before && row.endedAt === null && test(row))
      .sort((a, b) => a.seq - b.seq)[0];
  }

  openOfKey(key: string, after: RunSeq, before: RunSeq): RunSeq | undefined {
    return this.firstOfKey(key, after, before, () => true, "open")?.seq;
  }

  nextOfKey(key: string): RunSeq | undefined {
    const all = Number.MAX_SAFE_INTEGER;
    const active = this.firstOfKey(key, 0, all, (row) => row.state !== "pending", "active");
    if (active !== undefined) return undefined;
    const waits = (row: RunRow) => row.state === "pending" && row.cancelRequestedAt === null;
    return this.firstOfKey(key, 0, all, waits, "waiting")?.seq;
  }

  maps(parent: JobSeq): JobSeq[] {
    const stored = this.source.openMaps(parent);
    const fresh = this.unit.writes.jobs.filter(({ row }) => row.parent === parent && row.kind === "map");
    const changed = [...this.unit.dirtyJobs.keys()].filter((row) => row.parent === parent && row.kind === "map");
    return [...new Set([...stored, ...fresh.map(({ row }) => row.seq), ...changed.map((row) => row.seq)])];
  }

  /** The slice that a selector names; undefined when a row is missing. */
  select(selector: Selector): SliceOf[keyof SliceOf] | undefined {
    switch (selector.kind) {
      case "start":
        return this.startSlice(selector.idempotencyKey, selector.concurrencyKey, selector.origin);
      case "run": {
        const run = this.run(selector.run);
        return run === undefined ? undefined : { run };
      }
      case "job":
        return this.slice(selector.job);
      case "child": {
        const slice = this.slice(selector.job);
        if (slice === undefined) return undefined;
        return { ...slice, parent: slice.job.parent === null ? null : (this.job(slice.job.parent) ?? null) };
      }
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
        return this.limiterSlice(selector.name, selector.key, selector.job, selector.window);
      case "itemKeys": {
        const job = this.job(selector.job);
        return job === undefined
          ? undefined
          : {
              job,
              owners: this.source
                .keyOwners(selector.scope, selector.job, selector.hashes)
                .map((ordinal) => ordinal ?? null),
            };
      }
      case "reopen":
        return this.reopenSlice(selector.run);
      case "records":
        return { records: this.records(selector.of) };
      case "jobRecords": {
        const slice = this.slice(selector.job);
        return slice === undefined ? undefined : { ...slice, records: this.records(selector.of) };
      }
    }
  }

  private records(names: readonly RecordName[]): (Records[RecordTable] | null)[] {
    return names.map(({ table, id }) => {
      const known = this.unit.records.get(recordKey(table, id));
      return known === undefined ? (this.source.record(table, id) ?? null) : known;
    });
  }

  private startSlice(
    idempotencyKey: string | null,
    concurrencyKey: string | null,
    origin: RunSeq | null,
  ): SliceOf["start"] {
    const slice: SliceOf["start"] = { twin: null, holder: null, origin: null };
    const run = origin === null ? undefined : this.run(origin);
    if (run !== undefined) slice.origin = { run, rollback: this.rollbackOf(run.seq) };
    if (idempotencyKey !== null) {
      const fresh = this.unit.writes.runs.find((entry) => entry.facts.idempotencyKey === idempotencyKey);
      slice.twin =
        fresh !== undefined
          ? { seq: fresh.row.seq, id: fresh.row.id, requestHash: fresh.facts.requestHash }
          : (this.source.twin(idempotencyKey) ?? null);
    }
    if (concurrencyKey !== null) slice.holder = this.holderOf(concurrencyKey, null);
    return slice;
  }

  private rollbackOf(seq: RunSeq): OriginSlice["rollback"] {
    const fresh = this.unit.writes.runs.find(
      ({ row }) => row.origin === seq && row.variant !== null && variantOf(row).relation === "rollback",
    );
    if (fresh !== undefined) return fresh.row;
    const stored = this.source.rollbackOf(seq);
    return stored === undefined ? null : (this.unit.runs.get(stored.seq) ?? stored);
  }

  /** The oldest run of the key that has not ended, another than this one. */
  private holderOf(key: string, self: RunSeq | null): { seq: RunSeq; id: string } | null {
    const row = this.firstOfKey(key, 0, Number.MAX_SAFE_INTEGER, (run) => run.seq !== self, "open");
    return row === undefined ? null : { seq: row.seq, id: row.id };
  }

  private spawnSlice(parent: JobSeq, stage: number | null, childId: string): SliceOf["spawn"] | undefined {
    const slice = this.slice(parent);
    if (slice === undefined) return undefined;
    const childStage = stage === null || stage === slice.job.stage ? slice.stage : this.stage(slice.run.seq, stage);
    if (childStage === undefined) return undefined;
    const fresh = this.unit.writes.jobs.find((entry) => entry.row.parent === parent && entry.row.id === childId);
    const twin = fresh?.row ?? this.adopt(this.source.child(parent, childId)) ?? null;
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
        const stop = Math.min(fanout.cursor + fanout.windowSize, fanout.total);
        choice.existing = this.source.endedItems(job, fanout.cursor, stop);
      }
    }
    return { ...slice, window: held === null ? null : this.window(job, held), choice };
  }

  private releasedWindow(job: JobSeq): WindowRow | null {
    for (const window of this.unit.windows.values())
      if (window !== null && window.job === job && window.boot === null) return window;
    for (let after = -1; ; ) {
      const row = this.source.releasedWindow(job, after);
      if (row === undefined) return null;
      const key = windowKey(job, row.start);
      const known = this.unit.windows.get(key);
      if (known === undefined) {
        this.unit.windows.set(key, row);
        return row;
      }
      // Leased or dropped in this transaction.
      after = row.start;
    }
  }

  private reopened(job: JobSeq, fanout: FanoutRow): WindowChoice["reopened"] {
    const ordinals = this.source.reopenedItems(job, fanout.retryCursor ?? 0, fanout.windowSize);
    const first = ordinals[0];
    const last = ordinals.at(-1);
    return first === undefined || last === undefined ? null : { first, last, count: ordinals.length };
  }

  private limiterSlice(name: string, key: string, job: JobSeq | null, window: number | null): SliceOf["limiter"] {
    const id = limiterKey(name, key);
    let state = this.unit.limiters.get(id);
    if (state === undefined) {
      state = this.source.limiter(name, key) ?? null;
      this.unit.limiters.set(id, state);
    }
    return {
      state,
      job: job === null ? null : (this.job(job) ?? null),
      window: job === null || window === null ? null : this.window(job, window),
      holders: this.holders(name, key),
    };
  }

  private holders(name: string, key: string): number {
    const pending = holderEffects(this.unit.writes.others);
    if (pending.length === 0) return this.source.holderCount(name, key);
    return countHolders(this.source.holders(name, key), pending, { name, key });
  }

  private reopenSlice(seq: RunSeq): SliceOf["reopen"] | undefined {
    const run = this.run(seq);
    if (run === undefined) return undefined;
    const rows = this.source.statesOfRun(seq);
    const states = new Map(rows.map((row) => [row.seq, this.unit.jobs.get(row.seq)?.state ?? row.state]));
    const jobs: Slice[] = [];
    for (const { seq: job, children } of rows) {
      if (states.get(job) === "completed" && children === 0) continue;
      const slice = this.slice(job);
      if (slice !== undefined) jobs.push(slice);
    }
    const stages: StageRow[] = [];
    for (let ordinal = 0; ordinal < run.stageCount; ordinal++) stages.push(this.stage(seq, ordinal)!);
    const holder = run.concurrencyKey === null ? null : this.holderOf(run.concurrencyKey, seq);
    return {
      run,
      jobs,
      edges: this.source.edgesOfRun(seq),
      state: (job) => states.get(job),
      stages,
      holder,
      rollback: this.rollbackOf(seq),
    };
  }
}
