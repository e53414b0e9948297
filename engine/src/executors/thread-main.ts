/**
 * The entry of a thread that runs agents, one attempt at a time. See thread.ts for the other end.
 *
 * Owner: executors. Invariants:
 * 1. Exactly one of completed, skipped and failed is posted per run; anything worse ends the thread, which the main
 *    thread sees.
 * 2. What is thrown is classified here, by the job's rules, where its class and causes are still known.
 * 3. An output that can't be copied (a function, a socket) fails the attempt, not the thread.
 */
import { parentPort } from "node:worker_threads";
import type { FunctionAgent } from "../core/agent.ts";
import { agentReference } from "../core/agent.ts";
import { storedErrorFrom } from "../core/classify.ts";
import { TenutoError } from "../core/errors.ts";
import type { Link } from "./thread-context.ts";
import { createContext, Skipped } from "./thread-context.ts";
import type { FromThread, ToThread } from "./thread-protocol.ts";
import { revive } from "./thread-protocol.ts";

type Run = Extract<ToThread, { type: "run" }>;

const port = parentPort!;
let calls = 0;
let abort = new AbortController();
let pending = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>();

port.on("message", (message: ToThread) => {
  if (message.type === "run") {
    void run(message);
    return;
  }
  if (message.type === "abort") {
    abort.abort(message.reason);
    return;
  }
  const waiting = pending.get(message.call);
  pending.delete(message.call);
  if (message.type === "reply") waiting?.resolve(message.value);
  else waiting?.reject(revive(message.error));
});

async function run(order: Run): Promise<void> {
  abort = new AbortController();
  pending = new Map();
  let result: FromThread;
  try {
    const agent = await findAgent(order.module, order.agent);
    const output: unknown = await agent.run(order.input, createContext(order.context, link(), abort.signal));
    result = { type: "completed", output: (output ?? null) as never };
  } catch (error) {
    if (error instanceof Skipped) result = { type: "skipped", reason: error.reason };
    else result = { type: "failed", error: storedErrorFrom(error, order.rules) };
  }
  try {
    post(result);
  } catch (error) {
    post({ type: "failed", error: storedErrorFrom(notCopyable(error)) });
  }
}

/** Operations of one attempt; those of an attempt that is over go nowhere. */
function link(): Link {
  const own = pending;
  return {
    call(name, ...args) {
      return new Promise((resolve, reject) => {
        if (own !== pending) return;
        const call = ++calls;
        own.set(call, { resolve, reject });
        post({ type: "call", call, name, args });
      });
    },
    note(name, ...args) {
      if (own === pending) post({ type: "note", name, args });
    },
  };
}

function post(message: FromThread): void {
  port.postMessage(message);
}

async function findAgent(module: string, wanted: string): Promise<FunctionAgent> {
  const exports = (await import(module)) as Record<string, unknown>;
  const candidates = Object.values(exports).flatMap((value) => (Array.isArray(value) ? (value as unknown[]) : [value]));
  const agents = candidates.filter(isFunctionAgent);
  const found = agents.find((agent) => agent.name === wanted || agentReference(agent.name, agent.version) === wanted);
  if (found !== undefined) return found;
  throw new TenutoError("unknown_agent", `${module} does not export the agent ${wanted}`, {
    hint: 'An agent with isolation: "thread" must be exported by the module that it names.',
    details: { module, exported: agents.map((agent) => agent.name) },
  });
}

function isFunctionAgent(value: unknown): value is FunctionAgent {
  if (typeof value !== "object" || value === null) return false;
  const agent = value as Partial<FunctionAgent>;
  return agent.kind === "function" && typeof agent.name === "string" && typeof agent.run === "function";
}

function notCopyable(error: unknown): TenutoError {
  return new TenutoError("agent_error", `the agent's output can't leave its thread: ${(error as Error).message}`, {
    hint: "Return plain data.",
  });
}
