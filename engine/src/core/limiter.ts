/**
 * Rules of named limiters: rate, concurrency, quota, money budget and circuit breaker over one narrow row.
 *
 * Owner: core. Pure: the row and the time come in, a new row or a refusal goes out; a refusal changes nothing.
 * 1. Rate is GCRA in exact rational arithmetic: in any half-open window of W ms at most burst + W·count/perMs go.
 * 2. All parts of a spec apply together: either every part is booked or none.
 * 3. Money is counted in whole millionths, so that sums never drift.
 * 4. A clock that goes back a little only makes callers wait; one set back by over a minute shifts the row with it.
 * 5. While a breaker is open nothing passes; after it exactly one trial is out at a time.
 */
import { DAY_MS, dayOf, monthOf, nextDay, nextMonth } from "./calendar.ts";
import type { LimiterSpec } from "./document.ts";
import { TenutoError } from "./errors.ts";

/** State of one limiter, or of one key of it. Every field is one plain column of a ledger. */
export interface LimiterRow {
  /** As declared: `clearbit` or `host:*`. */
  name: string;
  /** What stood in place of `*`; empty otherwise. */
  key: string;
  /** GCRA: the theoretical arrival time of the next use in ms … */
  tat: number;
  /** … plus this many `count`-ths of a millisecond. */
  tatPart: number;
  holders: number;
  /** Calendar day (days since 1970) and month (months since 1970), UTC, that the counters belong to. */
  day: number;
  month: number;
  usedDay: number;
  usedMonth: number;
  /** In millionths of the unit. */
  spentDay: number;
  spentMonth: number;
  spentTotal: number;
  /** Failures in a row. */
  failures: number;
  /** 0 while the breaker is closed. Once past, one trial may go. */
  openUntil: number;
  /** 0, or the time until which the one trial is awaited. */
  trialUntil: number;
  /** Who makes the trial; empty if the caller gave no name. */
  trialHolder: string;
  /** The latest time seen; tells a clock that was set back. */
  seenAt: number;
}

/** Why a caller may not go now. `retryAt` is the earliest time worth asking again; null means never under this spec. */
export interface Refusal {
  ok: false;
  wait: "rate" | "concurrency" | "quota" | "breaker" | "budget";
  retryAt: number | null;
  code?: "quota_exhausted" | "circuit_open" | "budget_exhausted";
}

/** `goAt` is when the caller may go; `trial` says that it is the breaker's one trial and must report its outcome. */
export interface Admission {
  ok: true;
  row: LimiterRow;
  goAt: number;
  trial: boolean;
}

export interface HolderOptions {
  /** Identity of the caller, so that only the trial's own outcome decides over the breaker. */
  holder?: string;
}

/** Releases wake waiters; this is only how soon one that missed the wake looks again. */
export const CONCURRENCY_RETRY_MS = 1_000;
/** A reservation used later than this is not valid any more: late goers would bunch up and break the rate. */
export const RESERVATION_GRACE_MS = 100;
/** Going back by more than this is a clock that was set; less is skew between readers. */
const CLOCK_SET_BACK_MS = 60_000;
const MILLIONTHS = 1_000_000;

/** A limiter that was never used. */
export function newLimiter(name: string, key: string, at: number): LimiterRow {
  return {
    name,
    key,
    tat: at,
    tatPart: 0,
    holders: 0,
    day: dayOf(at),
    month: monthOf(at),
    usedDay: 0,
    usedMonth: 0,
    spentDay: 0,
    spentMonth: 0,
    spentTotal: 0,
    failures: 0,
    openUntil: 0,
    trialUntil: 0,
    trialHolder: "",
    seenAt: at,
  };
}

/** Passes now or is refused; takes one use of rate, quota and concurrency. `release` gives the holder back. */
export function acquire(
  spec: LimiterSpec,
  row: LimiterRow,
  at: number,
  options: HolderOptions = {},
): Admission | Refusal {
  return admit(spec, row, at, options, false);
}

/**
 * Like `acquire`, but a caller that the rate does not let go yet is given its own future time instead of a refusal,
 * so that many waiters are spaced and the rate is used fully. Wait until `goAt`, then `confirm`. The concurrency
 * holder is taken at once: were it taken at `goAt`, callers held up there could go together and break the rate.
 */
