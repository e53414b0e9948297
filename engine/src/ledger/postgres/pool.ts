/**
 * A few connections that are taken and given back, opened on need and again after a loss.
 *
 * Invariants: (1) a connection has one user at a time; (2) one that was lost, or whose state nobody knows, is never given
 * again; (3) nothing of a session outlives a transaction, so that a pooler between us and the server may change servers.
 */
import type { Duplex } from "node:stream";
import type { Client, Submittable } from "pg";
import { TenutoError } from "../../core/errors.ts";
import type { Address } from "./address.ts";
import { Pipeline, Prepared, type Reply, type Statement, type Wire } from "./pipeline.ts";
import { codeOf, endsConnection, isStalePlan, LostConnection, mayConnectLater } from "./storage-error.ts";

/** Settings of a connection; through a pooler they travel with each transaction instead. */
const SETTINGS = { idle_in_transaction_session_timeout: "60000", jit: "off" } as const;
const CONNECT_MS = 10_000;
const AGAIN_MS = 50;
const AGAIN_MOST_MS = 1_000;

export interface PoolOptions {
  address: Address;
  /** Connections at the same time. */
  size: number;
  /** How long whoever needs a connection waits while the server cannot be reached. */
  waitMs: number;
  /** Without an answer for so long the connection counts as lost. */
  answerMs: number;
  /** Stands in for the socket, for a server in this process. */
  stream?: () => Duplex;
  /** Further settings of each connection. */
  settings?: Readonly<Record<string, string>>;
}

/** One connection. */
export class Wired {
  readonly client: Client;
  readonly prepared = new Prepared();
  /** What has to travel with each transaction, since a pooler may give us another server connection. */
  travels: Statement | null = null;
  named = true;
  lost: Error | null = null;
  /** Whoever waits for an answer, in the order in which they come. */
  private readonly waiting = new Set<(error: Error) => void>();
  private last: Pipeline | null = null;

  constructor(client: Client) {
    this.client = client;
    client.on("error", (error) => this.lose(error));
    client.on("end", () => this.lose(new Error("the connection was ended")));
  }

  lose(error: Error): void {
    this.lost ??= error;
    for (const fail of [...this.waiting]) fail(error);
  }

  /** All statements behind one Sync, sent at once even if an answer is still awaited. @throws what the server says, or LostConnection */
  send(statements: readonly Statement[], answerMs: number): Promise<Reply[]> {
    if (this.lost !== null) return Promise.reject(new LostConnection(this.lost.message, false, this.lost));
    return new Promise((resolve, reject) => {
      let timer: NodeJS.Timeout | undefined;
      const settle = (error: Error | null, replies: Reply[]) => {
        clearTimeout(timer);
        this.waiting.delete(fail);
        if (error === null) return resolve(replies);
        if (isStalePlan(error)) this.prepared.known.clear();
        if (codeOf(error) === "26000" || codeOf(error) === "42P05") this.named = false;
        const fatal = endsConnection(error) || this.lost !== null || !/^[0-9A-Z]{5}$/.test(codeOf(error));
        if (fatal) this.lose(error);
        // A standby refuses before it does anything.
        reject(fatal ? new LostConnection(error.message, codeOf(error) !== "25006", error) : error);
      };
      const fail = (error: Error) => settle(error, []);
      const { last } = this;
      const follows = this.waiting.size > 0 && last?.isSent === true && this.travels === null;
      this.waiting.add(fail);
      const patient = statements.some((statement) => statement.patient);
      if (Number.isFinite(answerMs) && !patient) timer = this.watch(answerMs, fail);
      const wanted = this.named ? statements : statements.map(({ sql, values }) => ({ sql, values: values ?? [] }));
      const pipeline = new Pipeline(wanted, this.prepared, settle);
      this.last = pipeline;
      // `pg` would send it when the one before has been answered, which is what a pooler is used to.
      if (follows) pipeline.send(this.client.connection as unknown as Wire);
      this.client.query(pipeline as unknown as Submittable);
    });
  }

  /** Gives the event loop a turn to take an answer in that has come while it was busy. */
  private watch(answerMs: number, fail: (error: Error) => void): NodeJS.Timeout {
    return setTimeout(() => {
      setImmediate(() => {
        if (!this.waiting.has(fail)) return;
        this.lose(new Error(`the server has not answered for ${answerMs} ms`));
        this.client.connection.stream.destroy();
      });
    }, answerMs).unref();
  }

  async end(): Promise<void> {
    if (this.lost === null) await this.client.end().catch(() => {});
    else this.client.connection.stream.destroy();
  }
}

interface Waiter {
  resolve(wired: Wired): void;
  reject(error: Error): void;
}

export class Pool {
  private readonly options: PoolOptions;
  private readonly idle: Wired[] = [];
  private readonly waiting: Waiter[] = [];
  private open = 0;
  private closed = false;
  private readonly used = new Set<Wired>();

