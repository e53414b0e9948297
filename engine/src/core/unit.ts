/**
 * The unit of work of one transaction: rows loaded once and shared by all changes of a batch, what they became, and the
 * consequences still to be decided. Ledgers fill it, ask it what to decide, and write what it holds; it knows no SQL.
 *
 * Invariants: (1) a rejected decision leaves no trace; (2) patches change rows only here; (3) each change of a run gets
 * the run's next event number; (4) a run's state is derived once, when everything else of the transaction is decided.
 */
import type {
  AttemptRow,
  EdgeRow,
  Effect,
  ItemRow,
  LimiterState,
  NewJob,
  Propagation,
  RunFacts,
  Slice,
  StepRow,
  Verdict,
} from "./decision.ts";
import type { FanoutRow, JobRow, JobSeq, Json, RunRow, RunSeq, StageRow, WindowRow } from "./model.ts";
import { type Records, type RecordTable, recordKey } from "./records.ts";
import { RowCache } from "./row-cache.ts";
import { settleRun } from "./run.ts";

export interface EventRow {
  run: RunSeq;
  seq: number;
  at: number;
  name: string;
  job: string | null;
  /** Null when there is nothing to add. */
  data: { [key: string]: Json } | null;
}

/** Everything that is written beside changed rows, in the order in which it was decided. */
export interface Writes {
  runs: { row: RunRow; facts: RunFacts }[];
  stages: StageRow[];
  jobs: NewJob[];
  edges: EdgeRow[];
  fanouts: FanoutRow[];
  windows: WindowRow[];
  droppedWindows: { job: JobSeq; start: number }[];
  events: EventRow[];
  attempts: AttemptRow[];
  payloads: { job: JobSeq; output: string | null; error: string | null }[];
  items: { job: JobSeq; rows: readonly ItemRow[] }[];
  steps: StepRow[];
  propagations: Propagation[];
  /** Everything rare, executed one by one. */
  others: Effect[];
}

function noWrites(): Writes {
  return {
    runs: [],
    stages: [],
    jobs: [],
    edges: [],
    fanouts: [],
    windows: [],
    droppedWindows: [],
    events: [],
    attempts: [],
    payloads: [],
    items: [],
    steps: [],
    propagations: [],
    others: [],
  };
}

/** What listeners learn after the commit; hints only. */
export interface Hints {
  /** Something may be claimed. */
  ready: boolean;
  endedRuns: RunRow[];
  endedJobs: { run: RunSeq; job: JobSeq; parent: JobSeq | null; state: JobRow["state"] }[];
  cancelled: RunSeq[];
  /** Earliest time at which a job of this batch becomes due. */
  dueAt: number | null;
}

function assignChanged<T extends object>(dirty: Map<T, Set<string>>, row: T, patch: Partial<T>): void {
  let columns = dirty.get(row);
  for (const key in patch) {
    if (row[key] === patch[key]) continue;
    row[key] = patch[key] as T[typeof key];
    if (columns === undefined) {
      columns = new Set();
      dirty.set(row, columns);
    }
    columns.add(key);
  }
}

export const windowKey = (job: JobSeq, start: number): string => `${job}:${start}`;
export const stageKey = (run: RunSeq, ordinal: number): string => `${run}:${ordinal}`;
export const limiterKey = (name: string, key: string): string => `${name}\u0000${key}`;

export class Unit {
  readonly at: number;
  readonly cache: RowCache;
  readonly runs: Map<RunSeq, RunRow>;
  readonly stages: Map<string, StageRow>;
  readonly jobs: Map<JobSeq, JobRow>;
  readonly fanouts: Map<JobSeq, FanoutRow | null>;
  readonly windows: Map<string, WindowRow | null>;
  readonly limiters: Map<string, LimiterState | null>;
  readonly edges: Map<JobSeq, EdgeRow[]>;
  /** Records that this transaction has put; null where it has dropped one. */
  readonly records = new Map<string, Records[RecordTable] | null>();
  /** Jobs that became claimable in this transaction; the database does not show them yet. */
  readonly claimable = new Set<JobRow>();
  /** Changed rows; for runs and jobs with the names of the columns whose value changed. */
  readonly dirtyRuns = new Map<RunRow, Set<string>>();
  readonly dirtyStages = new Set<StageRow>();
  readonly dirtyJobs = new Map<JobRow, Set<string>>();
  readonly dirtyFanouts = new Set<FanoutRow>();
  readonly dirtyWindows = new Set<WindowRow>();
  readonly hints: Hints = { ready: false, endedRuns: [], endedJobs: [], cancelled: [], dueAt: null };
  writes = noWrites();
  /** Consequences to be decided in this transaction, first in first out. */
  todo: Propagation[] = [];
  private touchedRuns = new Set<RunRow>();
  private lastEvent = new Map<RunSeq, EventRow>();

