/**
 * The SQLite ledger: collects the changes of one turn of the event loop, commits them together, answers after the commit.
 *
 * Invariants: (1) an answer comes after its commit; (2) a change is decided inside the transaction that commits it;
 * (3) a lock held by another process never blocks the event loop longer than the busy wait, the batch is tried again;
 * (4) a batch that cannot be saved is taken apart, so that one impossible change fails alone.
 */
import { TenutoError } from "../../core/errors.ts";
import { PROPAGATION_BATCH } from "../../core/limits.ts";
import { RowCache } from "../../core/row-cache.ts";
import type { Hints } from "../../core/unit.ts";
import type { Clock } from "../../ports/clock.ts";
import type { Change, Claimed, ClaimRequest, ClaimTicket, SliceOf } from "../../ports/ledger.ts";
import { ClaimMemory, type Committed, type Outcome } from "../decide.ts";
import { execute, NumberMemory } from "./commit.ts";
import { type OpenOptions, openDatabase } from "./open.ts";
import { SqliteReads } from "./reads.ts";
import { SQL } from "./sql.ts";
import { isBusy, storageError } from "./storage-error.ts";
import { WatchedFile } from "./watched-file.ts";

export interface SqliteOptions extends OpenOptions {
  clock: Clock;
  /** How long changes wait for a lock that another process holds before they are refused with `ledger_busy`. Default 60 s. */
  lockWaitMs?: number;
  /** Told of failures that no change waits for, of a claim for example; the same one at most every ten seconds. */
  onFailure?: (error: Error) => void;
  /** Test hook, called at each point where a crash must be survivable. */
  failpoint?: (point: string) => void;
}

interface Ticket extends ClaimTicket {
  refuse(error: Error): void;
  /** The ledger was locked: nothing is decided. */
  again(): void;
}

interface Entry {
  change: Change;
  resolve(value: unknown): void;
  reject(error: unknown): void;
  since: number;
}

/** Changes after which a job may be claimable; the others are many and small. */
const MAY_READY: ReadonlySet<string> = new Set(["start", "run", "job", "spawn", "reopen"]);
const MAX_BATCH = 2_000;
const MAX_CACHED_ROWS = 40_000;
const FOREIGN_POLL_MS = 250;
const RESUME_AGAIN_MS = 1_000;
/** Pages of the write-ahead log (4 KiB each) after which the main connection checkpoints itself. */
const CHECKPOINT_PAGES = 16_384;
const FAILURE_EVERY_MS = 10_000;
const CHECK_LOG_EVERY = 512;
const WORTH_PAGES = 2_000;
const FEW_PAGES = 400;

/** Writing half of the ledger; `upkeep.ts` completes it. */
export class SqliteWriter extends SqliteReads {
  protected readonly options: SqliteOptions;
  private queue: Entry[] = [];
  private claims: { request: ClaimRequest; resolve(claimed: Claimed[]): void; reject(error: unknown): void }[] = [];
  private hooks = new Set<() => ClaimTicket | null>();
  private listeners = new Set<(hints: Hints) => void>();
  private foreign = new Set<() => void>();
  private scheduled: NodeJS.Immediate | null = null;
  private retryTimer: NodeJS.Timeout | null = null;
  private foreignTimer: NodeJS.Timeout | null = null;
  private lastDataVersion = 0;
  /** Rows of the last commits; valid while nobody else writes. */
  private readonly cache = new RowCache();
  private readonly memory = new ClaimMemory();
  private readonly numbers = new NumberMemory();
  private cacheVersion = -1;
  private readonly file: WatchedFile;
  private lastFailure: { message: string; at: number } | null = null;
  private unfinished = false;
  private resumeTimer: NodeJS.Timeout | null = null;
  private busySince: number | null = null;
  private commits = 0;
  protected closed = false;

  constructor(options: SqliteOptions) {
    super(openDatabase(options));
    this.options = options;
    this.lastDataVersion = this.dataVersion();
    this.file = new WatchedFile(options.path);
    this.lookForUnfinished();
  }

  /** Another process may have ended before it had worked off all consequences of what it wrote. */
  private lookForUnfinished(): void {
    if (this.statements.of(SQL.pendingPropagations).get(1) === undefined) return;
    this.unfinished = true;
    this.schedule();
  }

  now(): number {
    return this.options.clock.now();
  }

  apply<K extends keyof SliceOf, R>(change: Change<K, R>): Promise<R> {
    if (this.closed) return Promise.reject(new TenutoError("ledger_unavailable", "the ledger is closed"));
    if (this.file.lost !== null) return Promise.reject(this.file.lost);
    return new Promise<R>((resolve, reject) => {
      this.queue.push({
        change: change as unknown as Change,
        resolve: resolve as (value: unknown) => void,
        reject,
        since: 0,
      });
      this.schedule();
    });
  }

