import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { dayOf, monthOf, nextDay, nextMonth } from "./calendar.ts";
import type { LimiterSpec } from "./document.ts";
import {
  acquire,
  breakerState,
  confirm,
  type LimiterRow,
  limiterFaults,
  newLimiter,
  parseLimiterName,
  release,
  reportOutcome,
  reserve,
  spend,
} from "./limiter.ts";

const NOON = Date.UTC(2026, 1, 28, 12);

type Rate = NonNullable<LimiterSpec["rate"]>;

const rates = fc.record({
  count: fc.integer({ min: 1, max: 700 }),
  perSeconds: fc.constantFrom(0.25, 1, 2, 7, 60, 3_600),
  burst: fc.integer({ min: 1, max: 12 }),
});

/** Every half-open window [from, from + W) that begins and ends at a pass holds at most burst + W·rate; in BigInt. */
function worstExcess(rate: Rate, passes: number[]): bigint {
  const times = [...passes].sort((a, b) => a - b);
  const perMs = BigInt(rate.perSeconds * 1_000);
  const count = BigInt(rate.count);
  let worst = -(1n << 60n);
  for (let first = 0; first < times.length; first++) {
    for (let last = first; last < times.length; last++) {
      const window = BigInt(times[last]! - times[first]! + 1);
      const excess = (BigInt(last - first + 1) - BigInt(rate.burst ?? 1)) * perMs - window * count;
      if (excess > worst) worst = excess;
    }
  }
  return worst;
}

/** A token bucket in exact fractions, written without GCRA: the reference. */
function bucket(rate: Rate) {
  const perMs = BigInt(rate.perSeconds * 1_000);
  const full = BigInt(rate.burst ?? 1) * perMs;
  let tokens = full;
  let last = 0;
  return (at: number): boolean => {
    tokens += BigInt(at - last) * BigInt(rate.count);
    if (tokens > full) tokens = full;
    last = at;
    if (tokens < perMs) return false;
    tokens -= perMs;
    return true;
  };
}

