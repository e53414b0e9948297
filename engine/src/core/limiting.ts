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
import type { JobRow, JobSeq, WindowRow } from "./model.ts";

export interface LimiterName {
  name: string;
  key: string;
  spec: LimiterSpec;
}

interface LimiterSlice {
  state: LimiterState | null;
  job: JobRow | null;
  window: WindowRow | null;
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

const select = (limiter: LimiterName, holder: Holder) => ({
  kind: "limiter" as const,
  name: limiter.name,
  key: limiter.key,
  job: holder.job,
  window: holder.window ?? null,
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
  /** Start of the window that the item is in; it carries the item's lease. */
  window?: number;
}

/** A holder whose lease is gone takes nothing any more. */
function lost(slice: LimiterSlice, holder: Holder) {
  const { job, window } = slice;
  const { epoch, boot } = holder.lease;
  if (job === null) return null;
  const held =
    holder.item < 0
      ? job.state === "running" && job.epoch === epoch && job.boot === boot
      : holder.window === undefined || (window !== null && window.epoch === epoch && window.boot === boot);
  return held ? null : leaseLost(job, epoch);
}

/** Asks a limiter to let one use go, now (`reservation` false) or at a time of its own. */
export const passLimiter = (limiter: LimiterName, holder: Holder, reservation: boolean) => ({
  select: select(limiter, holder),
  decide: (slice: LimiterSlice, at: number): Verdict<Permission> => {
    const refused = lost(slice, holder);
    if (refused !== null) return refused;
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
  select: select(limiter, holder),
  decide: (slice: LimiterSlice, at: number): Verdict<Permission> => {
    const refused = lost(slice, holder);
    if (refused !== null) return refused;
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
  select: select(limiter, holder),
  decide: (slice: LimiterSlice, at: number): Verdict<Permission> => {
    const refused = lost(slice, holder);
    if (refused !== null) return refused;
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
  select: select(limiter, holder),
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
