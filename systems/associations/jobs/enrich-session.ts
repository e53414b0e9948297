/**
 * Asking providers for a batch of records, so that nothing is paid twice and no trouble of a provider costs a record.
 *
 * 1. Each request is a durable step: after a crash its answer is there. Its limiter is passed and its price booked before it goes out.
 * 2. Trouble that may pass (429, 5xx, no answer) is tried again after 1, 5 and 25 seconds, or when the provider says; then it is
 *    this company's answer: "failed".
 * 3. A provider is left out for the rest of the batch, and said to be, when its quota or budget is used up, when its account may not do
 *    this, after three companies in a row failed, or after six requests in a row: the fifth has opened its breaker, the sixth was the
 *    trial a minute later. A refused key (401) stops the run instead: a person must act.
 * 4. One company is asked about once in a batch.
 * 5. A provider that failed a batch is met with little patience in the next ones of that run: one company, one try. With its first good
 *    answer it has its credit back. So a dead provider costs a minute a batch, and a pause of it only the batches meanwhile.
 */
import type { Context } from "tenuto";
import { TenutoError } from "tenuto";
import { z } from "zod";
import type { RequestOptions } from "../adapters/providers/request.ts";
import type { Access, Environment, ProviderName } from "../adapters/providers/settings.ts";
import { accessTo, BREAKER, limiterOf } from "../adapters/providers/settings.ts";
import { ProviderKeyError, ProviderRefusedError } from "../domain/enrichment/provider-errors.ts";
import { PageError } from "../domain/errors.ts";

export type Answer<T> =
  | { state: "found"; data: T }
  | { state: "unknown" }
  | { state: "failed"; reason: string }
  | { state: "left_out"; reason: string };

export const providerStatsSchema = z.object({
  asked: z.number(),
  found: z.number(),
  failed: z.number(),
  retried: z.number(),
  /** Dollars booked. */
  spent: z.number(),
  /** Why it was left out, wholly or from some point on. */
  left_out: z.string().nullable(),
});
export type ProviderStats = z.infer<typeof providerStatsSchema>;

const MAX_RETRIES = 3;
const FAILURES_IN_A_ROW = 3;
/** One more than open the breaker; every further one would cost another minute. */
const TROUBLES_IN_A_ROW = BREAKER.failures + 1;
/** Longer waits than this are not worth holding a batch for. */
const LONGEST_WAIT_MS = 300_000;

/** What the batches of a run know of a provider together. */
interface Standing {
  /** It failed a batch. */
  failed: boolean;
  /** Requests in a row that came to nothing. */
  troubles: number;
}

/** By run and provider; per environment, which a process has one of. Lost with the process, which costs only time. */
const standings = new WeakMap<Environment, Map<string, Standing>>();

function standingOf(env: Environment, key: string): Standing {
  const all = standings.get(env) ?? new Map<string, Standing>();
  standings.set(env, all);
  const standing = all.get(key) ?? { failed: false, troubles: 0 };
  all.set(key, standing);
  return standing;
}

interface Trouble {
  code: string;
  message: string;
  retryAfterMs: number | null;
  retryable: boolean;
}

type Stored<T> = { data: T | null } | { trouble: Trouble };

export class ProviderSession {
  readonly stats: ProviderStats = { asked: 0, found: 0, failed: 0, retried: 0, spent: 0, left_out: null };
  readonly name: ProviderName;
  private readonly ctx: Context;
  private readonly access: Access | null;
  private readonly answers = new Map<string, Promise<Answer<unknown>>>();
  private readonly standing: Standing;
  private failures = 0;
  private turn: Promise<void> = Promise.resolve();
  private troubled = false;

  constructor(ctx: Context, name: ProviderName, env: Environment) {
    this.ctx = ctx;
    this.name = name;
    this.standing = standingOf(env, `${ctx.runId} ${name}`);
    const access = accessTo(name, env);
    this.access = "reason" in access ? null : access;
    if ("reason" in access) this.leaveOut(access.reason, "info");
  }

  get usable(): boolean {
    return this.stats.left_out === null;
  }

  /** The answer about one company. `identity` names it and what is asked. @throws ProviderKeyError */
  ask<T>(
    identity: string,
    request: (access: Access, options: RequestOptions) => Promise<T | null>,
  ): Promise<Answer<T>> {
    const known = this.answers.get(identity);
    if (known !== undefined) return known as Promise<Answer<T>>;
    const answer = this.askOnce(identity, request);
    this.answers.set(identity, answer);
    return answer;
  }