  claim(request: ClaimRequest): Promise<Claimed[]> {
    if (this.closed) return Promise.reject(new TenutoError("ledger_unavailable", "the ledger is closed"));
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
    this.foreignTimer ??= setInterval(() => this.pollForeign(), FOREIGN_POLL_MS).unref();
    return () => {
      this.foreign.delete(listener);
    };
  }

  private dataVersion(): number {
    return (this.statements.of(SQL.dataVersion).get() as { data_version: number }).data_version;
  }

  private pollForeign(): void {
    const lost = this.file.check();
    if (lost !== null) return this.reportFailure(lost);
    const version = this.dataVersion();
    if (version === this.lastDataVersion) return;
    this.lastDataVersion = version;
    this.lookForUnfinished();
    for (const listener of this.foreign) listener();
  }

  private schedule(): void {
    if (this.scheduled !== null || this.retryTimer !== null) return;
    this.scheduled = setImmediate(() => {
      this.scheduled = null;
      this.flush();
    });
  }

  private flush(): void {
    if (this.closed) return;
    const entries = this.queue.length > MAX_BATCH ? this.queue.splice(0, MAX_BATCH) : this.queue;
    if (entries === this.queue) this.queue = [];
    const tickets = this.collectTickets(entries);
    const resume = this.unfinished && this.resumeTimer === null;
    if (entries.length === 0 && tickets.length === 0 && !resume) return;
    if (tickets.length === 0 && entries.length === 1 && !resume && this.saveGuarded(entries[0]!)) return;
    const result = this.transact(
      entries.map((entry) => entry.change),
      tickets.map((ticket) => ticket.request),
      resume,
    );
    if (result === "busy") return this.waitForLock(entries, tickets);
    this.busySince = null;
    if (result instanceof Error) {
      this.failBatch(entries, tickets, result, false, resume);
      if (resume) this.resumeOneByOne();
    } else this.answer(entries, tickets, result);
    if (this.queue.length > 0 || this.claims.length > 0 || (this.unfinished && this.resumeTimer === null))
      this.schedule();
  }

  /**
   * A step that comes alone is saved by one statement, guarded by the lease, without a transaction around it. False if it
   * has to go the usual way: the lease is gone (the rejection says how), or the lock is taken.
   */
  private saveGuarded(entry: Entry): boolean {
    const step = entry.change.guardedStep;
    if (step === undefined || this.options.failpoint !== undefined) return false;
    const { lease, row } = step;
    try {
      const { changes } = this.statements
        .of(SQL.putStepGuarded)
        .run(
          row.job,
          row.item,
          row.key,
          row.inputHash,
          row.output,
          row.startedAt,
          row.endedAt,
          row.job,
          lease.epoch,
          lease.boot,
        );
      if (changes === 0) return false;
    } catch {
      return false;
    }
    this.keepLogShort();
    entry.resolve(undefined);
    return true;
  }

  private collectTickets(entries: readonly Entry[]): Ticket[] {
    const tickets: Ticket[] = this.claims.map((claim) => ({
      request: claim.request,
      done: claim.resolve,
      refuse: claim.reject,
      again: () => void this.claims.push(claim),
    }));
    this.claims = [];
    if (tickets.length > 0 || !entries.some((entry) => MAY_READY.has(entry.change.select.kind))) return tickets;
    for (const hook of this.hooks) {
      const ticket = hook();
      // Who asks before a commit hears of a refusal with the next claim of its own.
      if (ticket !== null) tickets.push({ ...ticket, refuse: () => ticket.done([]), again: () => ticket.done([]) });
    }
    return tickets;
  }

  /** What was put off could not be worked off together: one by one, so that one impossible row does not hold the others. */
  private resumeOneByOne(): void {
    const rows = this.statements.of(SQL.pendingPropagations).all(PROPAGATION_BATCH) as { seq: number }[];
    for (const { seq } of rows) {
      const result = this.transact([], [], seq);
      if (result instanceof Error) this.reportFailure(result);
    }
    this.unfinished = true;
    this.resumeTimer ??= setTimeout(() => {
      this.resumeTimer = null;
      this.schedule();
    }, RESUME_AGAIN_MS).unref();
  }

