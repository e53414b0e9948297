/**
 * One commit of PostgreSQL. First everything is decided on what this process knows, and committed in one round trip that
 * fails if any run is not as it was known. Where something is missing, or after such a failure, it is decided under locks: a
 * transaction fetches what each pass found missing, until nothing is.
 *
 * Invariants: (1) what is answered was decided on rows that were locked, or proved to be unchanged, by the transaction that
 * committed it; (2) a commit whose answer was lost is looked for by its token before anything is decided again.
 */
import { RowCache } from "../../core/row-cache.ts";
import { Unit } from "../../core/unit.ts";
import type { ClaimRequest } from "../../ports/ledger.ts";
import { type Batch, ClaimMemory, type Committed, type Decided, decideBatch } from "../decide.ts";
import type { Database, Session, Statement } from "./connection.ts";
import type { KnownRows } from "./known.ts";
import { fetchFree, fetchNeeds, Held, type Needs } from "./needs.ts";
import type { NumberStock } from "./numbers.ts";
import type { QueueMemory } from "./queue.ts";
import { saveStatements } from "./save.ts";
import { PostgresSource } from "./source.ts";
import { SQL } from "./sql.ts";
import { codeOf, isConflict, isDuplicate, LostConnection } from "./storage-error.ts";

export interface PostgresBatch extends Omit<Batch, "memory"> {
  now(): number;
  /** Claims that take only what this process knows of. */
  travelling: ReadonlySet<ClaimRequest>;
  failpoint(point: string): void;
}

/** Rounds of fetching after which something is wrong with the rules, not with the rows. */
const MAX_ROUNDS = 200;
const MAX_ATTEMPTS = 100;
const PAUSE_MS = 4;
/** After somebody else has changed a run, it is decided about under its lock for so long. */
const CONTENDED_MS = 500;
const MARKS = /tenuto:(changed|number|boot|writer)/;

interface Pass {
  unit: Unit;
  decided: Decided;
}

/** What a commit would have written, to be taken over if it turns out to have happened. */
interface Pending {
  pass: Pass;
  token: number;
}

export interface CommitterParts {
  database: Database;
  known: KnownRows;
  queue: QueueMemory;
  numbers: NumberStock;
  /** Id of this process among those that write. */
  writer: string;
  onCommit(unit: Unit): void;
}

export class Committer {
  readonly known: KnownRows;
  readonly queue: QueueMemory;
  /** Boots known to be alive. */
  readonly alive = new Set<number>();
  private readonly database: Database;
  private readonly numbers: NumberStock;
  private readonly writer: string;
  private readonly onCommit: (unit: Unit) => void;
  private token: number | null = null;
  private fence = 0;
  private pending: Pending | null = null;
  /** Runs that others have just changed under us, and until when that is expected again. */
  private readonly contended = new Map<number, number>();

  constructor({ database, known, queue, numbers, writer, onCommit }: CommitterParts) {
    this.database = database;
    this.known = known;
    this.queue = queue;
    this.numbers = numbers;
    this.writer = writer;
    this.onCommit = onCommit;
  }

  /** Others may have written anything. */
  forget(): void {
    this.known.clear();
    this.queue.invalidate();
    this.alive.clear();
  }

  /** Decides and commits, again after conflicts. @throws what the database says, if that will not change by itself */
  async commit(batch: PostgresBatch, deadline: number): Promise<Committed> {
    let locked = false;
    for (let attempt = 1; ; attempt++) {
      this.pending = null;
      try {
        await this.register(batch.now());
        return await this.attempt(batch, locked);
      } catch (error) {
        const pending = this.pending as Pending | null;
        this.numbers.failed();
        if (error instanceof LostConnection && error.sent && pending !== null) {
          if (await this.happened(pending, batch.now())) return this.take(batch, pending.pass);
        } else if (!this.mayPass(error)) throw error;
        this.queue.invalidate();
        if (attempt >= MAX_ATTEMPTS || performance.now() > deadline) throw error;
        locked = true;
        if (attempt > 1) await pause(Math.random() * PAUSE_MS * Math.min(attempt, 20));
      }
    }
  }

  /** Whether deciding anew may help; forgets what has turned out to be out of date. */
  private mayPass(error: unknown): boolean {
    if (error instanceof LostConnection) return true;
    const mark = codeOf(error) === "22P02" ? MARKS.exec(String(error))?.[1] : undefined;
    if (mark === "boot") this.alive.clear();
    if (mark === "writer") this.token = null;
    if (mark !== undefined) return true;
    // Another machine has taken the run's number between the look at it and the insert.
    return isConflict(error) || isDuplicate(error, "run_idempotency") || isDuplicate(error, "run_pkey");
  }

  private async register(now: number): Promise<void> {
    if (this.token !== null) return;
    const [, fenced] = await this.database.pipeline([
      { sql: SQL.addWriter, values: [this.writer, now] },
      { sql: SQL.fence, values: [this.writer, now] },
    ]);
    this.remember(fenced as { token: number; fence: number }[]);
  }

  private remember([row]: { token: number; fence: number }[]): void {
    this.token = row?.token ?? null;
    this.fence = row?.fence ?? 0;
  }

  /** Whether the commit whose answer was lost has happened. Afterwards it can't happen any more. */
  private async happened(pending: Pending, now: number): Promise<boolean> {
    const rows = await this.database.put<{ token: number; fence: number }>(SQL.fence, [this.writer, now]);
    this.remember(rows);
    return this.token === pending.token;
  }

