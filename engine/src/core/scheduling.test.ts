import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { LATE_MS, MAX_CAP, type MissedPolicy, scheduleKey, settleTimes } from "./scheduling.ts";

const HOUR = 3_600_000;
const NOW = 1_000 * HOUR;
const hoursAgo = (...hours: number[]) => hours.map((hour) => NOW - hour * HOUR);

describe("what times that have come up lead to", () => {
  const settle = (missed: MissedPolicy, times: number[], cap = 100) => settleTimes({ missed, cap }, times, NOW);

  test("what is due now is started under any policy", () => {
    for (const missed of ["skip", "last", "all"] as const) {
      expect(settle(missed, [NOW])).toEqual({ fire: [NOW], passed: 0 });
      expect(settle(missed, [NOW - LATE_MS])).toEqual({ fire: [NOW - LATE_MS], passed: 0 });
      expect(settle(missed, [])).toEqual({ fire: [], passed: 0 });
    }
  });

  test("missed times: none, the newest, or all up to the cap", () => {
    const missed = hoursAgo(5, 4, 3, 2, 1);
    expect(settle("skip", missed)).toEqual({ fire: [], passed: 5 });
    expect(settle("last", missed)).toEqual({ fire: hoursAgo(1), passed: 4 });
    expect(settle("all", missed)).toEqual({ fire: missed, passed: 0 });
    expect(settle("all", missed, 2)).toEqual({ fire: hoursAgo(2, 1), passed: 3 });
  });

  test("a run that is due now stands for the missed ones where only the newest is wanted", () => {
    const times = hoursAgo(2, 1, 0);
    expect(settle("skip", times)).toEqual({ fire: [NOW], passed: 2 });
    expect(settle("last", times)).toEqual({ fire: [NOW], passed: 2 });
    expect(settle("all", times, 1)).toEqual({ fire: hoursAgo(1, 0), passed: 1 });
  });

  test("every time is started or counted, in order, and never more than asked for", () => {
    const times = fc
      .array(fc.nat(20 * HOUR), { maxLength: 40 })
      .map((ages) => [...new Set(ages)].sort((a, b) => b - a).map((age) => NOW - age));
    fc.assert(
      fc.property(
        times,
        fc.constantFrom<MissedPolicy>("skip", "last", "all"),
        fc.integer({ min: 1, max: 30 }),
        (all, missed, cap) => {
          const { fire, passed } = settle(missed, all, cap);
          expect(fire.length + passed).toBe(all.length);
          expect(fire).toEqual(all.slice(passed));
          const late = fire.filter((time) => NOW - time > LATE_MS).length;
          expect(late).toBeLessThanOrEqual(missed === "skip" ? 0 : missed === "last" ? 1 : cap);
        },
      ),
      { numRuns: 1_000, seed: 19 },
    );
  });

  test("keys name schedule and time, and sort by it", () => {
    expect(scheduleKey("nightly", Date.UTC(2026, 0, 2, 2))).toBe("schedule:nightly:2026-01-02T02:00:00.000Z");
    expect(scheduleKey("a".repeat(100), 0).length).toBeLessThan(255);
    expect(MAX_CAP).toBeGreaterThan(100);
  });
});
