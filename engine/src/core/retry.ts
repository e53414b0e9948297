/**
 * When a failed job or item is tried again, and which policy applies to it.
 *
 * Owner: core. Invariants:
 * 1. The delay is a pure function of policy, number of failures and seed: both ledgers and a replay agree on it.
 * 2. Without Retry-After: base·factor^(failures−1) seconds, at most the cap, of which the share `jitter` is random
 *    downwards. With the defaults 0.8–1 s, 4–5 s, 20–25 s.
 * 3. A Retry-After is a lower bound, even above the cap, but at most one hour: a server that asks for a day would
 *    otherwise park a job for a day in silence. The policy's own delay is a lower bound too.
 */
import type { ErrorRule, RetryPolicy, WorkPolicy } from "./document.ts";
import { DEFAULT_MAX_CRASHES, DEFAULT_RETRY, DEFAULT_TIMEOUT_SECONDS } from "./document.ts";

/** A Retry-After is followed up to this; see the header. */
export const RETRY_AFTER_MAX_MS = 3_600_000;

/** A policy with nothing left open: what applies to one job. */
export interface ResolvedPolicy {
  retry: RetryPolicy;
  /** Limit of one attempt. */
  timeoutMs: number;
  /** Limit of the job from its first start to its end, waits included; null is none. */
  jobTimeoutMs: number | null;
  /** Rule lists, nearest first. */
  errors: ErrorRule[][];
  onExhausted: "fail" | "skip";
  maxCrashes: number;
}

/** Milliseconds to wait before the next try, after `failures` failures (1 = the first try failed). */
export function retryDelayMs(
  policy: RetryPolicy,
  failures: number,
  seed: string | number,
  retryAfterMs?: number,
): number {
  const capMs = policy.capSeconds * 1000;
  const step = Math.max(0, failures - 1);
  // A factor of 0 or an overflow to Infinity both end at a bound instead of NaN.
  const grown = policy.baseSeconds * 1000 * policy.factor ** step;
  const fullMs = Math.min(Number.isNaN(grown) ? capMs : grown, capMs);
  const delayMs = Math.round(fullMs * (1 - policy.jitter * fraction(seed, failures)));
  if (retryAfterMs === undefined || !(retryAfterMs > 0)) return delayMs;
  return Math.max(delayMs, Math.ceil(Math.min(retryAfterMs, RETRY_AFTER_MAX_MS)));
}

/** Whether the work has used up its retries after `failures` failures. */
export function retriesExhausted(policy: RetryPolicy, failures: number): boolean {
  return failures > policy.maxRetries;
}

/**
 * The policy of a job from all that were declared, nearest first (job, agent, pipeline). Each figure is taken from the
 * nearest policy that gives it, figures of `retry` one by one; what nobody gives is the engine's default.
 */
export function mergePolicies(...nearestFirst: readonly (WorkPolicy | undefined)[]): ResolvedPolicy {
  const retry: RetryPolicy = { ...DEFAULT_RETRY };
  const errors: ErrorRule[][] = [];
  let timeoutSeconds: number | undefined;
  let jobTimeoutSeconds: number | undefined;
  let onExhausted: "fail" | "skip" | undefined;
  let maxCrashes: number | undefined;
  for (const policy of nearestFirst) {
    if (policy === undefined) continue;
    timeoutSeconds ??= policy.timeoutSeconds;
    jobTimeoutSeconds ??= policy.jobTimeoutSeconds;
    onExhausted ??= policy.onExhausted;
    maxCrashes ??= policy.maxCrashes;
    if (policy.errors !== undefined && policy.errors.length > 0) errors.push(policy.errors);
  }
  for (const policy of nearestFirst.toReversed()) {
    if (policy?.retry === undefined) continue;
    for (const key of ["maxRetries", "baseSeconds", "factor", "capSeconds", "jitter"] as const) {
      const given = policy.retry[key];
      if (given !== undefined) retry[key] = given;
    }
  }
  return {
    retry,
    timeoutMs: (timeoutSeconds ?? DEFAULT_TIMEOUT_SECONDS) * 1000,
    jobTimeoutMs: jobTimeoutSeconds === undefined ? null : jobTimeoutSeconds * 1000,
    errors,
    onExhausted: onExhausted ?? "fail",
    maxCrashes: maxCrashes ?? DEFAULT_MAX_CRASHES,
  };
}

/** A number in [0, 1) that depends on seed and failure count only (FNV-1a, then a finalizer for even spread). */
function fraction(seed: string | number, failures: number): number {
  const text = `${seed}:${failures}`;
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return ((hash ^ (hash >>> 16)) >>> 0) / 2 ** 32;
}
