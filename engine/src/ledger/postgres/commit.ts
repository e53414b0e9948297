/**
 * One commit of PostgreSQL. First everything is decided on what this process knows, and committed in one round trip that
 * fails if any run is not as it was known. Where something is missing, or after such a failure, it is decided under locks: a
 * transaction fetches what each pass found missing, until nothing is.
 *
 * What has been sent counts as known, so that the next batch may be decided and sent while the server is at work on this one.
 *
 * Invariants: (1) what is answered was decided on rows that were locked, or proved to be unchanged, by the transaction that
 * committed it; (2) a commit whose answer was lost is looked for by its token before anything is decided again; (3) a commit
 * happens only if the one that was sent before it has: each sets its token where it finds that of the one before.
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
  /** Whether others are under way; and when they have been answered. */
  ahead: boolean;
  before: Promise<void>;
  /** Whether this batch counts as known, so that the next one may be decided. */
  assumed(yes: boolean): void;
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

/** A commit that has been sent, or is about to be. */
interface Flight {
  batch: PostgresBatch;
  pass: Pass;
  /** What it writes as its token, and what it must find. */
  token: number;
  tokenBefore: number | null;
  /** Runs that were only looked at, or changed without a lock. */
  used: readonly number[];
  reply: Promise<unknown>;
  /** What it was decided on has not happened. */
  doomed: boolean;
  /** It is doomed, but whether it has happened was found out, or is known: what comes behind a failure never happens. */
  happened: boolean | null;
  /** What was sent behind it, once it has failed. */
  behind: Flight[];
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
  /** Sent, not answered, in this order. */
  private readonly flights: Flight[] = [];
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
    let flight = this.sendAhead(batch);
    if (flight === null) await batch.before;
    let locked = false;
    for (let attempt = 1; ; attempt++) {
      try {
        if (flight === null) {
          await this.register(batch.now());
          flight = await this.attempt(batch, locked);
        }
        return await this.land(flight);
      } catch (error) {
        this.numbers.failed();
        this.queue.invalidate();
        const lost = flight;
        flight = null;
        if (lost?.doomed === true) {
          if (lost.happened ?? (await this.happened(lost, batch.now()))) return this.done(lost);
          attempt = 0;
          continue;
        }
        if (lost !== null && isLost(error)) {
          if (await this.happened(lost, batch.now())) return this.done(lost);
        } else if (!this.mayPass(error)) throw error;
        if (attempt >= MAX_ATTEMPTS || performance.now() > deadline) throw error;
        locked = true;
        if (attempt > 1) await pause(Math.random() * PAUSE_MS * Math.min(attempt, 20));
      }
    }
  }

  /** Decides on top of what is under way, and sends. Null if there is nothing, or something has to be fetched first. */
  private sendAhead(batch: PostgresBatch): Flight | null {
    if (!batch.ahead || this.token === null || this.flights.length === 0) return null;
    const source = new PostgresSource(this.known, this.queue, batch.travelling);
    try {
      const pass = this.pass(source, batch);
      if (pass === null) return null;
      this.askAgain(source, pass.unit);
      return source.needs.size > 0 ? null : this.send(batch, source, pass);
    } catch {
      // What is wrong with it is told when it is its turn.
      return null;
    }
  }

  /** Sends what was decided on known rows. From now on it counts as known. */
  private send(batch: PostgresBatch, source: PostgresSource, pass: Pass): Flight {
    const flight = this.flightOf(batch, pass, [...source.used]);
    const statements = this.statements(flight, source.used);
    if (statements.length > 0) {
      batch.failpoint("commit");
      flight.reply = this.database.follow(statements);
    }
    // What is wrong with it is seen when it is waited for.
    flight.reply.catch(() => {});
    this.flights.push(flight);
    this.assume(flight);
    batch.assumed(true);
    return flight;
  }

  /** Waits for the answer, and for those of all that were sent before. */
  private async land(flight: Flight): Promise<Committed> {
    try {
      await flight.reply;
      flight.batch.failpoint("committed");
    } catch (error) {
      if (!flight.doomed) this.fail(flight, error);
      // What comes behind a commit that failed fails as well, but may still be under way.
      await Promise.allSettled(flight.behind.map(({ reply }) => reply));
      await flight.batch.before;
      throw error;
    }
    await flight.batch.before;
    if (flight.doomed) throw new Error("what this was decided on has not happened");
    const at = this.flights.indexOf(flight);
    if (at >= 0) this.flights.splice(at, 1);
    return this.done(flight);
  }

  /** Forgets all that was taken for known since this commit was decided. */
  private fail(flight: Flight, error: unknown): void {
    if (codeOf(error) === "22P02" && MARKS.exec(String(error))?.[1] === "changed")
      // Any of these may have changed; which one is found out under locks.
      for (const run of flight.used) this.contended.set(run, performance.now() + CONTENDED_MS);
    const at = this.flights.indexOf(flight);
    const [, ...behind] = at < 0 ? [flight] : this.flights.splice(at);
    flight.behind = behind;
    for (const lost of [flight, ...behind]) {
      lost.doomed = lost !== flight;
      if (!isLost(error)) lost.happened = false;
      lost.batch.assumed(false);
      for (const run of lost.pass.unit.runs.keys()) this.known.forget(run);
    }
    this.token = flight.tokenBefore;
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

  /** Whether the commit whose answer was lost has happened. Afterwards it can't happen any more, nor can those behind it. */
  private async happened(flight: Flight, now: number): Promise<boolean> {
    const rows = await this.database.put<{ token: number; fence: number }>(SQL.fence, [this.writer, now]);
    this.remember(rows);
    const { token } = this;
    for (const behind of flight.behind) behind.happened = token !== null && token >= behind.token;
    return token !== null && token >= flight.token;
  }

  private async attempt(batch: PostgresBatch, locked: boolean): Promise<Flight> {
    const source = new PostgresSource(this.known, this.queue, batch.travelling);
    for (let round = 0; round < MAX_ROUNDS; round++) {
      const pass = this.pass(source, batch);
      if (this.numbers.lacking && !locked) {
        await this.numbers.fetch(this.database, false);
        continue;
      }
      if (pass !== null) this.askAgain(source, pass.unit);
      if (source.needs.size === 0 && !locked && pass !== null) return this.send(batch, source, pass);
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

  private async commitLocked(batch: PostgresBatch, source: PostgresSource): Promise<Flight> {
    const made: { flight?: Flight } = {};
    try {
      await this.database.transaction(async (session) => {
        const held = new Held();
        let { needs } = source;
        for (const run of source.used) needs.runs.add(run);
        source.within(held);
        for (let round = 0; round < MAX_ROUNDS; round++) {
          await this.fetch(session, needs, held);
          const found = this.pass(source, batch);
          if (found !== null) {
            made.flight = this.flightOf(batch, found, []);
            const statements = this.statements(made.flight, new Set());
            batch.failpoint("commit");
            await session.finish(statements);
            return;
          }
          needs = source.needs;
        }
        throw new Error("deciding never finds all that it asks for");
      });
    } catch (error) {
      if (made.flight === undefined) throw error;
      made.flight.reply = Promise.reject(error);
      made.flight.reply.catch(() => {});
      return made.flight;
    }
    const flight = made.flight as Flight;
    this.assume(flight);
    return flight;
  }

  private async fetch(session: Session, needs: Needs, held: Held): Promise<void> {
    if (needs.size > 0) await fetchNeeds(session, needs, held, this.known);
    if (this.numbers.lacking) await this.numbers.fetch(session, true);
  }

  private flightOf(batch: PostgresBatch, pass: Pass, used: readonly number[]): Flight {
    const { token } = this;
    const untold = { reply: Promise.resolve(), doomed: false, happened: null, behind: [] };
    return { batch, pass, used, token: token ?? 0, tokenBefore: token, ...untold };
  }

  /** None if there is nothing to be written. */
  private statements(flight: Flight, used: ReadonlySet<number>): Statement[] {
    const { batch, pass } = flight;
    const { unit, decided } = pass;
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
    flight.token += 1;
    const values = [this.writer, flight.token, unit.at, flight.tokenBefore, this.fence];
    return [{ name: "set_token", sql: SQL.setToken, values }, ...rows];
  }

  /** What the commit leaves is what this process knows from now on. */
  private assume({ batch, pass, token }: Flight): void {
    const { unit, decided } = pass;
    this.token = token;
    this.numbers.committed();
    this.known.adopt(unit, new Set(unit.writes.runs.map(({ row }) => row.seq)));
    for (const job of unit.jobs.values()) this.queue.note(job);
    for (const [index, request] of batch.claims.entries())
      if (Array.isArray(decided.claimed[index])) this.alive.add(request.boot);
  }

  /** The commit has happened. */
  private done({ batch, pass }: Flight): Committed {
    const { unit, decided } = pass;
    this.onCommit(unit);
    const unfinished = decided.postponed || (batch.resume !== false && decided.resumed.length > 0);
    return { ...decided, hints: unit.hints, unfinished };
  }
}

/** Nobody knows whether it has happened. */
const isLost = (error: unknown): boolean => error instanceof LostConnection && error.sent;

function pause(ms: number): Promise<void> {
  return new Promise((next) => setTimeout(next, ms));
}
