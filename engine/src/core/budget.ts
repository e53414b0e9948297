/**
 * Budgets of model calls over a run's whole tree: what is reserved before a call, and what is booked after it.
 *
 * Owner: core. Invariants:
 * 1. A call begins only when all that is spent, all that is reserved by calls under way, and its own estimate stay within
 *    every limit; the decision is made on the run's one row, so that two jobs can't both take the rest.
 * 2. What is reserved is always given back or booked, once: by the call's own row, whoever finds it.
 * 3. A call whose outcome nobody knows (a crash, a broken connection) is booked with all that it had reserved: the
 *    provider may have charged it. So limits hold over crashes too; a single answer can overshoot by what its estimate missed.
 * 4. Money is counted in whole millionths.
 */
import type { Verdict } from "./decision.ts";
import { reject } from "./decision.ts";
import type { LlmBudget, ModelPrice } from "./llm.ts";
import type { JobSeq, RunSeq } from "./model.ts";

/** Totals of one run. */
export interface RunUsageRow {
  /** The run's seq as text. */
  id: string;
  run: RunSeq;
  calls: number;
  /** Of these, calls without an answer, booked with what they had reserved. */
  lostCalls: number;
  inputTokens: number;
  outputTokens: number;
  /** In millionths. */
  cost: number;
  openCalls: number;
  openTokens: number;
  openCost: number;
  firstAt: number;
}

/** One model call: a step of a job. */
export interface UsageRow {
  /** `<job>/<item>/<key of the step>`. */
  id: string;
  run: RunSeq;
  job: JobSeq;
  item: number;
  key: string;
  model: string;
  /** `open` while it is under way; `refused` when the provider gave an error instead of an answer. */
  state: "open" | "answered" | "refused" | "lost";
  /** How often it was sent. */
  tries: number;
  /** What `open` has reserved. */
  reservedTokens: number;
  reservedCost: number;
  inputTokens: number;
  outputTokens: number;
  cacheReadTokens: number;
  cacheWriteTokens: number;
  cost: number;
  startedAt: number;
  endedAt: number | null;
}

export interface CallUsage {
  inputTokens: number;
  outputTokens: number;
  /** Parts of `inputTokens`. */
  cacheReadTokens: number;
  cacheWriteTokens: number;
}

export interface UsageTotals {
  calls: number;
  lostCalls: number;
  inputTokens: number;
  outputTokens: number;
  /** In the unit of the prices. */
  cost: number;
  firstAt: number | null;
}

/** What a call may use. */
export interface Grant {
  maxOutputTokens: number;
  /** Time until the wall-time budget ends; null without one. */
  leftMs: number | null;
}

export interface CallPlan {
  run: RunSeq;
  job: JobSeq;
  item: number;
  key: string;
  model: string;
  inputTokens: number;
  maxOutputTokens: number;
  price: ModelPrice | null;
  budget: LlmBudget;
}

/** An answer shorter than this is not worth a call. */
export const LEAST_OUTPUT_TOKENS = 128;
const MILLIONTHS = 1_000_000;

export const usageId = (plan: { job: JobSeq; item: number; key: string }): string =>
  `${plan.job}/${plan.item}/${plan.key}`;

export function noUsage(run: RunSeq, at: number): RunUsageRow {
  return {
    id: String(run),
    run,
    calls: 0,
    lostCalls: 0,
    inputTokens: 0,
    outputTokens: 0,
    cost: 0,
    openCalls: 0,
    openTokens: 0,
    openCost: 0,
    firstAt: at,
  };
}

/** Price of a call in millionths, rounded up. */
export function costOf(usage: CallUsage, price: ModelPrice | null): number {
  if (price === null) return 0;
  const plain = Math.max(0, usage.inputTokens - usage.cacheReadTokens - usage.cacheWriteTokens);
  const cost =
    plain * price.input +
    usage.cacheReadTokens * (price.cacheRead ?? price.input) +
    usage.cacheWriteTokens * (price.cacheWrite ?? 1.25 * price.input) +
    usage.outputTokens * price.output;
  return Math.ceil(cost - 1e-9);
}

export interface UsageSlice {
  records: [RunUsageRow | null, UsageRow | null];
}

/** Takes what the call may cost at most, or says which limit stands in its way. */
export function reserveCall(slice: UsageSlice, plan: CallPlan, at: number): Verdict<Grant> {
  const earlier = slice.records[1];
  const totals = bookedIfLost(slice.records[0] ?? noUsage(plan.run, at), earlier);
  const { budget, price } = plan;
  if (budget.calls !== undefined && totals.calls + totals.openCalls + 1 > budget.calls)
    return exhausted("calls", totals.calls + totals.openCalls, budget.calls, totals);
  const leftMs = budget.wallSeconds === undefined ? null : totals.firstAt + budget.wallSeconds * 1_000 - at;
  if (leftMs !== null && leftMs <= 0)
    return exhausted("wall time", (at - totals.firstAt) / 1_000, budget.wallSeconds!, totals);
  const output = allowedOutput(plan, totals);
  if (typeof output === "string") {
    const [used, limit] =
      output === "tokens"
        ? [totals.inputTokens + totals.outputTokens + totals.openTokens, budget.tokens!]
        : [(totals.cost + totals.openCost) / MILLIONTHS, budget.cost!];
    return exhausted(output, used, limit, totals);
  }
  const tokens = plan.inputTokens + output;
  const cost = worstCost(plan.inputTokens, output, price);
  const row: UsageRow = {
    id: usageId(plan),
    run: plan.run,
    job: plan.job,
    item: plan.item,
    key: plan.key,
    model: plan.model,
    state: "open",
    tries: (earlier?.tries ?? 0) + 1,
    reservedTokens: tokens,
    reservedCost: cost,
    inputTokens: 0,
    outputTokens: 0,
    cacheReadTokens: 0,
    cacheWriteTokens: 0,
    cost: 0,
    startedAt: at,
    endedAt: null,
  };
  return {
    ok: true,
    effects: [
      {
        type: "put",
        table: "run_usage",
        row: {
          ...totals,
          openCalls: totals.openCalls + 1,
          openTokens: totals.openTokens + tokens,
          openCost: totals.openCost + cost,
        },
      },
      { type: "put", table: "usage", row },
    ],
    result: { maxOutputTokens: output, leftMs },
  };
}

