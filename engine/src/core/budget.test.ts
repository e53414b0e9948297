/** Rules of budgets: what is reserved is given back or booked once, and no order of calls gets past a limit. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { CallPlan, CallUsage, RunUsageRow, UsageRow, UsageSlice } from "./budget.ts";
import { costOf, reserveCall, settleCall, usageId } from "./budget.ts";
import type { LlmBudget } from "./llm.ts";

const PRICE = { input: 3, output: 15 };
const plan = (job: number, key: string, more: Partial<CallPlan> = {}): CallPlan => ({
  run: 1,
  job,
  item: -1,
  key,
  model: "m",
  inputTokens: 1_000,
  maxOutputTokens: 500,
  price: PRICE,
  budget: {},
  ...more,
});
const usage = (inputTokens: number, outputTokens: number): CallUsage => ({
  inputTokens,
  outputTokens,
  cacheReadTokens: 0,
  cacheWriteTokens: 0,
});

/** The two tables, changed by effects as a ledger would. */
class Tables {
  run: RunUsageRow | null = null;
  readonly calls = new Map<string, UsageRow>();

  slice(of: CallPlan): UsageSlice {
    return { records: [this.run, this.calls.get(usageId(of)) ?? null] };
  }

  reserve(of: CallPlan, at = 0) {
    return this.take(reserveCall(this.slice(of), of, at));
  }

  settle(of: CallPlan, outcome: CallUsage | "refused" | null, at = 0) {
    return this.take(settleCall(this.slice(of), of, outcome, at));
  }

  private take<V extends { ok: boolean; effects?: readonly any[] }>(verdict: V): V {
    for (const { table, row } of verdict.effects ?? []) {
      if (table === "run_usage") this.run = row;
      else this.calls.set(row.id, row);
    }
    return verdict;
  }
}

describe("a limit", () => {
  const refused = (budget: LlmBudget, prepare: (tables: Tables) => void, at = 0) => {
    const tables = new Tables();
    prepare(tables);
    return tables.reserve(plan(2, "model:9", { budget }), at);
  };
  const spent = (tables: Tables) => {
    tables.reserve(plan(1, "model:1"));
    tables.settle(plan(1, "model:1"), usage(10_000, 2_000));
  };

  it.each([
    ["tokens", { tokens: 12_500 }, "budget of tokens is used up: 12000 of 12500"],
    ["cost", { cost: 0.061 }, "budget of cost is used up: 0.06 of 0.061"],
    ["calls", { calls: 1 }, "budget of calls is used up: 1 of 1"],
    ["wallSeconds", { wallSeconds: 5 }, "budget of wall time is used up: 6 of 5 s"],
  ] as const)("of %s is named when it is used up", (name, budget, message) => {
    const verdict = refused(budget, spent, 6_000);
    expect(verdict).toMatchObject({ ok: false, code: "budget_exhausted", details: { budget: name } });
    expect((verdict as { message: string }).message).toContain(message);
  });

  it("counts calls of other jobs that are under way", () => {
    const underWay = (tables: Tables) => void tables.reserve(plan(1, "model:1"));
    expect(refused({ calls: 1 }, underWay).ok).toBe(false);
    expect(refused({ tokens: 2_900 }, underWay)).toMatchObject({ ok: true, result: { maxOutputTokens: 400 } });
    expect(refused({ tokens: 2_600 }, underWay).ok).toBe(false);
  });

  it("shortens the last answer instead of refusing it", () => {
    expect(refused({ tokens: 13_200 }, spent)).toMatchObject({ ok: true, result: { maxOutputTokens: 200 } });
    // 0.06 spent; 1,000 tokens in may cost 0.00375; 0.00225 are left for the answer.
    expect(refused({ cost: 0.066 }, spent)).toMatchObject({ ok: true, result: { maxOutputTokens: 150 } });
  });

  it("of wall time bounds the call itself", () => {
    expect(refused({ wallSeconds: 10 }, spent, 4_000)).toMatchObject({ ok: true, result: { leftMs: 6_000 } });
  });
});

