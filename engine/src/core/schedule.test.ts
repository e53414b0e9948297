import { expect, test } from "vitest";
import { rankOf } from "./schedule.ts";

test("high goes before normal before low, and waiting outweighs priority", () => {
  expect(rankOf("high", 1_000)).toBeLessThan(rankOf("normal", 1_000));
  expect(rankOf("normal", 1_000)).toBeLessThan(rankOf("low", 1_000));
  const waitedFiveMinutes = rankOf("low", 0);
  expect(waitedFiveMinutes).toBeGreaterThan(rankOf("high", 299_999));
  expect(waitedFiveMinutes).toBeLessThan(rankOf("high", 300_001));
});