  private async attempt(batch: PostgresBatch, locked: boolean): Promise<Committed> {
    const source = new PostgresSource(this.known, this.queue, batch.travelling);
    for (let round = 0; round < MAX_ROUNDS; round++) {
      const pass = this.pass(source, batch);
      if (this.numbers.lacking && !locked) {
        await this.numbers.fetch(this.database, false);
        continue;
      }
      if (pass !== null) this.askAgain(source, pass.unit);
      if (source.needs.size === 0 && !locked && pass !== null) return await this.commitKnown(batch, source, pass);
      if (locked || !source.needs.free) return await this.commitLocked(batch, source);
      await fetchFree(this.database, source.needs);
    }
    throw new Error("deciding never finds all that it asks for");
  }

  /** Null if the pass met something that is not there yet. */
  private pass(source: PostgresSource, batch: PostgresBatch): Pass | null {
    source.begin();
    this.numbers.begin();
    const unit = new Unit(batch.now(), new RowCache());
    const memory = new ClaimMemory();
    for (const boot of this.alive) memory.alive.add(boot);
    try {
      const { changes, claims, resume } = batch;
      const decided = decideBatch(source, this.numbers, unit, { changes, claims, resume, memory });
      return source.needs.size > 0 || this.numbers.lacking ? null : { unit, decided };
    } catch (error) {
      if (source.needs.size > 0 || this.numbers.lacking) return null;
      throw error;
    }
  }

  /** What is known of a run that others are at work on is out of date again: all of it that was used is fetched at once. */
  private askAgain(source: PostgresSource, unit: Unit): void {
    if (this.contended.size === 0) return;
    const now = performance.now();
    for (const [run, until] of this.contended) if (until < now) this.contended.delete(run);
    const isContended = (job: number) => this.contended.has(this.known.runOf(job) ?? 0);
    for (const run of source.used) if (this.contended.has(run)) source.needs.runs.add(run);
    for (const job of unit.jobs.keys()) if (isContended(job)) source.needs.jobs.add(job);
    for (const [key, row] of unit.windows)
      if (row !== null && isContended(row.job)) source.needs.windows.set(key, { job: row.job, start: row.start });
  }

  private async commitKnown(batch: PostgresBatch, source: PostgresSource, pass: Pass): Promise<Committed> {
    const statements = this.statements(batch, pass, source.used);
    const used = [...source.used];
    if (statements.length > 0) {
      try {
        batch.failpoint("commit");
        await this.database.pipeline(statements);
        batch.failpoint("committed");
      } catch (error) {
        // Any of these may have changed; which one is found out under locks.
        if (codeOf(error) === "22P02" && MARKS.exec(String(error))?.[1] === "changed")
          for (const run of used) this.contended.set(run, performance.now() + CONTENDED_MS);
        throw error;
      }
    }
    return this.take(batch, pass);
  }

  private async commitLocked(batch: PostgresBatch, source: PostgresSource): Promise<Committed> {
    const pass = await this.database.transaction(async (session) => {
      const held = new Held();
      let { needs } = source;
      for (const run of source.used) needs.runs.add(run);
      source.within(held);
      for (let round = 0; round < MAX_ROUNDS; round++) {
        await this.fetch(session, needs, held);
        const found = this.pass(source, batch);
        if (found !== null) {
          const statements = this.statements(batch, found, new Set());
          batch.failpoint("commit");
          await session.finish(statements);
          batch.failpoint("committed");
          return found;
        }
        needs = source.needs;
      }
      throw new Error("deciding never finds all that it asks for");
    });
    return this.take(batch, pass);
  }

  private async fetch(session: Session, needs: Needs, held: Held): Promise<void> {
    if (needs.size > 0) await fetchNeeds(session, needs, held, this.known);
    if (this.numbers.lacking) await this.numbers.fetch(session, true);
  }

  private statements(batch: PostgresBatch, { unit, decided }: Pass, used: ReadonlySet<number>): Statement[] {
    batch.failpoint("save");
    // The row of numbers first: whoever waits for it has not inserted anything yet.
    const rows = [...this.numbers.statement(), ...saveStatements({ unit, decided, known: this.known, used })];
    const boots = new Set<number>();
    for (const [index, request] of batch.claims.entries()) {
      const claimed = decided.claimed[index];
      if (Array.isArray(claimed) && claimed.length > 0) boots.add(request.boot);
    }
    if (boots.size > 0) rows.push({ name: "alive_boots", sql: SQL.aliveBoots, values: [[...boots], boots.size] });
    if (rows.length === 0) return rows;
    const token = (this.token ?? 0) + 1;
    this.pending = { pass: { unit, decided }, token };
    const values = [this.writer, token, unit.at, this.token, this.fence];
    return [{ name: "set_token", sql: SQL.setToken, values }, ...rows];
  }

  /** The commit has happened: what it left is what this process knows now. */
  private take(batch: PostgresBatch, { unit, decided }: Pass): Committed {
    if (this.pending !== null) this.token = this.pending.token;
    this.pending = null;
    this.numbers.committed();
    this.known.adopt(unit, new Set(unit.writes.runs.map(({ row }) => row.seq)));
    for (const job of unit.jobs.values()) this.queue.note(job);
    this.onCommit(unit);
    for (const [index, request] of batch.claims.entries())
      if (Array.isArray(decided.claimed[index])) this.alive.add(request.boot);
    const unfinished = decided.postponed || (batch.resume !== false && decided.resumed.length > 0);
    return { ...decided, hints: unit.hints, unfinished };
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((next) => setTimeout(next, ms));
}