  constructor(at: number, cache: RowCache = new RowCache()) {
    this.at = at;
    this.cache = cache;
    this.runs = cache.runs;
    this.stages = cache.stages;
    this.jobs = cache.jobs;
    this.fanouts = cache.fanouts;
    this.windows = cache.windows;
    this.limiters = cache.limiters;
    this.edges = cache.edges;
  }

  /** Takes an accepted decision in. Rows of the slice must be the unit's own. */
  merge(slice: Partial<Slice>, verdict: Verdict & { ok: true }): void {
    const { run, stage, job, fanout, window } = slice;
    if (verdict.run !== undefined && run !== undefined) this.patchRun(run, verdict.run);
    if (verdict.stage !== undefined && stage !== undefined) this.patch(this.dirtyStages, stage, verdict.stage);
    if (verdict.job !== undefined && job !== undefined) this.patchJob(job, verdict.job);
    if (verdict.fanout !== undefined && fanout) this.patch(this.dirtyFanouts, fanout, verdict.fanout);
    if (verdict.window !== undefined && window) this.patchWindow(window, verdict.window);
    for (const effect of verdict.effects ?? []) this.take(effect, run);
  }

  private patch<T extends object>(dirty: Set<T>, row: T, patch: Partial<T>): void {
    Object.assign(row, patch);
    dirty.add(row);
  }

  patchRun(run: RunRow, patch: Partial<RunRow>): void {
    assignChanged(this.dirtyRuns, run, patch);
    this.touchedRuns.add(run);
    if (patch.cancelRequestedAt != null) this.hints.cancelled.push(run.seq);
  }

  private patchJob(job: JobRow, patch: Partial<JobRow>): void {
    assignChanged(this.dirtyJobs, job, patch);
    if (job.claimable === 1) this.claimable.add(job);
    if (job.dueAt !== null && (this.hints.dueAt === null || job.dueAt < this.hints.dueAt)) this.hints.dueAt = job.dueAt;
  }

  private patchWindow(window: WindowRow, patch: Partial<WindowRow> | "drop"): void {
    if (patch !== "drop") return this.patch(this.dirtyWindows, window, patch);
    this.windows.set(windowKey(window.job, window.start), null);
    this.dirtyWindows.delete(window);
    this.writes.windows = this.writes.windows.filter((fresh) => fresh !== window);
    this.writes.droppedWindows.push({ job: window.job, start: window.start });
  }

  private take(effect: Effect, run: RunRow | undefined): void {
    switch (effect.type) {
      case "event":
        if (run !== undefined) this.event(run, effect.name, effect.job, effect.data ?? null);
        else this.eventOfNewRun(effect.name, effect.job, effect.data ?? null);
        return;
      case "attempt":
        this.writes.attempts.push(effect.row);
        return;
      case "payload":
        this.writes.payloads.push(effect);
        return;
      case "ready":
        this.noteReady(effect.job);
        if (effect.job.kind === "map" && effect.job.parent !== null)
          this.todo.push({ kind: "orphans", run: effect.job.run, subject: effect.job.parent, cursor: 0 });
        return;
      case "ended":
        this.noteEnd(effect.job, effect.state);
        return;
      case "propagate":
        this.todo.push(effect.row);
        return;
      case "insertRun":
        this.addRun(effect.row, effect.facts);
        return;
      case "insertStage":
        this.stages.set(stageKey(effect.row.run, effect.row.ordinal), effect.row);
        this.writes.stages.push(effect.row);
        return;
      case "insertJob":
        this.addJob(effect.job);
        return;
      case "insertEdge":
        this.addEdge(effect.row);
        return;
      case "insertFanout":
        this.fanouts.set(effect.row.job, effect.row);
        this.writes.fanouts.push(effect.row);
        return;
      case "insertWindow":
        this.addWindow(effect.row);
        return;
      case "items":
        this.writes.items.push(effect);
        return;
      case "reopenItems":
        this.forgetWindows(effect.job);
        this.writes.others.push(effect);
        return;
      case "step":
        this.writes.steps.push(effect.row);
        return;
      case "putLimiter":
        this.limiters.set(limiterKey(effect.row.name, effect.row.key), effect.row);
        this.writes.others.push(effect);
        return;
      case "put":
        this.records.set(recordKey(effect.table, effect.row.id), effect.row);
        this.writes.others.push(effect);
        return;
      case "drop":
        this.records.set(recordKey(effect.table, effect.id), null);
        this.writes.others.push(effect);
        return;
      default:
        this.writes.others.push(effect);
    }
  }

  private addRun(row: RunRow, facts: RunFacts): void {
    this.runs.set(row.seq, row);
    this.writes.runs.push({ row, facts });
    this.touchedRuns.add(row);
  }

