/**
 * One attempt of one job, from the claim to the report, as layers around the work.
 *
 * Invariant: every way out of the work ends in exactly one report.
 */
import * as changes from "../core/changes.ts";
import { evaluate } from "../core/condition.ts";
import type { ApprovalSpec } from "../core/document-agents.ts";
import type { Lease } from "../core/job.ts";
import type { Json } from "../core/model.ts";
import { expand, expandText, type Scope } from "../core/placeholders.ts";
import { retryDelayMs } from "../core/retry.ts";
import { askApproval } from "./approvals.ts";
import { remember, reuse } from "./cache.ts";
import { errorContext, leavingBehind } from "./collect.ts";
import { planInstead } from "./dry-run.ts";
import type { Execution } from "./execution.ts";
import { passGate, withoutJudge } from "./gate.ts";
import { findLimiter, pass, stopped } from "./limiting.ts";
import { multiplyJob } from "./multiply.ts";
import type { Parts } from "./parts.ts";
import { answerFromOrigin } from "./rerun.ts";
import { asCompensation } from "./rollback.ts";
import { workInRounds } from "./rounds.ts";
import type { AttemptScope } from "./scope.ts";
import { type AttemptHost, attemptWork, type Result, resultOf } from "./work.ts";

/**
 * Works on a job that is no fan-out, layer by layer: what may answer without work, what must be passed first, the work, and
 * what is made of its output. Never throws.
 */
export async function attemptJob(host: AttemptHost, scope: Execution, data: Scope): Promise<Result> {
  const result = await attemptLayers(host, scope, data);
  const { compensates, artifacts } = scope.facts.resolved.spec;
  if (compensates !== undefined) return asCompensation(compensates.job, result);
  if (artifacts === undefined || result.kind !== "failed") return result;
  return { ...result, atEnd: await errorContext(scope, artifacts, result.error) };
}

/** An answer without any work: from the run that this one comes from, or, in a dry run, what would be done. */
export async function answerInstead(host: AttemptHost, scope: Execution, data: Scope): Promise<Result | null> {
  if (scope.facts.run.variant === null) return null;
  return (await answerFromOrigin(scope, host.definitions, data)) ?? (await planInstead(scope, data));
}

async function attemptLayers(host: AttemptHost, scope: Execution, data: Scope): Promise<Result> {
  const { resolved, job } = scope.facts;
  const { spec } = resolved;
  try {
    const answer = await answerInstead(host, scope, data);
    if (answer !== null) return answer;
    if (spec.when !== undefined && !evaluate(spec.when, data, `when of job ${job.id}`))
      return { kind: "skipped", reason: "when" };
    const cached = spec.cache === undefined ? null : await reuse(host.parts, resolved, data);
    if (cached !== null) return cached;
    if (spec.multiply !== undefined) return await multiplyJob(scope, spec.multiply, data);
    const unjudged = withoutJudge(host, scope, spec.gate);
    if (unjudged !== null) return { kind: "deferred", ...unjudged };
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

/** The change that reports a result. */
export function reportChange(scope: AttemptScope, lease: Lease, result: Result) {
  const { job, resolved } = scope.facts;
  switch (result.kind) {
    case "completed":
      if (result.planned === true) return changes.planJob(job.seq, lease, result.json ?? "null");
      return result.reusedFrom === undefined
        ? changes.completeJob(job.seq, lease, result.json, result.effects)
        : changes.reuseJob(job.seq, lease, result.json, result.reusedFrom, result.effects);
    case "skipped":
      return changes.skipJob(job.seq, lease, result.reason, null);
    case "deferred":
      return changes.giveBack(job.seq, lease, result.waitMs, result.reason);
    case "failed": {
      const { retry, onExhausted } = resolved.policy;
      const delayMs = retryDelayMs(retry, job.failures + 1, job.seq, result.error.retryAfterMs);
      const policy = { maxRetries: retry.maxRetries, delayMs, onExhausted };
      return changes.failJob(job.seq, lease, result.error, policy, result.effects, result.atEnd);
    }
    case "stopped":
      return scope.aborted === "cancel"
        ? changes.cancelledJob(job.seq, lease)
        : changes.giveBack(job.seq, lease, null, "stopped");
  }
}
