/**
 * The worker's end of its guard: one process that ends all trees of a worker which died without doing so.
 *
 * Owner: executors. Invariants:
 * 1. Started with the first command. It holds a pipe from the worker; when the pipe closes without a farewell it ends
 *    every tree it was told of and everything whose marker begins with the worker's prefix, then exits.
 * 2. It is told in batches: a command shorter than `batchMs` costs it nothing, and the prefix covers what it was not told.
 * 3. It neither keeps the worker's event loop alive nor dies of the terminal's signals.
 * 4. If the guard itself dies it is started again and told of all running trees.
 */
import type { ChildProcess } from "node:child_process";
import { spawn } from "node:child_process";
import type { Socket } from "node:net";
import { fileURLToPath } from "node:url";
import type { ProcessIdentity } from "../ports/executor.ts";

export interface Guard {
  add(identity: ProcessIdentity): void;
  remove(identity: ProcessIdentity): void;
  /** Dismisses the guard; resolves when it is gone. */
  close(): Promise<void>;
  /** Its pid while it runs. */
  pid(): number | null;
}

export interface GuardOptions {
  /** What the markers of all this worker's trees begin with. */
  prefix: string;
  env: Record<string, string | undefined>;
  /** The worker's own folders, for its socket and in memory, removed with the rest. */
  folders?: () => string[];
  /** Default 25. */
  batchMs?: number;
}

/** What the guard is started with. */
export interface GuardOrders {
  prefix: string;
  graceMs: number;
  folders: string[];
}

/** Lines on the guard's pipe. */
export type GuardLine = { add: ProcessIdentity } | { remove: string } | { farewell: true };

const GUARD_GRACE_MS = 2_000;
const MAX_STARTS_IN_A_ROW = 3;

export function createGuard(options: GuardOptions): Guard {
  const trees = new Map<string, ProcessIdentity>();
  let told = new Set<string>();
  let child: ChildProcess | null = null;
  let timer: NodeJS.Timeout | null = null;
  let starts = 0;
  let closed = false;

  const start = (): ChildProcess | null => {
    starts++;
    told = new Set();
    const started = startGuard(options);
    // Short of resources: the next command tries again.
    if (started === null) return null;
    started.once("error", () => lost(started));
    started.once("exit", () => lost(started));
    return started;
  };
  const lost = (which: ChildProcess): void => {
    if (child !== which) return;
    child = null;
    if (!closed && trees.size > 0 && starts < MAX_STARTS_IN_A_ROW) schedule();
  };
  const schedule = (): void => {
    if (timer !== null) return;
    timer = setTimeout(flush, options.batchMs ?? 25);
    timer.unref();
  };
  const flush = (): void => {
    timer = null;
    if (closed || (child === null && trees.size === 0)) return;
    child ??= start();
    if (child === null) return;
    const lines: GuardLine[] = [];
    for (const marker of told) if (!trees.has(marker)) lines.push({ remove: marker });
    for (const [marker, identity] of trees) if (!told.has(marker)) lines.push({ add: identity });
    told = new Set(trees.keys());
    if (lines.length > 0) send(child, lines);
  };

  return {
    add(identity) {
      if (closed) return;
      if (child === null) {
        starts = 0;
        child = start();
      }
      trees.set(identity.marker, identity);
      schedule();
    },
    remove(identity) {
      trees.delete(identity.marker);
      schedule();
    },
    async close() {
      closed = true;
      if (timer !== null) clearTimeout(timer);
      if (child !== null) await dismiss(child);
      child = null;
    },
    pid: () => child?.pid ?? null,
  };
}

function startGuard(options: GuardOptions): ChildProcess | null {
  try {
    return spawnGuard(options);
  } catch {
    return null;
  }
}

function spawnGuard(options: GuardOptions): ChildProcess {
  const entry = new URL(import.meta.url.endsWith(".ts") ? "./guard-main.ts" : "./guard-main.js", import.meta.url);
  const orders: GuardOrders = { prefix: options.prefix, graceMs: GUARD_GRACE_MS, folders: options.folders?.() ?? [] };
  const child = spawn(process.execPath, ["--no-warnings", fileURLToPath(entry), JSON.stringify(orders)], {
    // Its working directory must not keep a file system busy.
    cwd: "/",
    env: options.env,
    detached: true,
    windowsHide: true,
    stdio: ["pipe", "ignore", "ignore"],
  });
  child.stdin?.on("error", () => {});
  child.unref();
  (child.stdin as Socket | undefined)?.unref();
  return child;
}

function send(child: ChildProcess, lines: GuardLine[]): void {
  child.stdin?.write(lines.map((line) => `${JSON.stringify(line)}\n`).join(""));
}

async function dismiss(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  const gone = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  child.ref();
  send(child, [{ farewell: true }]);
  child.stdin?.end();
  await gone;
}