describe("rate", () => {
  it("decides exactly as a token bucket in exact fractions", () => {
    fc.assert(
      fc.property(rates, fc.array(fc.integer({ min: 0, max: 40 }), { minLength: 1, maxLength: 150 }), (rate, gaps) => {
        const reference = bucket(rate);
        let row = newLimiter("r", "", 0);
        let at = 0;
        for (const gap of gaps) {
          at += gap;
          const answer = acquire({ rate }, row, at);
          expect(answer.ok).toBe(reference(at));
          if (answer.ok) row = answer.row;
        }
      }),
    );
  });

  it("never lets more pass than burst + rate·W in any window, whoever asks when, even with a clock that jitters", () => {
    const steps = fc.array(
      fc.record({ gap: fc.integer({ min: -50, max: 60 }), reserves: fc.boolean(), callers: fc.nat(5) }),
      { maxLength: 40 },
    );
    fc.assert(
      fc.property(rates, steps, (rate, asks) => {
        let row = newLimiter("r", "", NOON);
        let at = NOON;
        const passes: number[] = [];
        for (const { gap, reserves, callers } of asks) {
          at += gap;
          for (let caller = 0; caller <= callers; caller++) {
            const answer = (reserves ? reserve : acquire)({ rate }, row, at);
            if (!answer.ok) continue;
            passes.push(answer.goAt);
            row = answer.row;
          }
        }
        expect(worstExcess(rate, passes) <= 0n).toBe(true);
      }),
    );
  });

  it("gives retryAt as the first millisecond that passes", () => {
    fc.assert(
      fc.property(rates, fc.nat(30), (rate, used) => {
        let row = newLimiter("r", "", NOON);
        for (let use = 0; use < used + rate.burst; use++) {
          const answer = reserve({ rate }, row, NOON);
          if (answer.ok) row = answer.row;
        }
        const refused = acquire({ rate }, row, NOON);
        if (refused.ok) return;
        expect(refused.retryAt).toBeGreaterThan(NOON);
        expect(acquire({ rate }, row, refused.retryAt!).ok).toBe(true);
        expect(acquire({ rate }, row, refused.retryAt! - 1).ok).toBe(false);
      }),
    );
  });

  it.each([
    [200, 1],
    [3, 1],
    [150, 1],
    [30_000, 1],
    [60, 60],
    [0.5, 1],
    [1, 0.0015],
  ])("spaces 5,000 waiters of %d per %d s so that throughput is the rate", (count, perSeconds) => {
    const rate = { count, perSeconds };
    let row = newLimiter("r", "", NOON);
    let last = 0;
    for (let caller = 0; caller <= 5_000; caller++) {
      const answer = reserve({ rate }, row, NOON);
      if (!answer.ok) throw new Error("a reservation was refused");
      expect(answer.goAt).toBeGreaterThanOrEqual(last);
      last = answer.goAt;
      row = answer.row;
    }
    const ideal = (5_000 * perSeconds * 1_000) / count;
    expect(Math.abs(last - NOON - ideal)).toBeLessThanOrEqual(1);
  });

  it("gives a reservation that is used late a new place, and only waits for one that is early", () => {
    const spec = { rate: { count: 10, perSeconds: 1 } };
    let row = newLimiter("r", "", NOON);
    const reservations = Array.from({ length: 20 }, () => {
      const answer = reserve(spec, row, NOON);
      if (!answer.ok) throw new Error("refused");
      row = answer.row;
      return answer;
    });
    expect(confirm(spec, row, NOON + 50, reservations[1]!)).toMatchObject({ ok: true, goAt: NOON + 100 });
    expect(confirm(spec, row, NOON + 130, reservations[1]!)).toMatchObject({ ok: true, goAt: NOON + 130 });
    const passes: number[] = [];
    for (const reservation of reservations) {
      const answer = confirm(spec, row, NOON + 10_000, reservation);
      if (!answer.ok) throw new Error("refused");
      row = answer.row;
      passes.push(answer.goAt);
    }
    expect(worstExcess(spec.rate, passes) <= 0n).toBe(true);
  });

  it("follows a clock that was set back without standing still and without a free burst", () => {
    const spec = { rate: { count: 1, perSeconds: 1 } };
    const first = acquire(spec, newLimiter("r", "", NOON), NOON);
    if (!first.ok) throw new Error("refused");
    const yesterday = NOON - 86_400_000;
    expect(acquire(spec, first.row, yesterday)).toMatchObject({ ok: false, retryAt: yesterday + 1_000 });
    expect(acquire(spec, first.row, NOON - 30)).toMatchObject({ ok: false, retryAt: NOON + 1_000 });
  });
});

describe("concurrency", () => {
  it("never has more holders than allowed, and takes nothing when refused", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 5 }), fc.array(fc.boolean(), { maxLength: 60 }), (limit, moves) => {
        const spec: LimiterSpec = { concurrency: limit, rate: { count: 1_000, perSeconds: 1, burst: 1_000 } };
        let row = newLimiter("c", "", NOON);
        let held = 0;
        for (const take of moves) {
          if (take) {
            const before = { ...row };
            const answer = acquire(spec, row, NOON);
            expect(answer.ok).toBe(held < limit);
            expect(row).toEqual(before);
            if (answer.ok) {
              row = answer.row;
              held += 1;
            }
          } else {
            row = release(spec, row);
            held = Math.max(0, held - 1);
          }
          expect(row.holders).toBe(held);
        }
      }),
    );
  });
});

