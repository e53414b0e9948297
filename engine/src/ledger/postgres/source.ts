/**
 * Answers of the PostgreSQL ledger while it decides. Rows of runs come from what this process knows of its own commits, or
 * from what the present transaction has fetched under its locks. What is neither known nor fetched is noted, answered as if
 * there were nothing, and everything is decided anew once it is there.
 *
 * Invariants: (1) without a transaction every run that was looked at is in `used`, for the commit to check its version;
 * (2) within one, rows come only of runs that it has locked; (3) a pass with needs left is thrown away.
 */
import { createHash } from "node:crypto";
import type { EdgeRow, LimiterState, Propagation } from "../../core/decision.ts";
import type { FanoutRow, JobRow, JobSeq, JobState, RunRow, RunSeq, StageRow, WindowRow } from "../../core/model.ts";
import type { Records, RecordTable } from "../../core/records.ts";
import { limiterKey, stageKey, windowKey } from "../../core/unit.ts";
import type { ClaimRequest } from "../../ports/ledger.ts";
import type { Holder } from "../holders.ts";
import type { Candidate, KeyQuery, RowSource } from "../source.ts";
import type { KnownRows, KnownRun } from "./known.ts";
import { type Held, Needs } from "./needs.ts";
import { type Queued, type QueueMemory, serves } from "./queue.ts";
import { RECORD_SQL } from "./records.ts";
import { SQL } from "./sql.ts";

const OF_KEY: { readonly [Q in KeyQuery]: string } = {
  open: SQL.openOfKey,
  active: SQL.activeOfKey,
  waiting: SQL.waitingOfKey,
};
/** Jobs that are looked at in the queue beyond what is asked for, so that the next claims need not look. */
const AHEAD = 400;

/** Records that are always decided about together with a job, whose run's lock guards them. */
const OF_A_RUN: ReadonlySet<RecordTable> = new Set<RecordTable>(["approval", "gate", "run_usage", "usage"]);

/** The lock that stands for a name of something that is not a run's: a number of 53 bits. */
export function lockOf(kind: string, name: string): number {
  return createHash("sha256").update(`${kind}\u0000${name}`).digest().readUIntBE(0, 6);
}

export class PostgresSource implements RowSource {
  private readonly known: KnownRows;
  private readonly queue: QueueMemory;
  /** Claims that travel with a commit: they take what this process knows of. */
  private readonly travelling: ReadonlySet<ClaimRequest>;
  /** What the transaction holds; null while there is none. */
  private held: Held | null = null;
  private readonly answers = new Map<string, unknown>();
  readonly used = new Set<RunSeq>();
  readonly names = new Set<number>();
  needs = new Needs();
  /** The queue has been looked at for this batch. */
  private looked = false;

  constructor(known: KnownRows, queue: QueueMemory, travelling: ReadonlySet<ClaimRequest>) {
    this.known = known;
    this.queue = queue;
    this.travelling = travelling;
  }

  /** Before each pass. */
  begin(): void {
    this.needs = new Needs();
    this.used.clear();
  }

  /** From now on only what the transaction holds counts. */
  within(held: Held): void {
    this.held = held;
  }

  private rowsOf(seq: RunSeq): KnownRun | undefined {
    const { held } = this;
    if (held === null) {
      const found = this.known.run(seq);
      if (found === undefined) this.needs.runs.add(seq);
      else this.used.add(seq);
      return found;
    }
    if (held.runs.has(seq)) {
      const found = this.known.run(seq);
      if (found === undefined) this.needs.runs.add(seq);
      return found;
    }
    if (!held.absentRuns.has(seq)) this.needs.runs.add(seq);
    return undefined;
  }

  private ofJob(job: JobSeq): KnownRun | undefined {
    const run = this.known.runOf(job);
    if (run !== undefined) return this.rowsOf(run);
    if (this.held === null || !(this.held.absentJobs.has(job) || this.held.busy.has(job))) this.needs.jobs.add(job);
    return undefined;
  }

  private ask<T>(
    name: string,
    sql: string,
    values: readonly unknown[],
    read: (rows: any[]) => T,
    empty: T,
    free = false,
  ): T {
    const key = `${name}:${values.join("\u0000")}`;
    if (this.answers.has(key)) return this.answers.get(key) as T;
    this.needs.questions.set(key, {
      statement: { name, sql, values },
      take: (rows) => void this.answers.set(key, read(rows)),
      free,
    });
    return empty;
  }

  /** A lock on a name must be held before what it guards is asked for. */
  private guard(kind: string, name: string): boolean {
    const lock = lockOf(kind, name);
    if (this.held?.names.has(lock) === true) return true;
    this.needs.names.add(lock);
    return false;
  }

  run(seq: RunSeq): RunRow | undefined {
    const known = this.rowsOf(seq);
    return known === undefined ? undefined : { ...known.row };
  }

  stage(run: RunSeq, ordinal: number): StageRow | undefined {
    const known = this.rowsOf(run);
    if (known === undefined) return undefined;
    const row = known.stages.get(ordinal);
    if (row === undefined && !known.whole) this.needs.stages.set(stageKey(run, ordinal), { run, ordinal });
    return row == null ? undefined : { ...row };
  }

