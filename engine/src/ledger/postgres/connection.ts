/**
 * A PostgreSQL database as the ledger uses it: statements in one round trip, transactions, notifications.
 *
 * Invariants: (1) each call is one transaction, or part of the one that `transaction` has begun; (2) no state of a session
 * outlives a transaction, so that PgBouncer in transaction mode may stand between; (3) reading never waits behind writing.
 */
import type { Duplex } from "node:stream";
import { type Address, parseAddress } from "./address.ts";
import type { Reply, Statement } from "./pipeline.ts";
import { Pool, type Wired } from "./pool.ts";
import { isStalePlan, LostConnection } from "./storage-error.ts";

export type { Statement } from "./pipeline.ts";

export interface Session {
  /** Rows of one statement with parameters `$1`, `$2`. */
  query<T>(sql: string, values?: readonly unknown[]): Promise<T[]>;
  /** How many rows one statement has changed. */
  execute(sql: string, values?: readonly unknown[]): Promise<number>;
  /** All statements behind one Sync: one round trip, all or nothing. Rows of each. */
  pipeline(statements: readonly Statement[]): Promise<unknown[][]>;
}

export interface Transaction extends Session {
  /** Sends these last statements together with COMMIT. Nothing may be asked of the transaction afterwards. */
  finish(statements: readonly Statement[]): Promise<unknown[][]>;
}

export interface Database extends Session {
  /** For messages; without password. */
  readonly shown: string;
  readonly schema: string;
  /** Rows of a statement that changes nothing: asked again when the connection is lost. */
  read<T>(sql: string, values?: readonly unknown[], name?: string): Promise<T[]>;
  /** Rows of one statement that may be made twice: asked again when the connection is lost. */
  put<T>(sql: string, values?: readonly unknown[]): Promise<T[]>;
  /**
   * Like `pipeline`, on the connection on which earlier calls of this kind are still under way, if there are any: the server
   * takes them one after the other. At most two at a time.
   */
  follow(statements: readonly Statement[]): Promise<unknown[][]>;
  /** BEGIN travels with the first statements, COMMIT with the last if `finish` is used. A throw rolls back. */
  transaction<R>(work: (session: Transaction) => Promise<R>): Promise<R>;
  /** Reads that all see the same moment. */
  snapshot<R>(work: (session: Session) => Promise<R>): Promise<R>;
  /** Calls back for each notification, on a connection of its own that is opened again after a loss. Null through a pooler. */
  listen(channel: string, onNotify: (payload: string) => void): Promise<{ close(): Promise<void> } | null>;
  close(): Promise<void>;
}

export interface DatabaseOptions {
  url: string;
  /** Connections that write. Default 2. */
  writers?: number;
  /** Connections that read. Default 4. 0 reads on the writing ones. */
  readers?: number;
  /** How long whoever needs a connection waits while the server cannot be reached. Default 60 s. */
  waitMs?: number;
  /** Without an answer for so long a connection counts as lost. Default 60 s. */
  answerMs?: number;
  /** Stands in for the socket, for a server in this process. */
  stream?: () => Duplex;
}

const BEGIN = { sql: "BEGIN ISOLATION LEVEL READ COMMITTED" };
const BEGIN_SNAPSHOT = { sql: "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY" };
const COMMIT = { sql: "COMMIT" };
const ROLLBACK = { sql: "ROLLBACK" };
/**
 * Statements that write find their rows by index. What the planner knows of a table is as old as the last look at it: a plan
 * made while the table was small would read all of it once it has grown.
 */
const BY_INDEX = {
  plan_cache_mode: "force_generic_plan",
  enable_seqscan: "off",
  enable_hashjoin: "off",
  enable_mergejoin: "off",
};
const LISTEN_AGAIN_MS = 1_000;

const rowsOf = (replies: readonly Reply[]): unknown[][] => replies.map((reply) => reply.rows);

class OpenTransaction implements Transaction {
  private readonly wired: Wired;
  private readonly begin: Statement;
  private readonly answerMs: number;
  state: "new" | "open" | "ended" = "new";

