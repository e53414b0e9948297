/**
 * Runs function agents in threads of their own, so that computing does not stop the engine and can be killed.
 *
 * Owner: executors. Invariants:
 * 1. One attempt per thread at a time; threads are reused, except after an abort, a time limit or a crash.
 * 2. The attempt's signal aborts the agent's signal; what does not stop within the grace is terminated, busy loops
 *    included. The outcome is given when the agent has settled or the thread is dead.
 * 3. A thread that ends by itself (process.exit, out of memory, an error nobody caught) fails its attempt with
 *    `agent_error`; the engine goes on.
 * 4. Idle threads do not keep the event loop alive and end after `idleMs`.
 * Limit: native code that does not return (a synchronous database call) delays termination until it does.
 */
import { availableParallelism } from "node:os";
import type { ResourceLimits } from "node:worker_threads";
import { Worker } from "node:worker_threads";
import { storedErrorFrom } from "../core/classify.ts";
import type { StoredError } from "../core/errors.ts";
import type { AttemptApi, ExecutionOutcome, ThreadAttempt, ThreadExecutor } from "../ports/executor.ts";
import type { Timers } from "./ending.ts";
import { systemTimers } from "./ending.ts";
import type { CallName, FromThread, NoteName, ToThread } from "./thread-protocol.ts";

export interface ThreadExecutorOptions {
  /** Threads at the same time; further attempts wait. Default: cores less one, at least one. */
  size?: number;
  /** Between the abort and the termination. Default 10,000. */
  graceMs?: number;
  /** A thread without work ends after this. Default 30,000. */
  idleMs?: number;
  /** Memory of each thread. Default 1,024 MB of old generation. */
  resourceLimits?: ResourceLimits;
  timers?: Timers;
}

interface Thread {
  worker: Worker;
  exited: Promise<{ code: number; error: unknown }>;
  receive: (message: FromThread) => void;
  idle: NodeJS.Timeout | null;
  dead: boolean;
}

interface Pool {
  options: Required<ThreadExecutorOptions>;
  free: Thread[];
  busy: number;
  queue: (() => void)[];
  closing: AbortController;
}

/** An executor for agents that declare `isolation: "thread"`. Threads start with the first attempts. */
export function createThreadExecutor(options: ThreadExecutorOptions = {}): ThreadExecutor {
  const pool: Pool = {
    options: {
      size: options.size ?? Math.max(1, availableParallelism() - 1),
      graceMs: options.graceMs ?? 10_000,
      idleMs: options.idleMs ?? 30_000,
      resourceLimits: options.resourceLimits ?? { maxOldGenerationSizeMb: 1_024 },
      timers: options.timers ?? systemTimers,
    },
    free: [],
    busy: 0,
    queue: [],
    closing: new AbortController(),
  };
  const open = new Set<Promise<unknown>>();
  return {
    run(attempt) {
      const result = runInPool(pool, attempt);
      open.add(result);
      void result.finally(() => open.delete(result));
      return result;
    },
    async close() {
      pool.closing.abort("stop");
      await Promise.allSettled([...open]);
      await Promise.all(pool.free.splice(0).map((thread) => terminate(thread)));
    },
  };
}

async function runInPool(pool: Pool, attempt: ThreadAttempt): Promise<ExecutionOutcome> {
  const signal = AbortSignal.any([attempt.signal, pool.closing.signal]);
  if (!(await takeSlot(pool, signal))) return { kind: "stopped" };
  let thread: Thread | null = null;
  attempt.started?.();
  try {
    thread = pool.free.pop() ?? startThread(pool);
    return await runInThread(pool, thread, attempt, signal);
  } catch (error) {
    if (thread !== null) await terminate(thread);
    return { kind: "failed", error: storedErrorFrom(error) };
  } finally {
    if (thread !== null && !thread.dead) park(pool, thread);
    pool.busy--;
    pool.queue.shift()?.();
  }
}

/** False if the attempt was ended while it waited. */
function takeSlot(pool: Pool, signal: AbortSignal): Promise<boolean> {
  return new Promise((resolve) => {
    const settle = (taken: boolean): void => {
      signal.removeEventListener("abort", leave);
      if (taken) pool.busy++;
      resolve(taken);
    };
    const enter = (): void => settle(true);
    const leave = (): void => {
      pool.queue = pool.queue.filter((other) => other !== enter);
      settle(false);
    };
    if (signal.aborted) return settle(false);
    if (pool.busy < pool.options.size) return enter();
    pool.queue.push(enter);
    signal.addEventListener("abort", leave);
  });
}

function startThread(pool: Pool): Thread {
  const entry = new URL(import.meta.url.endsWith(".ts") ? "./thread-main.ts" : "./thread-main.js", import.meta.url);
  const worker = new Worker(entry, { resourceLimits: pool.options.resourceLimits });
  let error: unknown;
  worker.on("error", (thrown) => {
    error = thrown;
  });
  const thread: Thread = {
    worker,
    exited: new Promise((resolve) => worker.once("exit", (code) => resolve({ code, error }))),
    receive: () => {},
    idle: null,
    dead: false,
  };
  worker.on("message", (message: FromThread) => thread.receive(message));
  void thread.exited.then(() => {
    thread.dead = true;
    pool.free = pool.free.filter((other) => other !== thread);
    if (thread.idle !== null) clearTimeout(thread.idle);
  });
  return thread;
}