  job(seq: JobSeq): JobRow | undefined {
    const known = this.ofJob(seq);
    if (known === undefined) return undefined;
    const row = known.jobs.get(seq);
    if (row === undefined) this.needs.jobs.add(seq);
    return row === undefined ? undefined : { ...row };
  }

  fanout(job: JobSeq): FanoutRow | undefined {
    const known = this.ofJob(job);
    if (known === undefined || known.jobs.get(job)?.kind === "single") return undefined;
    const row = known.fanouts.get(job);
    if (row === undefined && !known.whole) this.needs.fanouts.add(job);
    return row == null ? undefined : { ...row };
  }

  window(job: JobSeq, start: number): WindowRow | undefined {
    const known = this.ofJob(job);
    if (known === undefined) return undefined;
    const key = windowKey(job, start);
    const row = known.windows.get(key);
    if (row === undefined && !known.whole) this.needs.windows.set(key, { job, start });
    return row == null ? undefined : { ...row };
  }

  limiter(name: string, key: string): LimiterState | undefined {
    if (!this.guard("limiter", limiterKey(name, key))) return undefined;
    return this.ask("limiter", SQL.limiter, [name, key], (rows) => rows[0] as LimiterState | undefined, undefined);
  }

  record(table: RecordTable, id: string): Records[RecordTable] | undefined {
    if (!OF_A_RUN.has(table) && !this.guard(table, id)) return undefined;
    const read = (rows: any[]) => rows[0] as Records[RecordTable] | undefined;
    const row = this.ask(`record_${table}`, RECORD_SQL[table].get, [id], read, undefined);
    return row === undefined ? undefined : { ...row };
  }

  edges(from: JobSeq, after: JobSeq, limit: number): EdgeRow[] {
    const known = this.ofJob(from);
    const edges = known?.edges.get(from) ?? (known?.whole === true ? [] : undefined);
    if (edges === undefined) return this.ask("edges", SQL.edges, [from, after, limit], (rows) => rows as EdgeRow[], []);
    return edges
      .filter((edge) => edge.to > after)
      .sort((a, b) => a.to - b.to)
      .slice(0, limit);
  }

  edgesOfRun(run: RunSeq): EdgeRow[] {
    this.rowsOf(run);
    return this.ask("edgesOfRun", SQL.edgesOfRun, [run], (rows) => rows as EdgeRow[], []);
  }

  jobs(run: RunSeq, states: readonly JobState[], after: JobSeq, before: JobSeq, limit: number): JobSeq[] {
    const known = this.rowsOf(run);
    if (known?.whole === true) {
      const found: JobSeq[] = [];
      for (const row of known.jobs.values())
        if (row.seq > after && row.seq < before && states.includes(row.state)) found.push(row.seq);
      return found.sort((a, b) => a - b).slice(0, limit);
    }
    return this.ask("jobsInState", SQL.jobsInState, [run, after, before, states, limit], seqs, []);
  }

  statesOfRun(run: RunSeq): { seq: JobSeq; state: JobState; children: number }[] {
    this.rowsOf(run);
    return this.ask("statesOfRun", SQL.statesOfRun, [run], (rows) => rows, []);
  }

  child(parent: JobSeq, id: string): JobRow | undefined {
    const known = this.ofJob(parent);
    if (known?.whole === true) {
      for (const row of known.jobs.values()) if (row.parent === parent && row.id === id) return { ...row };
      return undefined;
    }
    const row = this.ask("child", SQL.child, [parent, id], (rows) => rows[0] as JobRow | undefined, undefined);
    return row === undefined ? undefined : { ...row };
  }

  openMaps(parent: JobSeq): JobSeq[] {
    const known = this.ofJob(parent);
    if (known?.whole === true)
      return [...known.jobs.values()]
        .filter((row) => row.parent === parent && row.kind === "map" && row.endedAt === null)
        .map((row) => row.seq);
    return this.ask("openMaps", SQL.openMaps, [parent], seqs, []);
  }

  runsOfKey(query: KeyQuery, key: string, after: RunSeq, before: RunSeq, limit: number): RunRow[] {
    if (!this.guard("concurrency", key)) return [];
    const rows = this.ask(
      `${query}OfKey`,
      OF_KEY[query],
      [key, after, before, limit],
      (found) => found as RunRow[],
      [],
    );
    return rows.map((row) => ({ ...row }));
  }

  /** Asked without a lock: the unique index has the last word. */
  twin(idempotencyKey: string): { seq: RunSeq; id: string; requestHash: string | null } | undefined {
    const read = (rows: any[]) => rows[0];
    return this.ask("twin", SQL.twin, [idempotencyKey], read, undefined, true);
  }

  rollbackOf(run: RunSeq): RunRow | undefined {
    this.rowsOf(run);
    const row = this.ask("rollbackOf", SQL.rollbackOf, [run], (rows) => rows[0] as RunRow | undefined, undefined);
    return row === undefined ? undefined : { ...row };
  }

