/**
 * Changes of limiters: the row of limiter.ts, held as JSON, together with the holders that attempts and items are.
 *
 * Invariant: the number of holders is recounted from rows that end with their attempt, so a death never leaks a slot.
 */
import type { LimiterState, Verdict } from "./decision.ts";
import { leaseLost } from "./decision.ts";
import type { LimiterSpec } from "./document.ts";
import type { Lease } from "./job.ts";
import { acquire, confirm, type LimiterRow, newLimiter, reportOutcome, reserve, spend } from "./limiter.ts";
import type { JobRow, JobSeq } from "./model.ts";

export interface LimiterName {
  name: string;
  key: string;
  spec: LimiterSpec;
}

interface LimiterSlice {
  state: LimiterState | null;
  job: JobRow | null;
  holders: number;
}

export type Permission =
  | { go: true; goAt: number; trial: boolean }
  /** `retryAt` 0: unknown, when a holder gives way. */
  | { go: false; wait: string; retryAt: number | null; code: string | null };

function rowOf(slice: LimiterSlice, limiter: LimiterName, at: number): LimiterRow {
  const row =
    slice.state === null ? newLimiter(limiter.name, limiter.key, at) : (JSON.parse(slice.state.data) as LimiterRow);
  return { ...row, holders: slice.holders };
}

const select = (limiter: LimiterName, job: JobSeq | null) => ({
  kind: "limiter" as const,
  name: limiter.name,
  key: limiter.key,
  job,
});
const stateOf = (limiter: LimiterName, row: LimiterRow): LimiterState => ({
  name: limiter.name,
  key: limiter.key,
  data: JSON.stringify(row),
});

export interface Holder {
  job: JobSeq;
  lease: Lease;
  /** -1 for the job itself. */
  item: number;
}

/** Asks a limiter to let one use go, now (`reservation` false) or at a time of its own. */
export const passLimiter = (limiter: LimiterName, holder: Holder, reservation: boolean) => ({
  select: select(limiter, holder.job),
  decide: (slice: LimiterSlice, at: number): Verdict<Permission> => {
    if (
      holder.item < 0 &&
      slice.job !== null &&
      (slice.job.state !== "running" || slice.job.epoch !== holder.lease.epoch)
    )
      return leaseLost(slice.job, holder.lease.epoch);
    const row = rowOf(slice, limiter, at);
    const name = holderName(holder);
    const answer = reservation
      ? reserve(limiter.spec, row, at, { holder: name })
      : acquire(limiter.spec, row, at, { holder: name });
    if (!answer.ok)
      return { ok: true, result: { go: false, wait: answer.wait, retryAt: answer.retryAt, code: answer.code ?? null } };
    const holds = limiter.spec.concurrency !== undefined;
    return {
      ok: true,
      ...(holds && slice.job !== null && slice.job.holding === 0 ? { job: { holding: 1 as const } } : {}),
      effects: [
        { type: "putLimiter", row: stateOf(limiter, answer.row) },
        ...(holds
          ? [
              {
                type: "hold" as const,
                limiter: limiter.name,
                key: limiter.key,
                job: holder.job,
                epoch: holder.lease.epoch,
                item: holder.item,
              },
            ]
          : []),
      ],
      result: { go: true, goAt: answer.goAt, trial: answer.trial },
    };
  },
});

/** Asks at the reserved time whether it still holds. */
export const confirmPass = (limiter: LimiterName, holder: Holder, reservation: { goAt: number; trial: boolean }) => ({
  select: select(limiter, holder.job),
  decide: (slice: LimiterSlice, at: number): Verdict<Permission> => {
    const answer = confirm(limiter.spec, rowOf(slice, limiter, at), at, { ...reservation, holder: holderName(holder) });
    if (!answer.ok)
      return { ok: true, result: { go: false, wait: answer.wait, retryAt: answer.retryAt, code: answer.code ?? null } };
    return {
      ok: true,
      effects: [{ type: "putLimiter", row: stateOf(limiter, answer.row) }],
      result: { go: true, goAt: answer.goAt, trial: answer.trial },
    };
  },
});

export const spendBudget = (limiter: LimiterName, holder: Holder, amount: number) => ({
  select: select(limiter, holder.job),
  decide: (slice: LimiterSlice, at: number): Verdict<Permission> => {
    const answer = spend(limiter.spec, rowOf(slice, limiter, at), amount, at);
    if (!answer.ok)
      return { ok: true, result: { go: false, wait: answer.wait, retryAt: answer.retryAt, code: answer.code ?? null } };
    return {
      ok: true,
      effects: [{ type: "putLimiter", row: stateOf(limiter, answer.row) }],
      result: { go: true, goAt: at, trial: false },
    };
  },
});

export const tellBreaker = (limiter: LimiterName, holder: Holder, ok: boolean) => ({
  select: select(limiter, holder.job),
  decide: (slice: LimiterSlice, at: number): Verdict<void> => {
    if (limiter.spec.breaker === undefined) return { ok: true };
    const { row } = reportOutcome(limiter.spec, rowOf(slice, limiter, at), ok, at, { holder: holderName(holder) });
    return { ok: true, effects: [{ type: "putLimiter", row: stateOf(limiter, row) }] };
  },
});

/** Gives back what an item, or a whole attempt (`item` null), holds. */
export const releaseHolder = (job: JobSeq, epoch: number, item: number | null) => ({
  select: { kind: "lease" as const, job },
  decide: (): Verdict<void> => ({
    ok: true,
    effects: [{ type: "release", limiter: null, key: null, job, epoch, item }],
  }),
});

function holderName(holder: Holder): string {
  return `${holder.job}.${holder.lease.epoch}.${holder.item}`;
}