  private async askOnce<T>(
    identity: string,
    request: (access: Access, options: RequestOptions) => Promise<T | null>,
  ): Promise<Answer<T>> {
    for (let attempt = 0; ; attempt++) {
      const { access } = this;
      let stored: Stored<T> | null;
      try {
        stored = await this.inTurn(async () => {
          if (access === null || !this.usable) return null;
          const result = await this.stepOf(identity, attempt, access, request);
          if ("trouble" in result && isTrouble(result.trouble)) this.countTrouble(result.trouble);
          return result;
        });
      } catch (error) {
        const reason = this.reasonToLeaveOut(error);
        if (reason === null) throw error;
        this.leaveOut(reason, "warn");
        return { state: "left_out", reason };
      }
      if (access === null || stored === null) return { state: "left_out", reason: this.stats.left_out ?? "no access" };
      // Counted here rather than in the step: answers from before a crash were asked for and paid as well.
      this.stats.asked++;
      this.stats.spent = Number((this.stats.spent + access.settings.cost).toFixed(6));
      if ("data" in stored) return this.count(stored.data);
      const { trouble } = stored;
      const waitMs = trouble.retryAfterMs ?? Math.min(1000 * 5 ** attempt, LONGEST_WAIT_MS);
      if (waitMs > LONGEST_WAIT_MS) {
        this.leaveOut(`${trouble.message}; it asks for ${Math.round(waitMs / 1000)} s of patience`, "warn");
        return { state: "failed", reason: trouble.code };
      }
      if (isTrouble(trouble) && this.standing.troubles >= TROUBLES_IN_A_ROW) {
        this.stats.failed++;
        return { state: "failed", reason: trouble.code };
      }
      if (!trouble.retryable || this.standing.failed || attempt >= MAX_RETRIES) return this.fail(trouble);
      this.stats.retried++;
      await this.ctx.sleep(["wait", this.name, identity, attempt], waitMs);
    }
  }

  /** While a provider is in trouble, requests go out one after the other: all would wait at its breaker, a minute for each. */
  private async inTurn<T>(work: () => Promise<T>): Promise<T> {
    if (this.standing.troubles === 0) return await work();
    const before = this.turn;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.turn = promise;
    try {
      await before;
      return await work();
    } finally {
      resolve();
    }
  }

  private async stepOf<T>(
    identity: string,
    attempt: number,
    access: Access,
    request: (access: Access, options: RequestOptions) => Promise<T | null>,
  ): Promise<Stored<T>> {
    const { ctx } = this;
    const limiter = limiterOf(this.name);
    return await ctx.step<Stored<T>>(["ask", this.name, identity, attempt], async ({ signal }) => {
      await ctx.limit(limiter);
      if (access.settings.cost > 0) await ctx.spend(limiter, access.settings.cost);
      try {
        const data = await request(access, { signal });
        await this.tell(true);
        return { data };
      } catch (error) {
        if (!(error instanceof PageError) || error instanceof ProviderKeyError || error instanceof ProviderRefusedError)
          throw error;
        const retryable = error.category === "retryable";
        if (isTrouble(error)) await this.tell(false);
        const { code, message, retryAfterMs = null } = error;
        return { trouble: { code, message, retryAfterMs, retryable } };
      }
    });
  }

  /** The breaker hears of trouble, and of its end; a good answer without trouble before costs no write. */
  private async tell(ok: boolean): Promise<void> {
    if (ok && !this.troubled) return;
    this.troubled = !ok;
    await this.ctx.outcome(limiterOf(this.name), ok);
  }

  private count<T>(data: T | null): Answer<T> {
    this.failures = 0;
    this.standing.failed = false;
    this.standing.troubles = 0;
    if (data === null) return { state: "unknown" };
    this.stats.found++;
    return { state: "found", data };
  }

  private fail({ code, message }: Trouble): Answer<never> {
    this.stats.failed++;
    this.ctx.log.warn(message, { provider: this.name, code });
    if (++this.failures >= (this.standing.failed ? 1 : FAILURES_IN_A_ROW)) {
      this.standing.failed = true;
      this.leaveOut(`${this.failures} failures in a row, the last: ${message}`, "warn");
    }
    return { state: "failed", reason: code };
  }

  /** Said before the next one has its turn. */
  private countTrouble({ message }: Trouble): void {
    if (++this.standing.troubles < TROUBLES_IN_A_ROW) return;
    this.standing.failed = true;
    this.leaveOut(`${this.standing.troubles} requests in a row failed, the last: ${message}`, "warn");
  }

  private reasonToLeaveOut(error: unknown): string | null {
    if (error instanceof ProviderRefusedError) return error.message;
    const code = error instanceof TenutoError ? error.code : null;
    return code === "quota_exhausted" || code === "budget_exhausted" || code === "circuit_open" ? code : null;
  }

  private leaveOut(reason: string, level: "info" | "warn"): void {
    if (!this.usable) return;
    this.stats.left_out = reason;
    this.ctx.log[level](`${this.name} is left out: ${reason}`, { provider: this.name });
  }
}

/** A provider that asks for patience (429) is well. */
function isTrouble({ code, ...rest }: { code: string; category?: string; retryable?: boolean }): boolean {
  return code !== "rate_limited" && (rest.retryable ?? rest.category === "retryable");
}

/** One session for each provider named, in order. */
export function openSessions<N extends ProviderName>(
  ctx: Context,
  names: readonly N[],
  env: Environment,
): (ProviderSession & { name: N })[] {
  return [...new Set(names)].map((name) => new ProviderSession(ctx, name, env) as ProviderSession & { name: N });
}

export function statsOf(sessions: readonly ProviderSession[]): Record<string, ProviderStats> {
  return Object.fromEntries(sessions.map(({ name, stats }) => [name, stats]));
}