  constructor(options: PoolOptions) {
    this.options = options;
  }

  /** A connection for one user. @throws LostConnection when there is none for `waitMs`, or what forbids to connect */
  async take(): Promise<Wired> {
    for (let found = this.idle.pop(); found !== undefined; found = this.idle.pop()) {
      if (found.lost === null) return this.use(found);
      this.open -= 1;
    }
    if (this.open >= this.options.size)
      return await new Promise((resolve, reject) => this.waiting.push({ resolve, reject }));
    this.open += 1;
    try {
      return this.use(await this.connect());
    } catch (error) {
      this.open -= 1;
      this.refill();
      throw error;
    }
  }

  /** Somebody waits for a connection. */
  get isWanted(): boolean {
    return this.waiting.length > 0;
  }

  private use(wired: Wired): Wired {
    this.used.add(wired);
    return wired;
  }

  give(wired: Wired): void {
    this.used.delete(wired);
    if (wired.lost !== null || this.closed) {
      this.open -= 1;
      void wired.end();
      this.refill();
      return;
    }
    const next = this.waiting.shift();
    if (next === undefined) this.idle.push(wired);
    else next.resolve(this.use(wired));
  }

  /** A place is free: whoever waits longest opens a connection. */
  private refill(): void {
    const next = this.waiting.shift();
    if (next !== undefined) this.take().then(next.resolve, next.reject);
  }

  private async connect(): Promise<Wired> {
    const deadline = performance.now() + this.options.waitMs;
    for (let pause = AGAIN_MS; ; pause = Math.min(pause * 2, AGAIN_MOST_MS)) {
      if (this.closed) throw new LostConnection("the ledger is closed", false);
      try {
        return await connect(this.options);
      } catch (error) {
        if (!mayConnectLater(error)) throw error;
        if (performance.now() + pause > deadline)
          throw new LostConnection(error instanceof Error ? error.message : String(error), false, error);
        await new Promise((next) => setTimeout(next, pause / 2 + Math.random() * (pause / 2)));
      }
    }
  }

  /** Ends connections as they are given back. */
  async close(): Promise<void> {
    this.closed = true;
    for (const waiter of this.waiting.splice(0)) waiter.reject(new LostConnection("the ledger is closed", false));
    await Promise.all(this.idle.splice(0).map((wired) => wired.end()));
  }
}

/** Connects once. Settings go with the start-up where the server itself answers; a pooler refuses or forgets them. */
async function connect(options: PoolOptions): Promise<Wired> {
  const { address } = options;
  const settings = Object.entries({ search_path: address.schema, ...SETTINGS, ...options.settings });
  const asked = settings.map(([name, value]) => `-c ${name}=${value}`).join(" ");
  let wired: Wired;
  try {
    wired = await connectWith(options, asked);
  } catch (error) {
    if (!/unsupported startup parameter|options/i.test(String(error))) throw error;
    wired = await connectWith(options, undefined);
  }
  try {
    const [reply] = await wired.send(
      [{ sql: "SELECT pg_backend_pid() AS pid, current_setting('search_path') AS path" }],
      CONNECT_MS,
    );
    const { pid, path } = reply!.rows[0] as { pid: number; path: string };
    const own = (wired.client as unknown as { processID: number | null }).processID;
    const pooled = own !== null && own !== pid;
    if (pooled || path !== address.schema)
      wired.travels = {
        sql: `SELECT ${settings.map((_, at) => `set_config($${at * 2 + 1}, $${at * 2 + 2}, true)`).join(", ")}`,
        values: settings.flat(),
      };
    wired.named = address.prepare && !pooled;
    return wired;
  } catch (error) {
    await wired.end();
    throw error;
  }
}

/** `pg` is an optional peer: who keeps to SQLite does without it. */
async function driver(): Promise<Pick<typeof import("pg"), "Client">> {
  try {
    return (await import("pg")).default;
  } catch (cause) {
    throw new TenutoError("missing_prerequisites", "the package `pg` is not installed", {
      hint: "npm install pg",
      cause,
    });
  }
}

async function connectWith(options: PoolOptions, asked: string | undefined, plain = false): Promise<Wired> {
  const { address } = options;
  const pg = await driver();
  const client = new pg.Client({
    host: address.host,
    port: address.port,
    user: address.user,
    password: address.password,
    database: address.database,
    ssl: plain ? false : address.ssl,
    application_name: "tenuto",
    keepAlive: true,
    keepAliveInitialDelayMillis: 10_000,
    connectionTimeoutMillis: CONNECT_MS,
    ...(asked === undefined ? {} : { options: asked }),
    ...(options.stream === undefined ? {} : { stream: options.stream }),
  });
  const wired = new Wired(client);
  try {
    await client.connect();
    return wired;
  } catch (error) {
    client.connection.stream.destroy();
    if (address.sslOptional && !plain && /does not support SSL/.test(String(error)))
      return await connectWith(options, asked, true);
    throw error;
  }
}