  constructor(wired: Wired, begin: Statement, answerMs: number) {
    this.wired = wired;
    this.begin = begin;
    this.answerMs = answerMs;
  }

  private async send(statements: readonly Statement[]): Promise<Reply[]> {
    if (this.state === "ended") throw new Error("this transaction has ended");
    const { travels } = this.wired;
    const before = this.state === "open" ? [] : travels === null ? [this.begin] : [this.begin, travels];
    this.state = "open";
    const replies = await this.wired.send([...before, ...statements], this.answerMs);
    return replies.slice(before.length);
  }

  async query<T>(sql: string, values: readonly unknown[] = []): Promise<T[]> {
    return (await this.send([{ sql, values }]))[0]?.rows as T[];
  }

  async execute(sql: string, values: readonly unknown[] = []): Promise<number> {
    return (await this.send([{ sql, values }]))[0]?.count as number;
  }

  async pipeline(statements: readonly Statement[]): Promise<unknown[][]> {
    return rowsOf(await this.send(statements));
  }

  async finish(statements: readonly Statement[]): Promise<unknown[][]> {
    const replies = await this.send([...statements, COMMIT]);
    this.state = "ended";
    return rowsOf(replies.slice(0, -1));
  }

  async commit(): Promise<void> {
    if (this.state === "open") await this.send([COMMIT]);
    this.state = "ended";
  }

  /** Without effect on a connection that is lost: the server rolls back by itself. */
  async rollback(): Promise<void> {
    if (this.state === "open" && this.wired.lost === null)
      await this.wired.send([ROLLBACK], this.answerMs).catch((error) => this.wired.lose(error));
    this.state = "ended";
  }
}

class PostgresDatabase implements Database {
  readonly shown: string;
  readonly schema: string;
  private readonly address: Address;
  private readonly options: DatabaseOptions;
  private readonly writing: Pool;
  private readonly reading: Pool;
  private readonly answerMs: number;
  private readonly listeners = new Set<{ close(): Promise<void> }>();
  /** The connection of calls that follow each other, while any is under way. */
  private lane: { wired: Promise<Wired>; users: number } | null = null;

  constructor(options: DatabaseOptions) {
    const { writers = 2, readers = 4, waitMs = 60_000, answerMs = 60_000 } = options;
    this.options = options;
    this.address = parseAddress(options.url);
    this.shown = this.address.shown;
    this.schema = this.address.schema;
    this.answerMs = answerMs;
    const stream = options.stream === undefined ? {} : { stream: options.stream };
    const of = (size: number, settings: Readonly<Record<string, string>> = {}) =>
      new Pool({ address: this.address, size, waitMs, answerMs, settings, ...stream });
    this.writing = of(writers, BY_INDEX);
    this.reading = readers === 0 ? this.writing : of(readers);
  }

  private async inLane<R>(work: (wired: Wired) => Promise<R>): Promise<R> {
    // Whoever waits for a connection gets one before those that follow each other without end.
    if (this.lane === null || this.writing.isWanted) this.lane = { wired: this.writing.take(), users: 0 };
    const { lane } = this;
    lane.users += 1;
    try {
      return await work(await lane.wired);
    } finally {
      lane.users -= 1;
      if (lane.users === 0) {
        if (this.lane === lane) this.lane = null;
        lane.wired.then((wired) => this.writing.give(wired)).catch(() => {});
      }
    }
  }

  private async on<R>(pool: Pool, work: (wired: Wired) => Promise<R>): Promise<R> {
    const wired = await pool.take();
    try {
      return await work(wired);
    } finally {
      pool.give(wired);
    }
  }

  /** One implicit transaction. Asked again where nothing can have been committed. */
  private async alone(pool: Pool, statements: readonly Statement[], repeatable: boolean): Promise<Reply[]> {
    return await this.again(repeatable, () => this.on(pool, (wired) => this.send(wired, statements)));
  }

