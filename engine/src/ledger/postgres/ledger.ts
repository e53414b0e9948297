/**
 * The PostgreSQL ledger: collects the changes of one turn of the event loop, and all that arrive while a commit is under way,
 * commits them together, answers after the commit.
 *
 * Invariants: (1) an answer comes after its commit; (2) this process has one commit under way at a time; (3) a batch that
 * cannot be saved is taken apart, so that one impossible change fails alone.
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
import { KnownRows } from "./known.ts";
import { NumberStock } from "./numbers.ts";
import { QueueMemory } from "./queue.ts";
import { PostgresRows } from "./rows.ts";
import { PUT_STEP_GUARDED } from "./save.ts";
import { SQL } from "./sql.ts";
import { LostConnection, storageError } from "./storage-error.ts";

export interface PostgresOptions {
  /** Default: the database's own. */
  clock?: Clock;
  /** How long changes wait for a server that is away, or for locks, before they are refused. Default 60 s. */
  lockWaitMs?: number;
  /** Told of failures that no change waits for, of a claim for example; the same one at most every ten seconds. */
  onFailure?: (error: Error) => void;
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

/** Changes after which a job may be claimable; the others are many and small. */
const MAY_READY: ReadonlySet<string> = new Set(["start", "run", "job", "spawn", "reopen"]);
const MAX_BATCH = 2_000;
const RESUME_AGAIN_MS = 1_000;
const FAILURE_EVERY_MS = 10_000;
const GATHER_EVERY = 4_096;
const WRITER_KEPT_MS = 7 * 86_400_000;

/** Writing half of the ledger; `upkeep.ts` completes it. */
export abstract class PostgresWriter extends PostgresRows {
  protected readonly options: PostgresOptions;
  private queue: Entry[] = [];
  private claims: { request: ClaimRequest; resolve(claimed: Claimed[]): void; reject(error: unknown): void }[] = [];
  private readonly hooks = new Set<() => ClaimTicket | null>();
  private readonly listeners = new Set<(hints: Hints) => void>();
  private readonly foreign = new Set<() => void>();
  private readonly foreignWrites: ForeignWrites;
  private readonly committer: Committer;
  private readonly databaseClock: DatabaseClock;
  private readonly writer = randomBytes(9).toString("base64url");
  private scheduled: NodeJS.Immediate | null = null;
  private pumping: Promise<void> | null = null;
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

  onBeforeCommit(hook: () => ClaimTicket | null): () => void {
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

  private schedule(): void {
    if (this.scheduled !== null || this.pumping !== null) return;
    this.scheduled = setImmediate(() => {
      this.scheduled = null;
      this.pumping = this.pump().finally(() => {
        this.pumping = null;
        if (this.hasWork && !this.closed) this.schedule();
      });
    });
  }

  private get hasWork(): boolean {
    return this.queue.length > 0 || this.claims.length > 0 || (this.unfinished && this.resumeTimer === null);
  }

  private async pump(): Promise<void> {
    while (this.hasWork) {
      await this.flush();
      // Whoever was answered may have something to add.
      await new Promise((next) => setImmediate(next));
    }
  }

  private async flush(): Promise<void> {
    const entries = this.queue.splice(0, MAX_BATCH);
    const tickets = this.collectTickets(entries);
    const resume = this.unfinished && this.resumeTimer === null;
    if (tickets.length === 0 && entries.length === 1 && !resume && (await this.saveGuarded(entries[0]!))) return;
    const result = await this.transact(
      entries.map((entry) => entry.change),
      tickets,
      resume,
    );
    if (result instanceof Error) {
      await this.failBatch(entries, tickets, result, resume);
      if (resume) await this.resumeOneByOne();
    } else this.answer(entries, tickets, result);
  }

  /**
   * A step that comes alone is saved by one statement, guarded by the lease, without a transaction around it. False if it
   * has to go the usual way, which says how the lease was lost.
   */
  private async saveGuarded(entry: Entry): Promise<boolean> {
    const step = entry.change.guardedStep;
    if (step === undefined || this.options.failpoint !== undefined) return false;
    const { lease, row } = step;
    const { job, item, key, inputHash, output, startedAt, endedAt } = row;
    const values = [job, item, key, inputHash, output, startedAt, endedAt, lease.epoch, lease.boot];
    try {
      const [rows] = await this.database.pipeline([{ name: "put_step_guarded", sql: PUT_STEP_GUARDED, values }]);
      if (rows?.length !== 1) return false;
    } catch {
      return false;
    }
    entry.resolve(undefined);
    return true;
  }

  private collectTickets(entries: readonly Entry[]): Ticket[] {
    const tickets: Ticket[] = this.claims.splice(0).map((claim) => ({
      request: claim.request,
      done: claim.resolve,
      refuse: claim.reject,
      travels: false,
    }));
    if (tickets.length > 0 || !entries.some((entry) => MAY_READY.has(entry.change.select.kind))) return tickets;
    for (const hook of this.hooks) {
      const ticket = hook();
      // Who asks before a commit hears of a refusal with the next claim of its own.
      if (ticket !== null) tickets.push({ ...ticket, refuse: () => ticket.done([]), travels: true });
    }
    return tickets;
  }

  private async transact(changes: Change[], tickets: Ticket[], resume: boolean | number): Promise<Committed | Error> {
    const deadline = performance.now() + (this.options.lockWaitMs ?? 60_000);
    const batch = {
      changes,
      claims: tickets.map((ticket) => ticket.request),
      resume,
      now: () => this.now(),
      travelling: new Set(tickets.filter((ticket) => ticket.travels).map((ticket) => ticket.request)),
      failpoint: this.options.failpoint ?? (() => {}),
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
      const result = await this.transact([entry.change], [], false);
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
      const result = await this.transact([], [], seq);
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
    while (this.scheduled !== null || this.pumping !== null)
      await (this.pumping ?? new Promise((next) => setImmediate(next)));
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
