/**
 * The PostgreSQL ledger: collects the changes of one turn of the event loop, and all that arrive while a commit is under way,
 * commits them together, answers after the commit. Where there are many, they go as two batches, so that one is decided and
 * its jobs work while the server is busy with the other.
 *
 * Invariants: (1) an answer comes after its commit, and after the answers of all batches before; (2) this process has at most
 * two commits under way; (3) a batch that cannot be saved is taken apart, so that one impossible change fails alone.
 */
import { randomBytes } from "node:crypto";
import { TenutoError } from "../../core/errors.ts";
import { PROPAGATION_BATCH } from "../../core/limits.ts";
import type { Hints } from "../../core/unit.ts";
import type { Clock } from "../../ports/clock.ts";
import type { Change, Claimed, ClaimRequest, ClaimTicket, SliceOf } from "../../ports/ledger.ts";
import type { Committed, Outcome } from "../decide.ts";
import { DatabaseClock } from "./clock.ts";
import { Committer } from "./commit.ts";
import type { Database } from "./connection.ts";
import { gatherFeed } from "./feed.ts";
import { ForeignWrites } from "./foreign.ts";
import { saveGuarded } from "./guarded.ts";
import { KnownRows } from "./known.ts";
import { NumberStock } from "./numbers.ts";
import { QueueMemory } from "./queue.ts";
import { PostgresRows } from "./rows.ts";
import { SQL } from "./sql.ts";
import { LostConnection, storageError } from "./storage-error.ts";

export interface PostgresOptions {
  /** Default: the database's own. */
  clock?: Clock;
  /** How long changes wait for a server that is away, or for locks, before they are refused. Default 60 s. */
  lockWaitMs?: number;
  /** Told of failures that no change waits for, of a claim for example; the same one at most every ten seconds. */
  onFailure?: (error: Error) => void;
  /** From so many changes on they are decided while a commit is under way. Default 32. */
  ahead?: number;
  /** Test hook, called at each point where a crash must be survivable. */
  failpoint?: (point: string) => void;
}

interface Entry {
  change: Change;
  resolve(value: unknown): void;
  reject(error: unknown): void;
}

interface Ticket extends ClaimTicket {
  refuse(error: Error): void;
  travels: boolean;
}

/** A batch on its way. */
interface Flight {
  /** It has been answered. */
  done: Promise<void>;
  /** It has been sent, and the next one may be decided as if it had been committed. */
  assumed: boolean;
}

interface Work {
  changes: Change[];
  tickets?: Ticket[];
  resume?: boolean | number;
  assumed?: (yes: boolean) => void;
  /** When the batch before has been answered. */
  before?: Promise<void> | null;
}

/** Changes after which a job may be claimable; the others are many and small. */
const MAY_READY: ReadonlySet<string> = new Set(["start", "run", "job", "spawn", "reopen"]);
const MAX_BATCH = 2_000;
const AHEAD = 32;
/** Changes of one batch while there are more: deciding them takes about as long as a commit. */
const AHEAD_MOST = 256;
const RESUME_AGAIN_MS = 1_000;
const FAILURE_EVERY_MS = 10_000;
const GATHER_EVERY = 4_096;
const WRITER_KEPT_MS = 7 * 86_400_000;

/** Writing half of the ledger; `upkeep.ts` completes it. */
export abstract class PostgresWriter extends PostgresRows {
  protected readonly options: PostgresOptions;
  private queue: Entry[] = [];
  private claims: { request: ClaimRequest; resolve(claimed: Claimed[]): void; reject(error: unknown): void }[] = [];
  private readonly hooks = new Set<(reserved?: number) => ClaimTicket | null>();
  private readonly listeners = new Set<(hints: Hints) => void>();
  private readonly foreign = new Set<() => void>();
  private readonly foreignWrites: ForeignWrites;
  private readonly committer: Committer;
  private readonly databaseClock: DatabaseClock;
  private readonly writer = randomBytes(9).toString("base64url");
  private scheduled: NodeJS.Immediate | null = null;
  private readonly flights: Flight[] = [];
  private unfinished = false;
  private commits = 0;
  private resumeTimer: NodeJS.Timeout | null = null;
  private lastFailure: { message: string; at: number } | null = null;
  protected closed = false;

  constructor(database: Database, options: PostgresOptions) {
    super(database);
    this.options = options;
    this.databaseClock = new DatabaseClock(database);
    this.committer = new Committer({
      database,
      known: new KnownRows(),
      queue: new QueueMemory(),
      numbers: new NumberStock(),
      writer: this.writer,
      onCommit: (unit) => this.outcomes.note(unit),
    });
    this.foreignWrites = new ForeignWrites(database, this.writer, () => this.othersWrote());
  }

  /** Once, before anything else. */
  async begin(): Promise<void> {
    if (this.options.clock === undefined) await this.databaseClock.start();
    await this.lookForUnfinished();
  }