describe("quota and budget", () => {
  it("renews at midnight and at the first of the month, and names the time", () => {
    const spec: LimiterSpec = { quota: { day: 2, month: 3 } };
    let row = newLimiter("q", "", NOON);
    const use = (at: number) => {
      const answer = acquire(spec, row, at);
      if (answer.ok) row = answer.row;
      return answer;
    };
    expect(use(NOON).ok && use(NOON).ok).toBe(true);
    const midnight = Date.UTC(2026, 2, 1);
    expect(use(NOON)).toEqual({ ok: false, wait: "quota", retryAt: midnight, code: "quota_exhausted" });
    expect(use(NOON - 5).ok).toBe(false);
    expect(use(midnight).ok && use(midnight).ok).toBe(true);
    expect(use(midnight)).toMatchObject({ retryAt: Date.UTC(2026, 2, 2) });
    // A step back over midnight must not open the old day again, nor this one anew.
    expect(use(midnight - 1)).toMatchObject({ ok: false, retryAt: Date.UTC(2026, 2, 2) });
    expect(use(Date.UTC(2026, 2, 2)).ok).toBe(true);
    expect(use(Date.UTC(2026, 2, 2))).toMatchObject({ ok: false, retryAt: Date.UTC(2026, 3, 1) });
  });

  it("does not book a use on today's quota that would happen tomorrow", () => {
    const spec: LimiterSpec = { rate: { count: 1, perSeconds: 7_200 }, quota: { day: 10 } };
    let row = newLimiter("q", "", NOON);
    const times: number[] = [];
    for (let caller = 0; caller < 8; caller++) {
      const answer = reserve(spec, row, NOON);
      if (answer.ok) row = answer.row;
      times.push(answer.ok ? answer.goAt : answer.retryAt!);
    }
    expect(times.filter((at) => dayOf(at) === dayOf(NOON))).toHaveLength(6);
    expect(times.slice(6)).toEqual([nextDay(NOON), nextDay(NOON)]);
    expect(row.usedDay).toBe(6);
  });

  it("refuses before spending, adds 0.05 twenty times to exactly 1, and knows what never fits", () => {
    const spec: LimiterSpec = { budget: { day: 1, total: 1.5 } };
    let row = newLimiter("b", "", NOON);
    for (let call = 0; call < 20; call++) {
      const answer = spend(spec, row, 0.05, NOON);
      if (!answer.ok) throw new Error(`refused at ${call}`);
      row = answer.row;
    }
    expect(row.spentDay).toBe(1_000_000);
    expect(spend(spec, row, 0.000001, NOON)).toMatchObject({
      ok: false,
      code: "budget_exhausted",
      retryAt: nextDay(NOON),
    });
    const tomorrow = spend(spec, row, 0.5, nextDay(NOON));
    expect(tomorrow.ok).toBe(true);
    if (tomorrow.ok) expect(spend(spec, tomorrow.row, 0.1, nextDay(NOON))).toMatchObject({ retryAt: null });
    expect(spend(spec, newLimiter("b", "", NOON), 1.1, NOON)).toMatchObject({ ok: false, retryAt: null });
    expect(() => spend(spec, row, Number.NaN, NOON)).toThrow(/cannot spend NaN/);
    expect(() => spend(spec, row, -1, NOON)).toThrow(/cannot spend -1/);
  });

  it("never spends above the budget of a day, whatever the amounts", () => {
    fc.assert(
      fc.property(fc.array(fc.double({ min: 0, max: 2, noNaN: true }), { maxLength: 50 }), (amounts) => {
        let row = newLimiter("b", "", NOON);
        for (const amount of amounts) {
          const answer = spend({ budget: { day: 3 } }, row, amount, NOON);
          if (answer.ok) row = answer.row;
        }
        expect(row.spentDay).toBeLessThanOrEqual(3_000_000);
      }),
    );
  });
});