  private addJob(job: NewJob): void {
    this.jobs.set(job.row.seq, job.row);
    this.writes.jobs.push(job);
    if (job.row.claimable === 1) this.claimable.add(job.row);
    if (job.row.kind !== "single") this.fanouts.set(job.row.seq, null);
  }

  /** A window that was given back and is leased again in one transaction is written once, as it is now. */
  private addWindow(row: WindowRow): void {
    const key = windowKey(row.job, row.start);
    const before = this.windows.get(key);
    if (before != null) this.dirtyWindows.delete(before);
    this.windows.set(key, row);
    this.writes.windows.push(row);
  }

  /** Reopening makes one list of all items without an end; the windows of the former life are gone. */
  private forgetWindows(job: JobSeq): void {
    for (const [key, window] of this.windows) {
      if (window?.job !== job) continue;
      this.windows.set(key, null);
      this.dirtyWindows.delete(window);
    }
    this.writes.windows = this.writes.windows.filter((window) => window.job !== job);
  }

  private addEdge(edge: EdgeRow): void {
    this.writes.edges.push(edge);
    const known = this.edges.get(edge.from);
    if (known === undefined) this.edges.set(edge.from, [edge]);
    else known.push(edge);
  }

  private eventOfNewRun(name: string, job: string | null, data: EventRow["data"]): void {
    const fresh = this.writes.runs.at(-1);
    if (fresh !== undefined) this.event(fresh.row, name, job, data);
  }

  event(run: RunRow, name: string, job: string | null, data: EventRow["data"]): void {
    assignChanged(this.dirtyRuns, run, { eventSeq: run.eventSeq + 1 });
    const row: EventRow = { run: run.seq, seq: run.eventSeq, at: this.at, name, job, data };
    this.writes.events.push(row);
    this.lastEvent.set(run.seq, row);
  }

  /** Readiness is told with the event that caused it, which saves a row per job. */
  private noteReady(job: JobRow): void {
    const cause = this.lastEvent.get(job.run);
    if (cause === undefined) {
      const run = this.runs.get(job.run);
      if (run !== undefined) this.event(run, "job.ready", job.id, null);
      return;
    }
    const data = (cause.data ??= {});
    const ready = (data["ready"] ??= []) as Json[];
    ready.push(job.id);
  }

  private noteEnd(job: JobRow, state: JobRow["state"]): void {
    this.hints.endedJobs.push({ run: job.run, job: job.seq, parent: job.parent, state });
    if (job.hasDependents === 1) this.todo.push({ kind: "dependents", run: job.run, subject: job.seq, cursor: 0 });
    if (job.parent !== null) this.todo.push({ kind: "child", run: job.run, subject: job.parent, cursor: 0 });
    if (job.openChildren > 0) this.todo.push({ kind: "orphans", run: job.run, subject: job.seq, cursor: 0 });
    const stage = this.stages.get(stageKey(job.run, job.stage));
    if (stage !== undefined && stage.settled === stage.total) {
      const run = this.runs.get(job.run);
      if (run !== undefined && stage.ordinal + 1 < run.stageCount)
        this.todo.push({ kind: "barrier", run: job.run, subject: stage.ordinal + 1, cursor: 0 });
    }
  }

  /** Puts off what is left to a later transaction. */
  postpone(): void {
    for (const row of this.todo) {
      const run = this.runs.get(row.run);
      if (run !== undefined) this.patchRun(run, { propagating: run.propagating + 1 });
      this.writes.propagations.push(row);
    }
    this.todo = [];
  }

  /** Derives the states of all runs that changed. True if that has consequences of its own. */
  settle(): boolean {
    const runs = [...this.touchedRuns];
    this.touchedRuns.clear();
    for (const run of runs) {
      const settled = settleRun(run, this.at);
      if (settled === null) continue;
      if (settled.deadlock) {
        // What is still to be decided may make jobs ready; the run is looked at again afterwards.
        if (this.todo.some((step) => step.run === run.seq)) this.touchedRuns.add(run);
        else this.todo.push({ kind: "deadlock", run: run.seq, subject: 0, cursor: 0 });
        continue;
      }
      this.merge({ run }, settled.decision as Verdict & { ok: true });
      if (run.endedAt !== null) this.hints.endedRuns.push(run);
    }
    return this.todo.length > 0;
  }

  /** Forgets what has been written, so that a second phase of the same transaction starts clean. */
  written(): void {
    this.writes = noWrites();
    this.dirtyRuns.clear();
    this.dirtyStages.clear();
    this.dirtyJobs.clear();
    this.dirtyFanouts.clear();
    this.dirtyWindows.clear();
    this.lastEvent.clear();
  }
}
