/**
 * The work of one attempt: input checked, carried out by the kind of its agent, output checked; and what a throw means.
 *
 * Invariant: a throw becomes a stored error in one place, `resultOf`.
 */
import type { Agent, FunctionAgent } from "../core/agent.ts";
import { storedErrorFrom } from "../core/classify.ts";
import type { Effect } from "../core/decision.ts";
import type { StoredError } from "../core/errors.ts";
import type { Json } from "../core/model.ts";
import { checkPayload } from "../core/payload.ts";
import type { Scope } from "../core/placeholders.ts";
import type { AttemptApi, ExecutionOutcome } from "../ports/executor.ts";
import { AttemptContext, type ContextHost } from "./context.ts";
import { checkContract } from "./contracts.ts";
import type { Definitions, ResolvedJob } from "./definitions.ts";
import { callOutside } from "./outside.ts";
import type { Parts } from "./parts.ts";
import { type AttemptScope, SkipSignal } from "./scope.ts";

/** How an attempt went; what the worker reports. */
export type Result =
  | { kind: "completed"; json: string | null; reusedFrom?: string; planned?: true; effects?: readonly Effect[] }
  | { kind: "skipped"; reason: string }
  | { kind: "failed"; error: StoredError; effects?: readonly Effect[]; atEnd?: readonly Effect[] }
  | { kind: "deferred"; waitMs: number; reason: string }
  | { kind: "stopped" };

export interface AttemptHost {
  operations: ContextHost;
  parts: Parts;
  apiOf(scope: AttemptScope): AttemptApi;
  definitions: Definitions;
}

/** What a throw means, in the one place where that is decided. */
export function resultOf(scope: AttemptScope, error: unknown): Result {
  if (error instanceof SkipSignal) return { kind: "skipped", reason: error.reason };
  const { aborted } = scope;
  const { policy } = scope.facts.resolved;
  if (aborted === "timeout") return { kind: "failed", error: timeoutError(policy.timeoutMs) };
  if (aborted === "deadline") return { kind: "failed", error: deadlineError(policy.jobTimeoutMs ?? 0) };
  if (aborted !== null) return { kind: "stopped" };
  return { kind: "failed", error: storedErrorFrom(error, policy.errors) };
}

export function deadlineError(jobTimeoutMs: number): StoredError {
  return {
    category: "permanent",
    code: "timeout",
    message: `the job took longer than ${jobTimeoutMs / 1_000} s, waits and retries included`,
    hint: "Raise jobTimeoutSeconds, or make the work smaller.",
  };
}

export function timeoutError(timeoutMs: number): StoredError {
  return {
    category: "retryable",
    code: "timeout",
    message: `the attempt took longer than ${timeoutMs / 1_000} s`,
    hint: "Raise timeoutSeconds, or make the work smaller.",
  };
}

/** Input check, execution by kind, output check. */
export async function attemptWork(
  host: AttemptHost,
  scope: AttemptScope,
  agent: Agent | null,
  given: Json,
  data: Scope,
): Promise<Result> {
  const { job, item, resolved } = scope.facts;
  const what = item === null ? `job ${job.id}` : `item ${item} of job ${job.id}`;
  const checked = checkContract(agent?.input, given, `the input of ${what}`);
  const input = (checked instanceof Promise ? await checked : checked) as Json;
  const outcome =
    agent?.kind === "function" && agent.isolation !== "thread"
      ? await callFunction(host, scope, agent, input)
      : await callOutside(host, scope, agent, input, data);
  if (outcome.kind !== "completed")
    return outcome.kind === "failed" ? { kind: "failed", error: reclassify(outcome.error, resolved) } : outcome;
  const output = checkContract(agent?.output, outcome.output, `the output of ${what}`);
  const value = output instanceof Promise ? await output : output;
  if (value === undefined || value === null) return { kind: "completed", json: null };
  const payload = checkPayload(value, `the output of ${what}`);
  if (payload.warn)
    scope.log("WARNING", `the output of ${what} has ${payload.bytes} bytes; above 256 KB an artifact is better`);
  return { kind: "completed", json: payload.json };
}

async function callFunction(
  host: AttemptHost,
  scope: AttemptScope,
  agent: FunctionAgent,
  input: Json,
): Promise<ExecutionOutcome> {
  const context = new AttemptContext(scope, host.operations);
  const { run, job, item } = scope.facts;
  const work = () => agent.run(input, context);
  const { strays } = host.parts;
  const running = strays === undefined ? work() : strays.run({ run: run.id, job: job.id, item }, work);
  const output = await raceAbort(scope, running);
  return { kind: "completed", output: output as Json };
}

/** A function that ignores its signal must not keep the attempt past its end; its writes are refused by then. */
function raceAbort<T>(scope: AttemptScope, work: T | Promise<T>): T | Promise<T> {
  if (!(work instanceof Promise)) return work;
  return scope.abortable(work);
}

/** Declared rules may give another category to what a command or thread reported. */
function reclassify(error: StoredError, resolved: ResolvedJob): StoredError {
  if (resolved.policy.errors.length === 0) return error;
  const again = storedErrorFrom(
    Object.assign(new Error(error.message), { ...error, exitCode: error.details?.["exitCode"] }),
    resolved.policy.errors,
  );
  return { ...error, category: again.category };
}