it("a call that is asked for again while it is open was lost with its worker, and is booked with its reservation", () => {
  const tables = new Tables();
  tables.reserve(plan(1, "model:1"));
  tables.reserve(plan(1, "model:1"));
  expect(tables.run).toMatchObject({ calls: 1, lostCalls: 1, openCalls: 1, openTokens: 1_500, inputTokens: 1_500 });
  tables.settle(plan(1, "model:1"), usage(900, 50));
  expect(tables.run).toMatchObject({
    calls: 2,
    lostCalls: 1,
    openCalls: 0,
    openTokens: 0,
    openCost: 0,
    outputTokens: 50,
  });
  expect(tables.calls.get("1/-1/model:1")).toMatchObject({ state: "answered", tries: 2, outputTokens: 50 });
});

it("a refused call costs nothing but counts as one; booking twice changes nothing", () => {
  const tables = new Tables();
  tables.reserve(plan(1, "model:1"));
  tables.settle(plan(1, "model:1"), "refused");
  const before = structuredClone(tables.run);
  expect(before).toMatchObject({ calls: 1, inputTokens: 0, cost: 0, openTokens: 0 });
  tables.settle(plan(1, "model:1"), usage(5, 5));
  expect(tables.run).toEqual(before);
});

it("prices cached tokens by their own price", () => {
  const cached = { inputTokens: 1_000, outputTokens: 10, cacheReadTokens: 600, cacheWriteTokens: 100 };
  expect(costOf(cached, { ...PRICE, cacheRead: 0.3 })).toBe(Math.ceil(300 * 3 + 600 * 0.3 + 100 * 3.75 + 10 * 15));
  expect(costOf(cached, PRICE)).toBe(300 * 3 + 600 * 3 + 100 * 3.75 + 10 * 15);
  expect(costOf(cached, null)).toBe(0);
});

it("no order of calls, answers and crashes gets past a limit or leaves a reservation behind", () => {
  const step = fc.record({
    job: fc.integer({ min: 1, max: 4 }),
    what: fc.constantFrom("ask", "answer", "refuse", "lose", "crash"),
    share: fc.double({ min: 0, max: 1, noNaN: true }),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), fc.integer({ min: 1_500, max: 20_000 }), (steps, tokens) => {
      const tables = new Tables();
      const budget = { tokens, cost: tokens / 200_000, calls: 12 };
      const turn = new Map<number, { number: number; grant: number | null }>();
      for (const { job, what, share } of steps) {
        const state = turn.get(job) ?? { number: 1, grant: null };
        turn.set(job, state);
        const of = plan(job, `model:${state.number}`, { budget });
        if (what === "ask" || what === "crash") {
          // After a crash the same key is asked for again, whatever became of it.
          if (state.grant !== null && what === "ask") continue;
          const verdict = tables.reserve(of);
          state.grant = verdict.ok ? (verdict.result?.maxOutputTokens ?? 0) : null;
        } else if (state.grant !== null) {
          const outcome =
            what === "answer" ? usage(1_000, Math.floor(state.grant * share)) : what === "refuse" ? "refused" : null;
          tables.settle(of, outcome);
          state.number += 1;
          state.grant = null;
        }
        const { run } = tables;
        if (run === null) continue;
        expect(run.inputTokens + run.outputTokens + run.openTokens).toBeLessThanOrEqual(tokens);
        expect((run.cost + run.openCost) / 1e6).toBeLessThanOrEqual(budget.cost + 1e-6);
        expect(run.calls + run.openCalls).toBeLessThanOrEqual(12);
        const open = [...tables.calls.values()].filter((row) => row.state === "open");
        expect(run.openCalls).toBe(open.length);
        expect(run.openTokens).toBe(open.reduce((sum, row) => sum + row.reservedTokens, 0));
        expect(run.openCost).toBe(open.reduce((sum, row) => sum + row.reservedCost, 0));
      }
    }),
    { numRuns: 500, seed: 7 },
  );
});
