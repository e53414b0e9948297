/** Engine processes as the tests see them: start, order, signal, wait for; and what is left of them afterwards. */
import { type ChildProcess, fork } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import Database from "better-sqlite3";
import type { Agent, OpenOptions, Pipeline, Tenuto } from "tenuto";

export type Tell = (signal: string, data?: unknown) => void;

/** What a module in `apps/` exports. */
export interface App {
  pipelines(tell: Tell): Pipeline<any>[];
  agents?(tell: Tell): Agent[];
  commands?(tenuto: Tenuto, tell: Tell): Record<string, (...args: any[]) => unknown>;
  /** Runs before the engine opens; what it returns is added to the engine's options. */
  prepare?(orders: ChildOrders): Promise<Partial<OpenOptions>> | Partial<OpenOptions>;
  main?(tenuto: Tenuto, orders: ChildOrders, tell: Tell): Promise<void>;
}

export interface ChildOrders {
  home: string;
  /** URL of the app's module. */
  app: string;
  open?: Partial<OpenOptions>;
  /** File that faults are appended to. */
  faults?: string;
  /** Whatever the app wants to know. */
  facts?: any;
}

interface Answer {
  id?: number;
  value?: any;
  error?: { code: string; message: string };
  signal?: string;
  data?: any;
}

const CHILD = fileURLToPath(new URL("./engine.child.ts", import.meta.url));
/** Half of a start is compiling; the children share what one of them has compiled. */
const COMPILED = join(tmpdir(), "tenuto-crash-compiled");
/** No wait of a test is longer; a miss of it is a failure, never a pass. */
export const PATIENCE_MS = 45_000;

export class EngineProcess {
  readonly child: ChildProcess;
  readonly seen: { signal: string; data: any }[] = [];
  readonly exited: Promise<{ code: number | null; signal: string | null }>;
  stderr = "";
  private next = 1;
  private readonly answers = new Map<number, { resolve(value: any): void; reject(error: unknown): void }>();
  private listeners = new Set<() => void>();
  private gone = false;

  /** `within` is a command that runs another one, in namespaces of its own for example. */
  constructor(
    orders: ChildOrders,
    env: Record<string, string> = {},
    execArgv: string[] = [],
    within: readonly string[] = [],
  ) {
    const [execPath, ...wrapping] = [...within, process.execPath];
    this.child = fork(CHILD, [JSON.stringify(orders)], {
      execPath: execPath as string,
      execArgv: [...wrapping, "--conditions=source", "--no-warnings", ...execArgv],
      env: {
        ...process.env,
        NODE_COMPILE_CACHE: COMPILED,
        CRASH_HOME: orders.home,
        CRASH_JOURNAL: join(orders.home, "journal"),
        ...env,
      },
      stdio: ["ignore", "ignore", "pipe", "ipc"],
    });
    this.child.stderr?.on("data", (chunk) => {
      this.stderr = (this.stderr + chunk).slice(-4_000);
    });
    this.child.on("message", (message) => this.hear(message as Answer));
    this.child.on("error", () => {});
    this.exited = new Promise((resolve) => {
      this.child.once("exit", (code, signal) => {
        this.gone = true;
        for (const { reject } of this.answers.values()) reject(new Error(`the engine is gone: ${this.stderr}`));
        this.answers.clear();
        this.poke();
        resolve({ code, signal });
      });
    });
  }

  get pid(): number {
    return this.child.pid!;
  }

  private hear(message: Answer): void {
    if (message.signal !== undefined) {
      this.seen.push({ signal: message.signal, data: message.data });
      this.poke();
      return;
    }
    const waiting = this.answers.get(message.id!);
    this.answers.delete(message.id!);
    if (message.error === undefined) waiting?.resolve(message.value);
    else waiting?.reject(Object.assign(new Error(message.error.message), { code: message.error.code }));
  }

  private poke(): void {
    for (const listener of this.listeners) listener();
  }

  /** Resolves with the data of the n-th such signal. */
  signal(name: string, n = 1, timeoutMs = PATIENCE_MS): Promise<any> {
    return new Promise((resolve, reject) => {
      const look = () => {
        const found = this.seen.filter((entry) => entry.signal === name)[n - 1];
        if (found === undefined && !this.gone) return;
        this.listeners.delete(look);
        clearTimeout(timer);
        if (found !== undefined) resolve(found.data);
        else reject(new Error(`the engine ended before "${name}": ${this.stderr}`));
      };
      const timer = setTimeout(() => {
        this.listeners.delete(look);
        reject(new Error(`no "${name}" within ${timeoutMs} ms: ${JSON.stringify(this.seen.slice(-5))} ${this.stderr}`));
      }, timeoutMs);
      this.listeners.add(look);
      look();
    });
  }

