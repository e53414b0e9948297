/**
 * One attempt of one job, from the claim to the report: resolve, check, pass the limiters, work, check, report.
 *
 * Invariant: every way out of the work ends in exactly one report, and a throw becomes a stored error in one place.
 */
import type { Agent, FunctionAgent } from "../core/agent.ts";
import * as changes from "../core/changes.ts";
import { storedErrorFrom } from "../core/classify.ts";
import { evaluate } from "../core/condition.ts";
import type { Effect } from "../core/decision.ts";
import type { ApprovalSpec } from "../core/document-agents.ts";
import type { StoredError } from "../core/errors.ts";
import type { Lease } from "../core/job.ts";
import type { Json } from "../core/model.ts";
import { checkPayload } from "../core/payload.ts";
import { expand, expandText, type Scope } from "../core/placeholders.ts";
import { retryDelayMs } from "../core/retry.ts";
import type { AttemptApi, ExecutionOutcome } from "../ports/executor.ts";
import { askApproval } from "./approvals.ts";
import { leavingBehind } from "./collect.ts";
import { AttemptContext, type ContextHost } from "./context.ts";
import { checkContract } from "./contracts.ts";
import type { ResolvedJob } from "./definitions.ts";
import type { Execution } from "./execution.ts";
import { passGate } from "./gate.ts";
import { findLimiter, pass, stopped } from "./limiting.ts";
import { multiplyJob } from "./multiply.ts";
import { callOutside } from "./outside.ts";
import type { Parts } from "./parts.ts";
import { workInRounds } from "./rounds.ts";
import { type AttemptScope, SkipSignal } from "./scope.ts";

/** How an attempt went; what the worker reports. */
export type Result =
  | { kind: "completed"; json: string | null; reusedFrom?: string; effects?: readonly Effect[] }
  | { kind: "skipped"; reason: string }
  | { kind: "failed"; error: StoredError; effects?: readonly Effect[] }
  | { kind: "deferred"; waitMs: number; reason: string }
  | { kind: "stopped" };

export interface AttemptHost {
  operations: ContextHost;
  parts: Parts;
  apiOf(scope: AttemptScope): AttemptApi;
  /** An agent by the name that a document gives it. */
  agent(name: string): Agent | undefined;
}

/**
 * Works on a job that is no fan-out, layer by layer: what may answer without work, what must be passed first, the work, and
 * what is made of its output. Never throws.
 */
export async function attemptJob(host: AttemptHost, scope: Execution, data: Scope): Promise<Result> {
  const { resolved, job } = scope.facts;
  const { spec } = resolved;
  try {
    if (spec.when !== undefined && !evaluate(spec.when, data, `when of job ${job.id}`))
      return { kind: "skipped", reason: "when" };
    const cached = spec.cache === undefined ? null : await reuse(host.parts, resolved, data);
    if (cached !== null) return cached;
    if (spec.multiply !== undefined) return await multiplyJob(scope, spec.multiply, data);
    let input = expand(spec.input ?? null, data, `input of job ${job.id}`);
    if (spec.approval !== undefined) input = await approveBefore(scope, spec.approval, input, data);
    const deferred = await passDeclared(host.parts, scope, data, 0);
    if (deferred !== null) return { kind: "deferred", ...deferred };
    const result = await workOnce(host, scope, input, data);
    if (result.kind === "stopped") return resultOf(scope, stopped());
    if (result.kind !== "completed") return result;
    if (spec.cache !== undefined && result.json !== null)
      await remember(host.parts, scope, resolved, data, result.json);
    return spec.gate === undefined ? result : await passGate(host, scope, spec.gate, input, result, data);
  } catch (error) {
    return resultOf(scope, error);
  }
}

const OUTPUT_STEP = "tenuto:output";