function park(pool: Pool, thread: Thread): void {
  thread.receive = () => {};
  thread.worker.unref();
  thread.idle = setTimeout(() => {
    pool.free = pool.free.filter((other) => other !== thread);
    void terminate(thread);
  }, pool.options.idleMs);
  thread.idle.unref();
  pool.free.push(thread);
}

async function terminate(thread: Thread): Promise<void> {
  thread.dead = true;
  await thread.worker.terminate();
}

async function runInThread(
  pool: Pool,
  thread: Thread,
  attempt: ThreadAttempt,
  signal: AbortSignal,
): Promise<ExecutionOutcome> {
  const { timers, graceMs } = pool.options;
  if (thread.idle !== null) clearTimeout(thread.idle);
  thread.worker.ref();
  let reason: unknown = null;
  let kill: { cancel(): void } | null = null;
  const abort = (why: unknown): void => {
    if (reason !== null) return;
    reason = typeof why === "string" ? why : "cancel";
    send(thread, { type: "abort", reason });
    kill = timers.after(graceMs, () => void terminate(thread));
  };
  const onAbort = (): void => abort(signal.reason);
  const limit = timers.after(attempt.timeoutMs, () => abort("timeout"));
  try {
    const settled = settle(thread, attempt);
    signal.addEventListener("abort", onAbort);
    const { module, agent, input, context } = attempt;
    send(thread, { type: "run", module, agent, input, context, rules: attempt.rules ?? [] });
    if (signal.aborted) onAbort();
    const outcome = await settled;
    if (reason === null || (reason === "stop" && outcome.kind === "completed")) return outcome;
    // What was aborted may have left timers and sockets behind.
    await terminate(thread);
    return reason === "timeout" ? { kind: "failed", error: timeoutError(attempt.timeoutMs) } : { kind: "stopped" };
  } finally {
    limit.cancel();
    (kill as { cancel(): void } | null)?.cancel();
    signal.removeEventListener("abort", onAbort);
    if (reason !== null && !thread.dead) await terminate(thread);
  }
}

/** Resolves with what the agent answered, or with the thread's death. Serves its calls until then. */
function settle(thread: Thread, attempt: ThreadAttempt): Promise<ExecutionOutcome> {
  return new Promise((resolve) => {
    let over = false;
    const finish = (outcome: ExecutionOutcome): void => {
      over = true;
      resolve(outcome);
    };
    thread.receive = (message) => {
      if (over) return;
      if (message.type === "completed") finish({ kind: "completed", output: message.output });
      else if (message.type === "skipped") finish({ kind: "skipped", reason: message.reason });
      else if (message.type === "failed") finish({ kind: "failed", error: message.error });
      else if (message.type === "note") note(attempt.api, message.name, message.args);
      else void answer(thread, attempt.api, message, () => over);
    };
    void thread.exited.then((exit) => finish({ kind: "failed", error: deathOf(exit) }));
  });
}

function note(api: AttemptApi, name: NoteName, args: unknown[]): void {
  try {
    if (name === "log") api.log(...(args as Parameters<AttemptApi["log"]>));
    else api.progress(...(args as Parameters<AttemptApi["progress"]>));
  } catch {
    // An attempt that may not write any more is ended by its signal, not by its log.
  }
}

async function answer(
  thread: Thread,
  api: AttemptApi,
  message: Extract<FromThread, { type: "call" }>,
  isOver: () => boolean,
): Promise<void> {
  const { call, name, args } = message;
  try {
    const operations = api as unknown as Record<CallName, (...args: unknown[]) => Promise<unknown>>;
    const value = await operations[name](...args);
    if (!isOver()) send(thread, { type: "reply", call, value });
  } catch (error) {
    if (!isOver()) send(thread, { type: "refusal", call, error: storedErrorFrom(error) });
  }
}

function send(thread: Thread, message: ToThread): void {
  thread.worker.postMessage(message);
}

function deathOf(exit: { code: number; error: unknown }): StoredError {
  const { code, error } = exit;
  const reason = (error as { code?: unknown } | undefined)?.code;
  const memory = reason === "ERR_WORKER_OUT_OF_MEMORY";
  const what = error === undefined ? `exited with code ${code}` : `died: ${(error as Error)?.message ?? String(error)}`;
  const stack = (error as Error | undefined)?.stack;
  return {
    category: "permanent",
    code: "agent_error",
    message: `the agent's thread ${what}`,
    hint: memory
      ? "It needed more memory than a thread has: stream the data, or make it a command."
      : "An agent must not end its process, and must catch errors of its timers and callbacks.",
    details: { exitCode: code, ...(typeof reason === "string" ? { reason } : {}) },
    ...(stack === undefined ? {} : { stack: stack.split("\n").slice(0, 12).join("\n") }),
  };
}

function timeoutError(timeoutMs: number): StoredError {
  return {
    category: "retryable",
    code: "timeout",
    message: `the agent did not end within ${timeoutMs / 1_000} s`,
    hint: "Raise timeoutSeconds, or split the work.",
    details: { timeoutMs },
  };
}