  private transact(changes: Change[], claims: ClaimRequest[], resume: boolean | number): Committed | "busy" | Error {
    const failpoint = this.options.failpoint ?? (() => {});
    try {
      this.statements.of(SQL.begin).run();
    } catch (error) {
      return isBusy(error) ? "busy" : storageError(error, this.options.path);
    }
    try {
      this.checkCache();
      const committed = execute(
        this.statements,
        {
          changes,
          claims,
          at: this.options.clock.now(),
          cache: this.cache,
          memory: this.memory,
          numbers: this.numbers,
          resume,
        },
        failpoint,
      );
      failpoint("commit");
      this.statements.of(SQL.commit).run();
      failpoint("committed");
      if (resume === true || committed.unfinished) this.unfinished = committed.unfinished;
      this.keepLogShort();
      return committed;
    } catch (error) {
      this.forgetRows();
      this.numbers.block = null;
      if (this.db.inTransaction) this.statements.of(SQL.rollback).run();
      return isBusy(error) ? "busy" : storageError(error, this.options.path);
    }
  }

  /** Inside the transaction nobody else can write, so the version read here holds until the commit. */
  private checkCache(): void {
    const version = this.dataVersion();
    if (version !== this.cacheVersion || this.cache.size > MAX_CACHED_ROWS) {
      this.cache.clear();
      this.memory.clear();
      this.numbers.nextRun = null;
    }
    this.cacheVersion = version;
  }

  /** Called whenever rows may have changed otherwise than by a commit of this class. */
  protected forgetRows(): void {
    this.cacheVersion = -1;
  }

  /**
   * A checkpoint in the background never quite catches up with steady writing. When little is left this connection does
   * the rest, after which the log is written from its beginning again instead of growing.
   */
  private keepLogShort(): void {
    this.commits += 1;
    if (this.commits % CHECK_LOG_EVERY !== 0 || this.options.path === ":memory:") return;
    const [state] = this.db.pragma("wal_checkpoint(NOOP)") as { log: number; checkpointed: number }[];
    if (state === undefined || state.log < WORTH_PAGES) return;
    const left = state.log - state.checkpointed;
    if (left < FEW_PAGES || state.log > CHECKPOINT_PAGES) this.db.pragma("wal_checkpoint(PASSIVE)");
  }

  private answer(entries: Entry[], tickets: Ticket[], committed: Committed): void {
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
    for (const listener of this.listeners) listener(committed.hints);
  }

  private waitForLock(entries: Entry[], tickets: Ticket[]): void {
    const now = performance.now();
    this.busySince ??= now;
    if (now - this.busySince > (this.options.lockWaitMs ?? 60_000)) {
      this.busySince = null;
      const error = new TenutoError("ledger_busy", "another process has held the ledger's lock for too long", {
        hint: "Find it with `fuser` or `lsof` on the ledger file and end it.",
        category: "retryable",
      });
      return this.failBatch(entries, tickets, error, true);
    }
    this.queue = entries.concat(this.queue);
    for (const ticket of tickets) ticket.again();
    this.retryTimer = setTimeout(() => {
      this.retryTimer = null;
      this.flush();
    }, 5);
  }

  /** One change that cannot be saved must not take others with it: each is tried alone. */
  private failBatch(entries: Entry[], tickets: Ticket[], error: Error, final = false, resumed = false): void {
    for (const ticket of tickets) ticket.done([]);
    if (entries.length === 0) {
      this.reportFailure(error);
      return;
    }
    if (
      final ||
      (entries.length === 1 && !resumed) ||
      (error instanceof TenutoError && error.category === "critical")
    ) {
      for (const entry of entries) entry.reject(error);
      return;
    }
    for (const entry of entries) {
      const result = this.transact([entry.change], [], false);
      if (result === "busy") this.queue.push(entry);
      else if (result instanceof Error) entry.reject(result);
      else this.answer([entry], [], result);
    }
  }

  /** Failures of claims and of put-off work have nobody to answer to. */
  protected reportFailure(error: Error): void {
    const now = performance.now();
    const again = this.lastFailure?.message === error.message && now - this.lastFailure.at < FAILURE_EVERY_MS;
    if (again) return;
    this.lastFailure = { message: error.message, at: now };
    this.options.onFailure?.(error);
  }

  protected stopTimers(): void {
    if (this.foreignTimer !== null) clearInterval(this.foreignTimer);
    if (this.retryTimer !== null) clearTimeout(this.retryTimer);
    if (this.resumeTimer !== null) clearTimeout(this.resumeTimer);
    if (this.scheduled !== null) clearImmediate(this.scheduled);
  }

  /** Commits what has been handed in; what another process's lock keeps out is refused, never forgotten. */
  protected drainQueue(): void {
    while ((this.queue.length > 0 || this.claims.length > 0) && this.retryTimer === null) this.flush();
    const error = new TenutoError("ledger_unavailable", "the ledger was closed before this could be committed", {
      category: "retryable",
    });
    for (const entry of this.queue.splice(0)) entry.reject(error);
    for (const claim of this.claims.splice(0)) claim.reject(error);
  }
}