export function reserve(
  spec: LimiterSpec,
  row: LimiterRow,
  at: number,
  options: HolderOptions = {},
): Admission | Refusal {
  return admit(spec, row, at, options, true);
}

/**
 * Asks at `goAt` whether a reservation still holds. Refused when the breaker opened meanwhile (release the holder);
 * when the caller comes too late it is given a new `goAt`, and waits and confirms again if that lies ahead.
 */
export function confirm(
  spec: LimiterSpec,
  row: LimiterRow,
  at: number,
  reservation: { goAt: number; trial?: boolean; holder?: string },
): Admission | Refusal {
  const next = settled(row, at);
  let trial = reservation.trial ?? false;
  if (spec.breaker !== undefined && !trial) {
    const blockedUntil = breakerBlocks(next, at);
    if (blockedUntil !== null) return { ok: false, wait: "breaker", retryAt: blockedUntil, code: "circuit_open" };
    trial = next.openUntil !== 0;
  }
  let goAt = reservation.goAt;
  if (at < goAt) return { ok: true, row: next, goAt, trial };
  if (at > goAt + RESERVATION_GRACE_MS && spec.rate !== undefined) {
    goAt = Math.max(at, earliest(spec.rate, next));
    advance(spec.rate, next, at);
  } else {
    goAt = at;
  }
  if (trial) takeTrial(spec, next, goAt, reservation.holder);
  return { ok: true, row: next, goAt, trial };
}

/** Gives a concurrency holder back. */
export function release(spec: LimiterSpec, row: LimiterRow): LimiterRow {
  if (spec.concurrency === undefined || row.holders === 0) return row;
  return { ...row, holders: row.holders - 1 };
}

/** Books money before it is spent. Refused whole, with the time when the exhausted budget renews. */
export function spend(
  spec: LimiterSpec,
  row: LimiterRow,
  amount: number,
  at: number,
): { ok: true; row: LimiterRow } | Refusal {
  if (!Number.isFinite(amount) || amount < 0) {
    throw new TenutoError("invalid_input", `cannot spend ${amount} from limiter ${JSON.stringify(row.name)}`, {
      hint: "Give an amount of 0 or more, in the unit of the limiter's budget.",
    });
  }
  const next = settled(row, at);
  const sum = Math.ceil(amount * MILLIONTHS - 1e-6);
  const budget = spec.budget ?? {};
  const retryAt = renewal(next, at, sum, [
    { limit: millionths(budget.day), used: next.spentDay, renews: "day" },
    { limit: millionths(budget.month), used: next.spentMonth, renews: "month" },
    { limit: millionths(budget.total), used: next.spentTotal, renews: "never" },
  ]);
  if (retryAt !== "enough") return { ok: false, wait: "budget", retryAt, code: "budget_exhausted" };
  next.spentDay += sum;
  next.spentMonth += sum;
  next.spentTotal += sum;
  return { ok: true, row: next };
}

/** Tells the breaker how a call went. `change` is null when its state stays. */
export function reportOutcome(
  spec: LimiterSpec,
  row: LimiterRow,
  ok: boolean,
  at: number,
  options: HolderOptions = {},
): { row: LimiterRow; change: "opened" | "closed" | "reopened" | null } {
  if (spec.breaker === undefined) return { row, change: null };
  const next = settled(row, at);
  const openMs = spec.breaker.openSeconds * 1_000;
  if (next.openUntil === 0) {
    next.failures = ok ? 0 : next.failures + 1;
    if (next.failures < spec.breaker.failures) return { row: next, change: null };
    next.openUntil = at + openMs;
    return { row: next, change: "opened" };
  }
  // Calls that began before the breaker opened report late; only the trial decides.
  const isTrial =
    next.trialUntil !== 0 &&
    (next.trialHolder === "" || options.holder === undefined || next.trialHolder === options.holder);
  if (!isTrial) return { row: next, change: null };
  next.trialUntil = 0;
  next.trialHolder = "";
  next.failures = ok ? 0 : next.failures + 1;
  next.openUntil = ok ? 0 : at + openMs;
  return { row: next, change: ok ? "closed" : "reopened" };
}