/** Books what a call took. `outcome` null stands for one whose outcome nobody knows. */
export function settleCall(
  slice: UsageSlice,
  plan: CallPlan,
  outcome: CallUsage | "refused" | null,
  at: number,
): Verdict<void> & { ok: true } {
  const [run, row] = slice.records;
  if (run === null || row === null || row.state !== "open") return { ok: true };
  const freed = freedFrom(run, row);
  const ended = { ...row, reservedTokens: 0, reservedCost: 0, endedAt: at };
  if (outcome === null) return books(bookedIfLost(run, row), { ...ended, state: "lost", ...lostUsage(row) });
  if (outcome === "refused") return books({ ...freed, calls: freed.calls + 1 }, { ...ended, state: "refused" });
  const cost = costOf(outcome, plan.price);
  return books(
    {
      ...freed,
      calls: freed.calls + 1,
      inputTokens: freed.inputTokens + outcome.inputTokens,
      outputTokens: freed.outputTokens + outcome.outputTokens,
      cost: freed.cost + cost,
    },
    { ...ended, state: "answered", ...outcome, cost },
  );
}

function books(totals: RunUsageRow, row: UsageRow): Verdict<void> & { ok: true } {
  return {
    ok: true,
    effects: [
      { type: "put", table: "run_usage", row: totals },
      { type: "put", table: "usage", row },
    ],
  };
}

function lostUsage(row: UsageRow): Pick<UsageRow, "inputTokens" | "cost"> {
  return { inputTokens: row.reservedTokens, cost: row.reservedCost };
}

function freedFrom(totals: RunUsageRow, row: UsageRow): RunUsageRow {
  return {
    ...totals,
    openCalls: totals.openCalls - 1,
    openTokens: totals.openTokens - row.reservedTokens,
    openCost: totals.openCost - row.reservedCost,
  };
}

/** A call that is still open when its key is asked for again ended with its worker. */
function bookedIfLost(totals: RunUsageRow, row: UsageRow | null): RunUsageRow {
  if (row?.state !== "open") return totals;
  const freed = freedFrom(totals, row);
  return {
    ...freed,
    calls: freed.calls + 1,
    lostCalls: freed.lostCalls + 1,
    inputTokens: freed.inputTokens + row.reservedTokens,
    cost: freed.cost + row.reservedCost,
  };
}

/** Tokens that the answer may have within tokens and money, or which of the two is used up. */
function allowedOutput(plan: CallPlan, totals: RunUsageRow): number | "tokens" | "cost" {
  const { budget, price } = plan;
  let output = plan.maxOutputTokens;
  const least = Math.min(LEAST_OUTPUT_TOKENS, output);
  if (budget.tokens !== undefined) {
    const left = budget.tokens - totals.inputTokens - totals.outputTokens - totals.openTokens - plan.inputTokens;
    if (left < least) return "tokens";
    output = Math.min(output, left);
  }
  if (budget.cost !== undefined && price !== null) {
    const left =
      Math.floor(budget.cost * MILLIONTHS) - totals.cost - totals.openCost - worstCost(plan.inputTokens, 0, price);
    if (left < least * price.output) return "cost";
    if (price.output > 0) output = Math.min(output, Math.floor(left / price.output));
  }
  return output;
}

/** As if all that is sent were written to the provider's cache, which is the dearest. */
function worstCost(inputTokens: number, outputTokens: number, price: ModelPrice | null): number {
  if (price === null) return 0;
  const perInput = Math.max(price.input, price.cacheWrite ?? 1.25 * price.input);
  return Math.ceil(inputTokens * perInput + outputTokens * price.output);
}

function exhausted(what: string, used: number, limit: number, totals: RunUsageRow): Verdict<Grant> {
  const round = (value: number) => Math.round(value * 1_000_000) / 1_000_000;
  return reject(
    "budget_exhausted",
    `the run's budget of ${what} is used up: ${round(used)} of ${round(limit)}${what === "wall time" ? " s" : ""} ` +
      `(calls under way included); the next call was not made`,
    {
      budget: what === "wall time" ? "wallSeconds" : what,
      used: round(used),
      limit: round(limit),
      calls: totals.calls,
      tokens: totals.inputTokens + totals.outputTokens,
      cost: round(totals.cost / MILLIONTHS),
    },
  );
}

export function totalsOf(row: RunUsageRow | null): UsageTotals {
  if (row === null) return { calls: 0, lostCalls: 0, inputTokens: 0, outputTokens: 0, cost: 0, firstAt: null };
  const { calls, lostCalls, inputTokens, outputTokens, firstAt } = row;
  return { calls, lostCalls, inputTokens, outputTokens, cost: row.cost / MILLIONTHS, firstAt };
}