  private async send(wired: Wired, statements: readonly Statement[]): Promise<Reply[]> {
    if (wired.travels === null) return await wired.send(statements, this.answerMs);
    return (await wired.send([wired.travels, ...statements], this.answerMs)).slice(1);
  }

  private async again<R>(repeatable: boolean, work: () => Promise<R>): Promise<R> {
    for (let attempt = 0; ; attempt++) {
      try {
        return await work();
      } catch (error) {
        const again = isStalePlan(error) || (error instanceof LostConnection && (repeatable || !error.sent));
        if (!again || attempt >= 10) throw error;
      }
    }
  }

  async follow(statements: readonly Statement[]): Promise<unknown[][]> {
    return rowsOf(await this.again(false, () => this.inLane((wired) => this.send(wired, statements))));
  }

  async query<T>(sql: string, values: readonly unknown[] = []): Promise<T[]> {
    return (await this.alone(this.writing, [{ sql, values }], false))[0]?.rows as T[];
  }

  async execute(sql: string, values: readonly unknown[] = []): Promise<number> {
    return (await this.alone(this.writing, [{ sql, values }], false))[0]?.count as number;
  }

  async pipeline(statements: readonly Statement[]): Promise<unknown[][]> {
    return rowsOf(await this.alone(this.writing, statements, false));
  }

  async read<T>(sql: string, values: readonly unknown[] = [], name?: string): Promise<T[]> {
    const statement = name === undefined ? { sql, values } : { sql, values, name };
    return (await this.alone(this.reading, [statement], true))[0]?.rows as T[];
  }

  async put<T>(sql: string, values: readonly unknown[] = []): Promise<T[]> {
    return (await this.alone(this.writing, [{ sql, values }], true))[0]?.rows as T[];
  }

  async transaction<R>(work: (session: Transaction) => Promise<R>): Promise<R> {
    return await this.within(this.writing, BEGIN, work);
  }

  async snapshot<R>(work: (session: Session) => Promise<R>): Promise<R> {
    return await this.within(this.reading, BEGIN_SNAPSHOT, work);
  }

  private async within<R>(pool: Pool, begin: Statement, work: (session: Transaction) => Promise<R>): Promise<R> {
    return await this.on(pool, async (wired) => {
      const session = new OpenTransaction(wired, begin, this.answerMs);
      try {
        const result = await work(session);
        await session.commit();
        return result;
      } catch (error) {
        await session.rollback();
        throw error;
      }
    });
  }

  async listen(channel: string, onNotify: (payload: string) => void): Promise<{ close(): Promise<void> } | null> {
    if (this.options.stream !== undefined) return null;
    const pool = new Pool({ address: this.address, size: 1, waitMs: 0, answerMs: this.answerMs });
    const first = await pool.take();
    if (first.travels !== null) {
      pool.give(first);
      await pool.close();
      return null;
    }
    let timer: NodeJS.Timeout | undefined;
    let current: Wired | null = null;
    let closed = false;
    const attach = async (wired: Wired) => {
      current = wired;
      wired.client.on("notification", (message) => onNotify(message.payload ?? ""));
      wired.client.once("end", again);
      await wired.send([{ sql: `LISTEN "${channel}"` }], this.answerMs);
    };
    const again = () => {
      if (current !== null) pool.give(current);
      current = null;
      if (closed) return;
      timer = setTimeout(() => pool.take().then(attach).catch(again), LISTEN_AGAIN_MS).unref();
    };
    await attach(first);
    const handle = {
      close: async () => {
        closed = true;
        clearTimeout(timer);
        this.listeners.delete(handle);
        if (current !== null) await current.end();
        await pool.close();
      },
    };
    this.listeners.add(handle);
    return handle;
  }

  async close(): Promise<void> {
    for (const listener of [...this.listeners]) await listener.close();
    await this.writing.close();
    if (this.reading !== this.writing) await this.reading.close();
  }
}

/** Nothing is connected before the first statement. @throws invalid_input for a URL that cannot be used */
export function openDatabase(options: DatabaseOptions): Database {
  return new PostgresDatabase(options);
}