/** The work of a job with a gate is a step, so that neither a person who takes time nor a crash makes it run again. */
async function workOnce(host: AttemptHost, scope: Execution, input: Json, data: Scope): Promise<Result> {
  const { resolved, job } = scope.facts;
  const work = () =>
    resolved.agent?.kind === "command" || resolved.spec.command !== undefined
      ? workInRounds(host, scope, resolved.agent, input, data)
      : attemptWork(host, scope, resolved.agent, input, data);
  const { artifacts, gate } = resolved.spec;
  const whole = artifacts === undefined ? work : () => leavingBehind(scope, artifacts, data, work);
  if (gate === undefined) return await whole();
  // A failed attempt and a retry by a person want new work; a wait does not.
  const life = `${job.failures}/${job.firstStartedAt ?? job.startedAt ?? 0}`;
  const recorded = await scope.recorded(OUTPUT_STEP, life);
  if (recorded !== undefined) return { kind: "completed", json: recorded === null ? null : JSON.stringify(recorded) };
  const startedAt = host.parts.clock.now();
  const result = await whole();
  if (result.kind !== "completed") return result;
  // What the work left behind is registered with the step: the gate may wait for days.
  await scope.working(() => scope.record(OUTPUT_STEP, life, result.json ?? "null", startedAt, result.effects));
  const { effects, ...bare } = result;
  return bare;
}

async function approveBefore(scope: Execution, approval: ApprovalSpec, input: Json, data: Scope): Promise<Json> {
  const place = `approval of job ${scope.facts.job.id}`;
  const asked = await askApproval(scope, "before", {
    title: expandText(approval.title, { ...data, input }, place),
    show: approval.show === undefined ? input : expand(approval.show, { ...data, input }, place),
    editable: approval.editable === true,
    ...(approval.expiresSeconds === undefined ? {} : { expiresSeconds: approval.expiresSeconds }),
  });
  return asked.edited ? asked.value : input;
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
  const output = await raceAbort(scope, agent.run(input, context));
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

export async function passDeclared(parts: Parts, scope: AttemptScope, data: Scope, patienceMs: number) {
  const { spec, definition } = scope.facts.resolved;
  for (const template of spec.limits ?? []) {
    const name = expandText(template, data, `limits of job ${scope.facts.job.id}`);
    const deferred = await pass(
      parts.ledger,
      parts.clock,
      findLimiter(name, definition.document.limiters ?? {}),
      scope.holder(),
      scope.signal,
      patienceMs,
    );
    if (deferred !== null) return deferred;
  }
  return null;
}

async function reuse(parts: Parts, resolved: ResolvedJob, data: Scope): Promise<Result | null> {
  const { spec, definition } = resolved;
  if (spec.cache === undefined) return null;
  const key = cacheKey(resolved, data);
  const hit = await parts.ledger.cached(definition.document.name, key);
  if (hit === null || parts.clock.now() - hit.at > spec.cache.maxAgeSeconds * 1_000) return null;
  const job = await parts.ledger.job(hit.job);
  const run = job === null ? null : await parts.ledger.run(job.run);
  return {
    kind: "completed",
    json: hit.output,
    reusedFrom: run === null || job === null ? "an earlier run" : `${run.id}/${job.id}`,
  };
}

function cacheKey(resolved: ResolvedJob, data: Scope): string {
  const { spec } = resolved;
  return `${spec.agent}@${resolved.agent?.version ?? ""} ${expandText(spec.cache?.key ?? "", data, "cache.key")}`;
}

async function remember(
  parts: Parts,
  scope: AttemptScope,
  resolved: ResolvedJob,
  data: Scope,
  output: string,
): Promise<void> {
  const { job } = scope.facts;
  await scope.guarded([
    {
      type: "cachePut",
      pipeline: resolved.definition.document.name,
      key: cacheKey(resolved, data),
      job: job.seq,
      at: parts.clock.now(),
      output,
    },
  ]);
}

/** The change that reports a result. */
export function reportChange(scope: AttemptScope, lease: Lease, result: Result) {
  const { job, resolved } = scope.facts;
  switch (result.kind) {
    case "completed":
      return result.reusedFrom === undefined
        ? changes.completeJob(job.seq, lease, result.json, result.effects)
        : changes.reuseJob(job.seq, lease, result.json, result.reusedFrom);
    case "skipped":
      return changes.skipJob(job.seq, lease, result.reason, null);
    case "deferred":
      return changes.giveBack(job.seq, lease, result.waitMs, result.reason);
    case "failed": {
      const { retry, onExhausted } = resolved.policy;
      const delayMs = retryDelayMs(retry, job.failures + 1, job.seq, result.error.retryAfterMs);
      const policy = { maxRetries: retry.maxRetries, delayMs, onExhausted };
      return changes.failJob(job.seq, lease, result.error, policy, result.effects);
    }
    case "stopped":
      return scope.aborted === "cancel"
        ? changes.cancelledJob(job.seq, lease)
        : changes.giveBack(job.seq, lease, null, "stopped");
  }
}