describe("breaker", () => {
  const spec: LimiterSpec = { breaker: { failures: 5, openSeconds: 60 } };

  function opened(): LimiterRow {
    let row = newLimiter("x", "", NOON);
    for (let failure = 1; failure <= 5; failure++) {
      const told = reportOutcome(spec, row, false, NOON);
      expect(told.change).toBe(failure === 5 ? "opened" : null);
      row = told.row;
    }
    return row;
  }

  it("opens after five failures in a row, and a success in between starts the count again", () => {
    let row = newLimiter("x", "", NOON);
    for (const ok of [false, false, false, false, true, false, false, false, false])
      row = reportOutcome(spec, row, ok, NOON).row;
    expect(breakerState(row, NOON)).toBe("closed");
    expect(breakerState(opened(), NOON + 59_999)).toBe("open");
    expect(acquire(spec, opened(), NOON + 59_999)).toEqual({
      ok: false,
      wait: "breaker",
      retryAt: NOON + 60_000,
      code: "circuit_open",
    });
  });

  it("lets exactly one trial through, which closes or reopens it; late reports of older calls decide nothing", () => {
    const at = NOON + 60_000;
    const trial = acquire(spec, opened(), at, { holder: "a" });
    if (!trial.ok) throw new Error("no trial");
    expect(trial.trial).toBe(true);
    for (let other = 0; other < 10; other++)
      expect(acquire(spec, trial.row, at + other, { holder: "b" })).toMatchObject({ ok: false, retryAt: at + 60_000 });
    expect(reportOutcome(spec, trial.row, true, at, { holder: "b" }).change).toBeNull();
    expect(reportOutcome(spec, trial.row, false, at, { holder: "b" }).change).toBeNull();
    const good = reportOutcome(spec, trial.row, true, at + 10, { holder: "a" });
    expect(good.change).toBe("closed");
    expect(acquire(spec, good.row, at + 10)).toMatchObject({ ok: true, trial: false });
    const bad = reportOutcome(spec, trial.row, false, at + 10, { holder: "a" });
    expect(bad.change).toBe("reopened");
    expect(acquire(spec, bad.row, at + 11)).toMatchObject({ ok: false, retryAt: at + 60_010 });
    expect(reportOutcome(spec, opened(), true, NOON + 5).change).toBeNull();
  });

  it("gives up a trial that never reports, and tells reservations that it opened", () => {
    const trial = acquire(spec, opened(), NOON + 60_000);
    if (!trial.ok) throw new Error("no trial");
    expect(acquire(spec, trial.row, NOON + 120_000)).toMatchObject({ ok: true, trial: true });
    const both: LimiterSpec = { ...spec, rate: { count: 1, perSeconds: 1 } };
    expect(confirm(both, opened(), NOON + 3_000, { goAt: NOON + 3_000 })).toMatchObject({
      ok: false,
      code: "circuit_open",
    });
    const first = confirm(both, opened(), NOON + 60_000, { goAt: NOON + 60_000, holder: "a" });
    expect(first).toMatchObject({ ok: true, trial: true });
    if (first.ok)
      expect(confirm(both, first.row, NOON + 60_001, { goAt: NOON + 60_000, holder: "b" })).toMatchObject({
        ok: false,
      });
  });
});

describe("names, calendar and figures", () => {
  it("finds exact names first, then the longest prefix", () => {
    const specs = { clearbit: { concurrency: 1 }, "host:*": { concurrency: 2 }, "host:a:*": { concurrency: 3 } };
    expect(parseLimiterName("clearbit", specs)).toMatchObject({ name: "clearbit", key: "" });
    expect(parseLimiterName("host:example.com", specs)).toMatchObject({ name: "host:*", key: "example.com" });
    expect(parseLimiterName("host:example.com:8080", specs)).toMatchObject({ name: "host:*", key: "example.com:8080" });
    expect(parseLimiterName("host:a:b", specs)).toMatchObject({ name: "host:a:*", key: "b" });
    for (const unknown of ["host", "host:", "other", ":x", "toString", "constructor:x", ""])
      expect(parseLimiterName(unknown, specs)).toBeNull();
  });

  it("agrees with Date over 800 years", () => {
    fc.assert(
      fc.property(fc.integer({ min: Date.UTC(1800, 0, 1), max: Date.UTC(2600, 0, 1) }), (at) => {
        const date = new Date(at);
        expect(monthOf(at)).toBe((date.getUTCFullYear() - 1970) * 12 + date.getUTCMonth());
        expect(nextMonth(at)).toBe(Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + 1, 1));
        expect(nextDay(at)).toBe(Date.UTC(date.getUTCFullYear(), date.getUTCMonth(), date.getUTCDate() + 1));
      }),
      { numRuns: 2_000 },
    );
  });

  it("names every figure that makes no sense", () => {
    expect(limiterFaults({ rate: { count: 0, perSeconds: 1, burst: 1.5 }, concurrency: 0 })).toEqual([
      "rate.count: must be above 0",
      "rate.burst: must be a whole number of 1 or more",
      "concurrency: must be a whole number of 1 or more",
    ]);
    expect(limiterFaults({})).toHaveLength(1);
    expect(limiterFaults({ rate: { count: 1, perSeconds: 2 }, budget: { total: 0 } })).toEqual([]);
  });
});