  /** Another process may have ended before it had worked off all consequences of what it wrote. */
  private async lookForUnfinished(): Promise<void> {
    const found = await this.database.read(SQL.pendingPropagation, [], "pending_propagation");
    if (found.length === 0 || this.closed) return;
    this.unfinished = true;
    this.schedule();
  }

  now(): number {
    return (this.options.clock ?? this.databaseClock).now();
  }

  apply<K extends keyof SliceOf, R>(change: Change<K, R>): Promise<R> {
    if (this.closed) return Promise.reject(closedError());
    return new Promise<R>((resolve, reject) => {
      this.queue.push({ change: change as unknown as Change, resolve: resolve as (value: unknown) => void, reject });
      this.schedule();
    });
  }

  claim(request: ClaimRequest): Promise<Claimed[]> {
    if (this.closed) return Promise.reject(closedError());
    return new Promise((resolve, reject) => {
      this.claims.push({ request, resolve, reject });
      this.schedule();
    });
  }

  onBeforeCommit(hook: (reserved?: number) => ClaimTicket | null): () => void {
    this.hooks.add(hook);
    return () => this.hooks.delete(hook);
  }

  onCommit(listener: (hints: Hints) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  onForeignWrite(listener: () => void): () => void {
    this.foreign.add(listener);
    this.foreignWrites.start();
    return () => {
      this.foreign.delete(listener);
    };
  }

  private othersWrote(): void {
    if (this.closed) return;
    this.committer.queue.invalidate();
    this.committer.alive.clear();
    void this.lookForUnfinished().catch(() => {});
    for (const listener of this.foreign) listener();
  }

  /** Called whenever rows may have changed otherwise than by a commit of a ledger. */
  protected forgetRows(): void {
    this.outcomes.clear();
    this.committer.forget();
  }

  /** Whoever was answered may have something to add until the next turn of the event loop. */
  private schedule(): void {
    if (this.scheduled !== null || !this.mayStart) return;
    this.scheduled = setImmediate(() => {
      this.scheduled = null;
      if (!this.mayStart) return;
      this.start();
      this.schedule();
    });
  }

  private get hasWork(): boolean {
    return this.queue.length > 0 || this.claims.length > 0 || this.mayResume;
  }

  private get mayResume(): boolean {
    return this.unfinished && this.resumeTimer === null;
  }

  private get mayStart(): boolean {
    const [flight] = this.flights;
    if (flight === undefined) return this.hasWork;
    return this.flights.length === 1 && flight.assumed && this.queue.length >= this.ahead && this.mayGoAhead;
  }

  private get ahead(): number {
    return this.options.ahead ?? AHEAD;
  }

  /** Points of a test come one after the other. */
  private get mayGoAhead(): boolean {
    return this.options.failpoint === undefined && !this.mayResume;
  }

  /** What is taken now; half of many, so that the others follow while the commit is under way. */
  private get batchSize(): number {
    const waiting = this.queue.length;
    if (!this.mayGoAhead || waiting < 2 * this.ahead) return MAX_BATCH;
    return Math.min(AHEAD_MOST, this.flights.length > 0 ? waiting : Math.ceil(waiting / 2));
  }

  private start(): void {
    const before = this.flights[0]?.done ?? null;
    const entries = this.queue.splice(0, this.batchSize);
    const tickets = this.collectTickets(entries);
    const flight: Flight = { done: Promise.resolve(), assumed: false };
    flight.done = this.flush(flight, entries, tickets, before).finally(() => {
      this.flights.splice(this.flights.indexOf(flight), 1);
      if (!this.closed) this.schedule();
    });
    this.flights.push(flight);
  }

  private async flush(
    flight: Flight,
    entries: Entry[],
    tickets: Ticket[],
    before: Promise<void> | null,
  ): Promise<void> {
    const resume = before === null && this.mayResume;
    const isAlone = before === null && tickets.length === 0 && entries.length === 1 && !resume;
    if (isAlone && this.options.failpoint === undefined) {
      const [entry] = entries as [Entry];
      if (await saveGuarded(this.database, entry.change)) return entry.resolve(undefined);
    }
    const assumed = (yes: boolean) => {
      flight.assumed = yes;
      if (yes) this.schedule();
    };
    const changes = entries.map((entry) => entry.change);
    const result = await this.transact({ changes, tickets, resume, assumed, before });
    if (result instanceof Error) {
      await before;
      await this.failBatch(entries, tickets, result, resume);
      if (resume) await this.resumeOneByOne();
    } else this.answer(entries, tickets, result);
  }

  private collectTickets(entries: Entry[]): Ticket[] {
    const tickets: Ticket[] = this.claims.splice(0).map((claim) => ({
      request: claim.request,
      done: claim.resolve,
      refuse: claim.reject,
      travels: false,
    }));
    if (tickets.length > 0 || !entries.some((entry) => MAY_READY.has(entry.change.select.kind))) return tickets;
    // Slots of jobs that are reported by the next batch are for what that one makes ready.
    let reserved = 0;
    for (const { change } of this.queue) if (change.select.kind === "job") reserved += 1;
    for (const hook of this.hooks) {
      const ticket = hook(reserved);
      // Who asks before a commit hears of a refusal with the next claim of its own.
      if (ticket !== null) tickets.push({ ...ticket, refuse: () => ticket.done([]), travels: true });
    }
    return tickets;
  }

  private async transact(work: Work): Promise<Committed | Error> {
    const { changes, tickets = [], resume = false, assumed = () => {}, before = null } = work;
    const deadline = performance.now() + (this.options.lockWaitMs ?? 60_000);
    const batch = {
      changes,
      claims: tickets.map((ticket) => ticket.request),
      resume,
      now: () => this.now(),
      travelling: new Set(tickets.filter((ticket) => ticket.travels).map((ticket) => ticket.request)),
      failpoint: this.options.failpoint ?? (() => {}),
      ahead: before !== null,
      before: before ?? Promise.resolve(),
      assumed,
    };
    try {
      const committed = await this.committer.commit(batch, deadline);
      if (resume === true || committed.unfinished) this.unfinished = committed.unfinished;
      return committed;
    } catch (error) {
      this.committer.forget();
      return storageError(error, this.database.shown);
    }
  }

  private answer(entries: readonly Entry[], tickets: readonly Ticket[], committed: Committed): void {
    for (const [index, entry] of entries.entries()) {
      const outcome = committed.outcomes[index] as Outcome;
      if (outcome.ok) entry.resolve(outcome.value);
      else entry.reject(outcome.error);
    }
    for (const [index, ticket] of tickets.entries()) {
      const claimed = committed.claimed[index] ?? [];
      if (claimed instanceof Error) ticket.refuse(claimed);
      else ticket.done(claimed);
    }
    const { hints } = committed;
    for (const listener of this.listeners) listener(hints);
    if (hints.ready || hints.cancelled.length > 0 || hints.endedRuns.length > 0) this.foreignWrites.announce();
    this.commits += 1;
    // Where nobody reads the feed, it is kept from growing all the same.
    if (this.commits % GATHER_EVERY === 0) void gatherFeed(this.database).catch((error) => this.reportFailure(error));
  }

  /** One change that cannot be saved must not take others with it: each is tried alone. */
  private async failBatch(entries: Entry[], tickets: Ticket[], error: Error, resumed: boolean): Promise<void> {
    for (const ticket of tickets) ticket.done([]);
    // What could not be claimed now is asked for again when the server answers.
    if (tickets.length > 0) this.foreignWrites.missed();
    if (entries.length === 0) return this.reportFailure(error);
    const passing = error instanceof TenutoError && (error.category === "critical" || isAway(error));
    if (passing || (entries.length === 1 && !resumed)) {
      for (const entry of entries) entry.reject(error);
      return;
    }
    for (const entry of entries) {
      const result = await this.transact({ changes: [entry.change] });
      if (result instanceof Error) entry.reject(result);
      else this.answer([entry], [], result);
    }
  }

  /** What was put off could not be worked off together: one by one, so that one impossible row does not hold the others. */
  private async resumeOneByOne(): Promise<void> {
    this.unfinished = true;
    this.resumeTimer ??= setTimeout(() => {
      this.resumeTimer = null;
      this.schedule();
    }, RESUME_AGAIN_MS).unref();
    const rows = await this.many<{ seq: number }>(
      "SELECT seq FROM propagation ORDER BY seq LIMIT ?",
      PROPAGATION_BATCH,
    );
    for (const { seq } of rows) {
      const result = await this.transact({ changes: [], resume: seq });
      if (result instanceof Error) this.reportFailure(result);
    }
    this.unfinished = true;
  }

  /** Failures of claims and of put-off work have nobody to answer to. */
  protected reportFailure(error: Error): void {
    const now = performance.now();
    const again = this.lastFailure?.message === error.message && now - this.lastFailure.at < FAILURE_EVERY_MS;
    if (again) return;
    this.lastFailure = { message: error.message, at: now };
    this.options.onFailure?.(error);
  }

  /** Commits what has been handed in; nothing is taken in any more. */
  protected async drain(): Promise<void> {
    while (this.scheduled !== null || this.flights.length > 0)
      await (this.flights.at(-1)?.done ?? new Promise((next) => setImmediate(next)));
    this.closed = true;
    if (this.resumeTimer !== null) clearTimeout(this.resumeTimer);
    this.databaseClock.stop();
    await this.foreignWrites.close();
    const writers = [
      { sql: SQL.dropWriter, values: [this.writer, this.now()] },
      { sql: SQL.dropOldWriters, values: [this.now() - WRITER_KEPT_MS] },
    ];
    // Rows that stay are dropped by others later.
    await this.database.pipeline(writers).catch(() => {});
  }
}

function isAway(error: TenutoError): boolean {
  return error.cause instanceof LostConnection;
}

function closedError(): TenutoError {
  return new TenutoError("ledger_unavailable", "the ledger is closed");
}
