/**
 * Passing limiters at run time: short waits are spent here, long ones are handed to the caller, who gives the slot back.
 */
import type { LimiterSpec } from "../core/document.ts";
import { TenutoError } from "../core/errors.ts";
import { parseLimiterName } from "../core/limiter.ts";
import { confirmPass, type Holder, type LimiterName, passLimiter, spendBudget, tellBreaker } from "../core/limiting.ts";
import type { Clock } from "../ports/clock.ts";
import type { Ledger } from "../ports/ledger.ts";

/** A limiter by the text that code uses. @throws invalid_input */
export function findLimiter(text: string, specs: { [name: string]: LimiterSpec }): LimiterName {
  const found = parseLimiterName(text, specs);
  if (found !== null) return found;
  const names = Object.keys(specs);
  throw new TenutoError("invalid_input", `there is no limiter ${JSON.stringify(text)}`, {
    hint: names.length === 0 ? "Declare it under `limiters` of the pipeline." : `Declared: ${names.join(", ")}.`,
  });
}

export function sleep(clock: Clock, ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(stopped());
    const timer = clock.after(ms, () => {
      signal?.removeEventListener("abort", onAbort);
      resolve();
    });
    const onAbort = () => {
      timer.cancel();
      reject(stopped());
    };
    signal?.addEventListener("abort", onAbort, { once: true });
  });
}

export function stopped(): TenutoError {
  return new TenutoError("stopped", "the attempt was stopped", { category: "retryable" });
}

/** A use that may go only later; whoever waits should give its slot back. */
export interface Deferred {
  waitMs: number;
  reason: string;
}

const HOLDER_POLL_MS = 250;
/** Code that asks for a use is not kept waiting longer than this; a used-up quota renews tomorrow. */
const LONGEST_WAIT_MS = 120_000;

/**
 * Waits until the limiter lets this use go. With `patienceMs`, a longer wait is answered with a Deferred instead.
 * @throws quota_exhausted, budget_exhausted when no time renews it
 */
export async function pass(
  ledger: Ledger,
  clock: Clock,
  limiter: LimiterName,
  holder: Holder,
  signal: AbortSignal,
  patienceMs: number,
): Promise<Deferred | null> {
  for (;;) {
    // A wait within patience is reserved, which keeps the rate exact; a longer one is asked for again later.
    const answer = await ledger.apply(passLimiter(limiter, holder, patienceMs > 0));
    if (answer.go) return await keepReservation(ledger, clock, limiter, holder, answer, signal, patienceMs);
    if (answer.retryAt === null) throw refusal(limiter, answer.code, answer.wait);
    const waitMs = answer.wait === "concurrency" ? HOLDER_POLL_MS : Math.max(1, answer.retryAt - clock.now());
    if (patienceMs === Number.POSITIVE_INFINITY && waitMs > LONGEST_WAIT_MS)
      throw refusal(limiter, answer.code, answer.wait, waitMs);
    if (waitMs > patienceMs) return { waitMs, reason: `limiter:${limiter.name.replace("*", limiter.key)}` };
    await sleep(clock, waitMs, signal);
  }
}

async function keepReservation(
  ledger: Ledger,
  clock: Clock,
  limiter: LimiterName,
  holder: Holder,
  first: { goAt: number; trial: boolean },
  signal: AbortSignal,
  patienceMs: number,
): Promise<Deferred | null> {
  let reservation = first;
  for (;;) {
    const waitMs = reservation.goAt - clock.now();
    if (waitMs <= 0) return null;
    await sleep(clock, waitMs, signal);
    // Only a breaker can have opened in the meantime, and only lateness can cost the place.
    if (limiter.spec.breaker === undefined && clock.now() - reservation.goAt < 100) return null;
    const answer = await ledger.apply(confirmPass(limiter, holder, reservation));
    if (!answer.go)
      return answer.retryAt === null ? null : await pass(ledger, clock, limiter, holder, signal, patienceMs);
    if (answer.goAt <= clock.now()) return null;
    reservation = answer;
  }
}

export async function spendFrom(ledger: Ledger, limiter: LimiterName, holder: Holder, amount: number): Promise<void> {
  const answer = await ledger.apply(spendBudget(limiter, holder, amount));
  if (!answer.go) throw refusal(limiter, answer.code, answer.wait);
}

export async function tellOutcome(ledger: Ledger, limiter: LimiterName, holder: Holder, ok: boolean): Promise<void> {
  await ledger.apply(tellBreaker(limiter, holder, ok));
}

function refusal(limiter: LimiterName, code: string | null, wait: string, retryAfterMs?: number): TenutoError {
  const name = limiter.name.replace("*", limiter.key);
  const known =
    code === "budget_exhausted" || code === "quota_exhausted" || code === "circuit_open" ? code : "quota_exhausted";
  return new TenutoError(known, `limiter ${name} lets nothing more through: ${wait} is used up`, {
    hint: "Raise it in the pipeline's `limiters`, or wait until it renews.",
    details: { limiter: name },
    ...(retryAfterMs === undefined ? {} : { category: "retryable" as const, retryAfterMs }),
  });
}
