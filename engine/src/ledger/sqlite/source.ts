/** Answers of the SQLite ledger while it decides: each is one prepared statement, asked inside the transaction. */
import type { EdgeRow, LimiterState, Propagation } from "../../core/decision.ts";
import type { FanoutRow, JobRow, JobSeq, JobState, RunRow, RunSeq, StageRow, WindowRow } from "../../core/model.ts";
import type { Records, RecordTable } from "../../core/records.ts";
import type { ClaimRequest } from "../../ports/ledger.ts";
import type { Holder } from "../holders.ts";
import type { Candidate, KeyQuery, RowSource } from "../source.ts";
import { RECORD_SQL } from "./records.ts";
import { SQL } from "./sql.ts";
import { type Statements, twice } from "./statements.ts";

const OF_KEY: { readonly [Q in KeyQuery]: string } = {
  open: SQL.openOfKey,
  active: SQL.activeOfKey,
  waiting: SQL.waitingOfKey,
};

export class SqliteSource implements RowSource {
  private readonly statements: Statements;

  constructor(statements: Statements) {
    this.statements = statements;
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

  private numbers(sql: string, ...args: unknown[]): number[] {
    return this.all<{ seq: number }>(sql, ...args).map((row) => row.seq);
  }

  run(seq: RunSeq): RunRow | undefined {
    return this.get<RunRow>(SQL.run, seq);
  }

  stage(run: RunSeq, ordinal: number): StageRow | undefined {
    return this.get<StageRow>(SQL.stage, run, ordinal);
  }

  job(seq: JobSeq): JobRow | undefined {
    return this.get<JobRow>(SQL.job, seq);
  }

  fanout(job: JobSeq): FanoutRow | undefined {
    return this.get<FanoutRow>(SQL.fanout, job);
  }

  window(job: JobSeq, start: number): WindowRow | undefined {
    return this.get<WindowRow>(SQL.window, job, start);
  }

  limiter(name: string, key: string): LimiterState | undefined {
    return this.get<LimiterState>(SQL.limiter, name, key);
  }

  record(table: RecordTable, id: string): Records[RecordTable] | undefined {
    return this.get<Records[RecordTable]>(RECORD_SQL[table].get, id);
  }

  edges(from: JobSeq, after: JobSeq, limit: number): EdgeRow[] {
    return this.all<EdgeRow>(SQL.edges, from, after, limit);
  }

  edgesOfRun(run: RunSeq): EdgeRow[] {
    return this.all<EdgeRow>(SQL.edgesOfRun, run);
  }

  jobs(run: RunSeq, states: readonly JobState[], after: JobSeq, before: JobSeq, limit: number): JobSeq[] {
    return before === Number.MAX_SAFE_INTEGER
      ? this.numbers(SQL.jobsInState(states.length), ...twice(run, after, before, ...states), limit)
      : this.numbers(SQL.jobsInRange(states.length), after, before, run, ...states, limit);
  }

  statesOfRun(run: RunSeq): { seq: JobSeq; state: JobState; children: number }[] {
    return this.all(SQL.statesOfRun, ...twice(run));
  }

  child(parent: JobSeq, id: string): JobRow | undefined {
    return this.get<JobRow>(SQL.child, parent, id);
  }

  openMaps(parent: JobSeq): JobSeq[] {
    return this.numbers(SQL.openMaps, parent);
  }

  runsOfKey(query: KeyQuery, key: string, after: RunSeq, before: RunSeq, limit: number): RunRow[] {
    return this.all<RunRow>(OF_KEY[query], key, after, before, limit);
  }

  twin(idempotencyKey: string): { seq: RunSeq; id: string; requestHash: string | null } | undefined {
    return this.get(SQL.twin, idempotencyKey);
  }

  rollbackOf(run: RunSeq): RunRow | undefined {
    return this.get<RunRow>(SQL.rollbackOf, run);
  }

  releasedWindow(job: JobSeq, after: number): WindowRow | undefined {
    return this.get<WindowRow>(SQL.releasedWindow, job, after);
  }

  reopenedItems(job: JobSeq, from: number, limit: number): number[] {
    return this.all<{ ordinal: number }>(SQL.reopenedItems, job, from, limit).map((row) => row.ordinal);
  }

  endedItems(job: JobSeq, from: number, to: number): number {
    return this.value<number>(SQL.rowsInRange, job, from, to) ?? 0;
  }

  keyOwners(scope: number, job: JobSeq, hashes: readonly Uint8Array[]): (number | undefined)[] {
    return hashes.map((hash) => this.value<number>(SQL.keyOwner, scope, job, hash));
  }

  holderCount(limiter: string, key: string): number {
    return this.value<number>(SQL.holders, limiter, key) ?? 0;
  }

  holders(limiter: string, key: string): Holder[] {
    return this.all<Holder>(SQL.holdersOf, limiter, key);
  }

  propagations(limit: number): (Propagation & { seq: number })[] {
    return this.all(SQL.pendingPropagations, limit);
  }

  bootState(boot: number): string | undefined {
    return this.value<string>(SQL.bootState, boot);
  }

  candidates(request: ClaimRequest, limit: number): { found: Candidate[]; all: boolean } {
    const agents = this.all<{ agent: string }>(SQL.agentsReady)
      .map((row) => row.agent)
      .filter((agent) => request.offers(agent));
    const sql = request.suspects ? SQL.candidates(request.run !== null) : SQL.calmCandidates(request.run !== null);
    const run = request.run === null ? [] : [request.run];
    const found: Candidate[] = [];
    let all = request.suspects;
    for (const agent of agents) {
      const rows = this.all<Candidate>(sql, agent, ...run, limit);
      if (rows.length === limit) all = false;
      for (const row of rows) found.push(row);
    }
    return { found, all };
  }
}