/** The breaker as people see it. `trial`: the next caller is, or one caller is at present, the trial. */
export function breakerState(row: LimiterRow, at: number): "closed" | "open" | "trial" {
  if (row.openUntil === 0) return "closed";
  return at < row.openUntil ? "open" : "trial";
}

/** Finds the spec for `name` or `name:key`; an exact declaration wins, then the longest `prefix:*`. Null if there is none. */
export function parseLimiterName(
  text: string,
  specs: { readonly [name: string]: LimiterSpec },
): { name: string; key: string; spec: LimiterSpec } | null {
  if (Object.hasOwn(specs, text) && !text.endsWith(":*")) return { name: text, key: "", spec: specs[text]! };
  for (let colon = text.lastIndexOf(":"); colon > 0; colon = text.lastIndexOf(":", colon - 1)) {
    const name = `${text.slice(0, colon)}:*`;
    const key = text.slice(colon + 1);
    if (key !== "" && Object.hasOwn(specs, name)) return { name, key, spec: specs[name]! };
  }
  return null;
}

/** What is wrong with the figures of a spec, each as `path: fault`; empty if nothing is. */
export function limiterFaults(spec: LimiterSpec): string[] {
  const faults: string[] = [];
  const need = (path: string, value: number | undefined, kind: "whole" | "positive" | "money") => {
    if (value === undefined) return;
    if (kind === "whole" && !(Number.isSafeInteger(value) && value >= 1))
      faults.push(`${path}: must be a whole number of 1 or more`);
    if (kind === "positive" && !(Number.isFinite(value) && value > 0)) faults.push(`${path}: must be above 0`);
    if (kind === "money" && !(value >= 0 && value <= 1e9)) faults.push(`${path}: must be from 0 to 1,000,000,000`);
  };
  need("rate.count", spec.rate?.count, "positive");
  need("rate.perSeconds", spec.rate?.perSeconds, "positive");
  need("rate.burst", spec.rate?.burst, "whole");
  need("concurrency", spec.concurrency, "whole");
  need("quota.day", spec.quota?.day, "whole");
  need("quota.month", spec.quota?.month, "whole");
  for (const part of ["day", "month", "total"] as const) need(`budget.${part}`, spec.budget?.[part], "money");
  need("breaker.failures", spec.breaker?.failures, "whole");
  need("breaker.openSeconds", spec.breaker?.openSeconds, "positive");
  if (Object.values(spec).every((part) => part === undefined))
    faults.push("a limiter must limit something: rate, concurrency, quota, budget or breaker");
  return faults;
}

function admit(
  spec: LimiterSpec,
  row: LimiterRow,
  at: number,
  options: HolderOptions,
  mayWait: boolean,
): Admission | Refusal {
  const next = settled(row, at);
  const blockedUntil = spec.breaker === undefined ? null : breakerBlocks(next, at);
  if (blockedUntil !== null) return { ok: false, wait: "breaker", retryAt: blockedUntil, code: "circuit_open" };
  const renews = renewal(next, at, 1, [
    { limit: spec.quota?.day, used: next.usedDay, renews: "day" },
    { limit: spec.quota?.month, used: next.usedMonth, renews: "month" },
  ]);
  if (renews !== "enough") return { ok: false, wait: "quota", retryAt: renews, code: "quota_exhausted" };
  if (spec.concurrency !== undefined && next.holders >= spec.concurrency)
    return { ok: false, wait: "concurrency", retryAt: at + CONCURRENCY_RETRY_MS };
  let goAt = at;
  if (spec.rate !== undefined) {
    goAt = Math.max(at, earliest(spec.rate, next));
    if (goAt > at && !mayWait) return { ok: false, wait: "rate", retryAt: goAt };
    // A use booked on this day's quota must not happen on the next day, which has its own.
    if (spec.quota !== undefined && dayOf(goAt) > next.day)
      return { ok: false, wait: "rate", retryAt: (next.day + 1) * DAY_MS };
    advance(spec.rate, next, at);
  }
  if (spec.concurrency !== undefined) next.holders += 1;
  next.usedDay += 1;
  next.usedMonth += 1;
  const trial = spec.breaker !== undefined && next.openUntil !== 0;
  if (trial) takeTrial(spec, next, goAt, options.holder);
  return { ok: true, row: next, goAt, trial };
}

