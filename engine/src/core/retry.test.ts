import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { DEFAULT_RETRY } from "./document.ts";
import { mergePolicies, RETRY_AFTER_MAX_MS, retriesExhausted, retryDelayMs } from "./retry.ts";

const exact = { ...DEFAULT_RETRY, jitter: 0 };

describe("retryDelayMs", () => {
  test("grows 1, 5, 25, 125 seconds and stops at the cap", () => {
    expect([1, 2, 3, 4, 5, 50, 5_000].map((failures) => retryDelayMs(exact, failures, "seed"))).toEqual([
      1_000, 5_000, 25_000, 125_000, 300_000, 300_000, 300_000,
    ]);
  });

  test("a Retry-After is a lower bound up to an hour", () => {
    expect(retryDelayMs(exact, 1, "seed", 2_000)).toBe(2_000);
    expect(retryDelayMs(exact, 2, "seed", 2_000)).toBe(5_000);
    expect(retryDelayMs(exact, 1, "seed", 1_800_000)).toBe(1_800_000);
    expect(retryDelayMs(exact, 1, "seed", 86_400_000)).toBe(RETRY_AFTER_MAX_MS);
    expect(retryDelayMs(exact, 1, "seed", Number.NaN)).toBe(1_000);
  });

  test("odd figures give bounds, never NaN", () => {
    expect(retryDelayMs({ ...exact, baseSeconds: 0, factor: 1_000 }, 200, "s")).toBe(300_000);
    expect(retryDelayMs({ ...exact, capSeconds: 0 }, 3, "s")).toBe(0);
    expect(retryDelayMs(exact, 0, "s")).toBe(1_000);
  });

  test("stays within its bounds and depends on the seed only", () => {
    const policy = fc.record({
      maxRetries: fc.nat(10),
      baseSeconds: fc.double({ min: 0, max: 100, noNaN: true }),
      factor: fc.double({ min: 1, max: 10, noNaN: true }),
      capSeconds: fc.double({ min: 0, max: 1_000, noNaN: true }),
      jitter: fc.double({ min: 0, max: 1, noNaN: true }),
    });
    fc.assert(
      fc.property(policy, fc.integer({ min: 1, max: 40 }), fc.string(), (given, failures, seed) => {
        const full = Math.min(given.baseSeconds * given.factor ** (failures - 1), given.capSeconds) * 1_000;
        const delay = retryDelayMs(given, failures, seed);
        expect(delay).toBeGreaterThanOrEqual(Math.floor(full * (1 - given.jitter)));
        expect(delay).toBeLessThanOrEqual(Math.ceil(full));
        expect(retryDelayMs(given, failures, seed)).toBe(delay);
      }),
    );
  });

  test("jitter spreads neighbours evenly", () => {
    const delays = Array.from({ length: 10_000 }, (_, i) => retryDelayMs({ ...exact, jitter: 1 }, 3, `run/item/${i}`));
    const buckets = new Array<number>(10).fill(0);
    for (const delay of delays) buckets[Math.min(9, Math.floor(delay / 2_500))]! += 1;
    for (const count of buckets) expect(count).toBeGreaterThan(850);
  });
});

test("retries are used up after the last one", () => {
  expect([1, 2, 3, 4].map((failures) => retriesExhausted(DEFAULT_RETRY, failures))).toEqual([
    false,
    false,
    false,
    true,
  ]);
  expect(retriesExhausted({ ...DEFAULT_RETRY, maxRetries: 0 }, 1)).toBe(true);
});

describe("mergePolicies", () => {
  test("nothing given is the defaults", () => {
    expect(mergePolicies(undefined, {})).toEqual({
      retry: DEFAULT_RETRY,
      timeoutMs: 300_000,
      jobTimeoutMs: null,
      errors: [],
      onExhausted: "fail",
      maxCrashes: 3,
    });
  });

  test("the nearest figure wins, figure by figure; rules stay in their order", () => {
    const job = { retry: { maxRetries: 0 }, errors: [{ code: "A", category: "skippable" as const }] };
    const agent = { retry: { maxRetries: 9, factor: 2 }, timeoutSeconds: 10, onExhausted: "skip" as const };
    const pipeline = {
      timeoutSeconds: 99,
      jobTimeoutSeconds: 60,
      errors: [{ code: "B", category: "critical" as const }],
    };
    const merged = mergePolicies(job, agent, pipeline);
    expect(merged.retry).toEqual({ ...DEFAULT_RETRY, maxRetries: 0, factor: 2 });
    expect(merged).toMatchObject({ timeoutMs: 10_000, jobTimeoutMs: 60_000, onExhausted: "skip", maxCrashes: 3 });
    expect(merged.errors.map((rules) => rules[0]?.code)).toEqual(["A", "B"]);
  });
});