  releasedWindow(job: JobSeq, after: number): WindowRow | undefined {
    const known = this.ofJob(job);
    if (known?.whole === true) {
      let first: WindowRow | undefined;
      for (const row of known.windows.values())
        if (row?.job === job && row.boot === null && row.start > after && row.start < (first?.start ?? Infinity))
          first = row;
      return first === undefined ? undefined : { ...first };
    }
    const read = (rows: any[]) => rows[0] as WindowRow | undefined;
    const row = this.ask("releasedWindow", SQL.releasedWindow, [job, after], read, undefined);
    return row === undefined ? undefined : { ...row };
  }

  reopenedItems(job: JobSeq, from: number, limit: number): number[] {
    this.ofJob(job);
    const read = (rows: any[]) => rows.map((row) => row.ordinal as number);
    return this.ask("reopenedItems", SQL.reopenedItems, [job, from, limit], read, []);
  }

  endedItems(job: JobSeq, from: number, to: number): number {
    this.ofJob(job);
    return this.ask("endedItems", SQL.endedItems, [job, from, to], (rows) => rows[0].n as number, 0);
  }

  keyOwners(scope: number, job: JobSeq, hashes: readonly Uint8Array[]): (number | undefined)[] {
    this.ofJob(job);
    const read = (rows: { at: number; ordinal: number }[]) => {
      const owners: (number | undefined)[] = hashes.map(() => undefined);
      for (const row of rows) owners[row.at - 1] = row.ordinal;
      return owners;
    };
    return this.ask("keyOwners", SQL.keyOwners, [scope, job, hashes], read, []);
  }

  holderCount(limiter: string, key: string): number {
    if (!this.guard("limiter", limiterKey(limiter, key))) return 0;
    return this.ask("holderCount", SQL.holderCount, [limiter, key], (rows) => rows[0].n as number, 0);
  }

  holders(limiter: string, key: string): Holder[] {
    if (!this.guard("limiter", limiterKey(limiter, key))) return [];
    return this.ask("holders", SQL.holders, [limiter, key], (rows) => rows as Holder[], []);
  }

  propagations(limit: number): (Propagation & { seq: number })[] {
    return this.ask("propagations", SQL.propagations, [limit], (rows) => rows, []);
  }

  /** The commit checks once more that the boot lives. */
  bootState(boot: number): string | undefined {
    return this.ask(
      "bootState",
      SQL.bootState,
      [boot],
      (rows) => rows[0]?.state as string | undefined,
      undefined,
      true,
    );
  }

  candidates(request: ClaimRequest, limit: number): { found: Candidate[]; all: boolean } {
    const enough = this.travelling.has(request) ? 1 : request.slots;
    const plain = request.run === null && request.suspects;
    const known = plain ? this.queue.find(request, limit, enough, this.looked) : null;
    const { found, all } = known ?? this.look(request, limit, plain);
    const { held } = this;
    if (held === null) return { found: found.map((row) => this.present(row)), all };
    return { found: this.claimable(found, request, held), all };
  }

  private look(request: ClaimRequest, limit: number, plain: boolean): { found: Queued[]; all: boolean } {
    const size = limit + AHEAD;
    const sql = SQL.queue(request.run !== null, !request.suspects);
    const name = `queue${request.run === null ? "" : "OfRun"}${request.suspects ? "" : "Calm"}`;
    const read = (rows: any[]) => {
      if (plain) {
        this.looked = true;
        this.queue.fill(rows as Queued[], size);
      }
      return rows as Queued[];
    };
    const values = request.run === null ? [size] : [size, request.run];
    const rows = this.ask(name, sql, values, read, [] as Queued[], true).filter((row) => serves(row, request));
    const found = rows.sort((a, b) => a.rank - b.rank || a.seq - b.seq).slice(0, limit);
    return { found, all: found.length < limit };
  }

  /** A row of the queue as this process knows its job, if it does. */
  private present(row: Queued): Candidate {
    const run = this.known.runOf(row.seq);
    return (run === undefined ? undefined : this.known.run(run)?.jobs.get(row.seq)) ?? row;
  }

  /** Runs that others are at work on are passed over while there are enough others, and waited for otherwise. */
  private claimable(found: readonly Queued[], request: ClaimRequest, held: Held): Candidate[] {
    const free = found.filter((row) => !held.busy.has(row.seq));
    const few = free.length < Math.min(request.slots, found.length);
    const wanted = few ? found : free;
    for (const row of wanted) {
      const run = this.known.runOf(row.seq) ?? row.run;
      if (held.runs.has(run) && this.known.run(run)?.jobs.has(row.seq) === true) continue;
      if (held.absentJobs.has(row.seq)) {
        this.queue.drop(row.seq);
        continue;
      }
      if (held.busy.delete(row.seq)) this.needs.jobs.add(row.seq);
      else this.needs.spare.add(row.seq);
    }
    return wanted.filter((row) => held.runs.has(row.run)).map((row) => this.present(row));
  }
}

const seqs = (rows: { seq: number }[]): number[] => rows.map((row) => row.seq);