/** A copy of the row brought to `at`: counters of past days and months are cleared, a clock set back is followed. */
function settled(row: LimiterRow, at: number): LimiterRow {
  const next = { ...row };
  const back = row.seenAt - at;
  if (back > CLOCK_SET_BACK_MS) {
    next.tat -= back;
    if (next.openUntil !== 0) next.openUntil -= back;
    if (next.trialUntil !== 0) next.trialUntil -= back;
    next.seenAt = at;
    next.day = dayOf(at);
    next.month = monthOf(at);
    return next;
  }
  next.seenAt = Math.max(row.seenAt, at);
  const day = dayOf(at);
  if (day > row.day) {
    next.day = day;
    next.usedDay = 0;
    next.spentDay = 0;
  }
  const month = monthOf(at);
  if (month > row.month) {
    next.month = month;
    next.usedMonth = 0;
    next.spentMonth = 0;
  }
  return next;
}

/** Until when the breaker lets nobody pass, or null. A trial that never reports is given up after the open time. */
function breakerBlocks(row: LimiterRow, at: number): number | null {
  if (row.openUntil === 0) return null;
  if (at < row.openUntil) return row.openUntil;
  return at < row.trialUntil ? row.trialUntil : null;
}

function takeTrial(spec: LimiterSpec, row: LimiterRow, goAt: number, holder: string | undefined): void {
  row.trialUntil = goAt + (spec.breaker?.openSeconds ?? 0) * 1_000;
  row.trialHolder = holder ?? "";
}

/** Time between two uses as `whole` ms and `rest`/`count` ms, exact for whole figures. */
function interval(rate: NonNullable<LimiterSpec["rate"]>): { whole: number; rest: number; count: number } {
  const exact = Number.isInteger(rate.count) && Number.isInteger(rate.perSeconds * 1_000);
  const scale = exact ? 1 : 1_000_000;
  const count = Math.max(1, Math.round(rate.count * scale));
  const perMs = Math.round(rate.perSeconds * 1_000 * scale);
  return { whole: Math.floor(perMs / count), rest: perMs % count, count };
}

/** The first whole millisecond at which the next use conforms: the arrival time less (burst − 1) intervals. */
function earliest(rate: NonNullable<LimiterSpec["rate"]>, row: LimiterRow): number {
  const { whole, rest, count } = interval(rate);
  const ahead = (rate.burst ?? 1) - 1;
  const part = row.tatPart - ((rest * ahead) % count);
  const ms = row.tat - whole * ahead - Math.floor((rest * ahead) / count);
  return part > 0 ? ms + 1 : ms;
}

function advance(rate: NonNullable<LimiterSpec["rate"]>, row: LimiterRow, at: number): void {
  const { whole, rest, count } = interval(rate);
  if (row.tat < at) {
    row.tat = at;
    row.tatPart = 0;
  }
  const part = row.tatPart + rest;
  row.tat += whole + Math.floor(part / count);
  row.tatPart = part % count;
}

type Allowance = { limit: number | undefined; used: number; renews: "day" | "month" | "never" };

/** `enough`, or when all exhausted allowances have renewed; null when one never gives as much. */
function renewal(row: LimiterRow, at: number, amount: number, allowances: Allowance[]): number | null | "enough" {
  // After a small step back the counters still belong to the later day.
  const now = Math.max(at, row.seenAt);
  let latest: number | "enough" = "enough";
  for (const { limit, used, renews } of allowances) {
    if (limit === undefined || used + amount <= limit) continue;
    if (renews === "never" || amount > limit) return null;
    const at = renews === "day" ? nextDay(now) : nextMonth(now);
    if (latest === "enough" || at > latest) latest = at;
  }
  return latest;
}

function millionths(value: number | undefined): number | undefined {
  return value === undefined ? undefined : Math.round(value * MILLIONTHS);
}