  /** Orders something and resolves with the answer. */
  ask(command: string, ...args: unknown[]): Promise<any> {
    const id = this.next++;
    return new Promise((resolve, reject) => {
      if (this.gone) return reject(new Error(`the engine is gone: ${this.stderr}`));
      this.answers.set(id, { resolve, reject });
      this.child.send({ id, command, args }, (error) => {
        if (error === null) return;
        this.answers.delete(id);
        reject(error);
      });
    });
  }

  send(signal: NodeJS.Signals): void {
    if (!this.gone) this.child.kill(signal);
  }

  async kill(): Promise<void> {
    this.send("SIGKILL");
    await this.exited;
  }

  async stop(): Promise<void> {
    await this.ask("close");
    if (this.child.connected) this.child.disconnect();
    await this.exited;
  }
}

/** A folder of its own, with every process that was started in it; `close` leaves neither. */
export class Bench {
  readonly home: string;
  readonly app: string;
  private readonly started: EngineProcess[] = [];

  constructor(app: string, folder = tmpdir()) {
    this.home = mkdtempSync(join(folder, "tenuto-crash-"));
    mkdirSync(this.home, { recursive: true });
    this.app = new URL(`./apps/${app}.app.ts`, import.meta.url).href;
  }

  get database(): string {
    return join(this.home, "ledger.db");
  }

  get journal(): string {
    return join(this.home, "journal");
  }

  /** Starts a process without waiting for its engine to be open. */
  launch(
    open: Partial<OpenOptions> = {},
    more: Partial<ChildOrders> = {},
    env: Record<string, string> = {},
  ): EngineProcess {
    const started = new EngineProcess({ home: this.home, app: this.app, open, ...more }, env);
    this.started.push(started);
    return started;
  }

  async engine(open: Partial<OpenOptions> = {}, more: Partial<ChildOrders> = {}): Promise<EngineProcess> {
    const started = this.launch(open, more);
    await started.signal("open");
    return started;
  }

  async close(): Promise<void> {
    for (const entry of this.started) {
      entry.send("SIGCONT");
      await entry.kill();
    }
    await until("no process of the test to be left", () => survivors(this.home).length === 0, 15_000);
    rmSync(this.home, { recursive: true, force: true });
  }
}

/**
 * Stops a process at a moment at which it holds no lock of the ledger. One that is stopped in the middle of a commit holds
 * up everybody until it goes on, which is SQLite's nature and not what these tests are about.
 */
export async function freeze(engine: EngineProcess, database: string): Promise<void> {
  const db = new Database(database, { timeout: 0 });
  try {
    await until("a moment between two commits", () => {
      engine.send("SIGSTOP");
      try {
        db.exec("BEGIN IMMEDIATE; ROLLBACK");
        return true;
      } catch {
        engine.send("SIGCONT");
        return false;
      }
    });
  } finally {
    db.close();
  }
}

export interface Survivor {
  pid: number;
  text: string;
}

/** Live processes, guards included, whose environment or command line names this folder; zombies do not count. */
export function survivors(home: string): Survivor[] {
  const found: Survivor[] = [];
  for (const name of readdirSync("/proc")) {
    const pid = Number(name);
    if (!Number.isInteger(pid) || pid === process.pid) continue;
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
      const state = stat.slice(stat.lastIndexOf(")") + 2)[0];
      if (state === "Z" || state === "X") continue;
      const text = readFileSync(`/proc/${pid}/cmdline`, "latin1");
      if (text.includes(home) || readFileSync(`/proc/${pid}/environ`, "latin1").includes(home))
        found.push({ pid, text: text.replaceAll("\0", " ").slice(0, 200) });
    } catch {
      // Gone, or not ours.
    }
  }
  return found;
}

export function isAlive(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    return !["Z", "X"].includes(stat.slice(stat.lastIndexOf(")") + 2)[0] ?? "");
  } catch {
    return false;
  }
}

/** Bounded polling of a file, a ledger or a process table, where nothing tells of the change. */
export async function until(what: string, condition: () => boolean, timeoutMs = PATIENCE_MS): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`waited ${timeoutMs} ms in vain for ${what}`);
    await new Promise((next) => setTimeout(next, 10));
  }
}

export function readLines(path: string): string[] {
  try {
    return readFileSync(path, "utf8")
      .split("\n")
      .filter((line) => line !== "");
  } catch {
    return [];
  }
}
