import { describe, expect, test } from "vitest";
import { evaluate, sameJson } from "./condition.ts";
import type { Condition } from "./document.ts";
import type { TenutoError } from "./errors.ts";

const scope = { params: { n: 3, s: "b", list: [1, "3", { a: 1, b: 2 }], none: null }, jobs: { a: { output: [] } } };

describe("evaluate", () => {
  test.each<[Condition, boolean]>([
    [{ eq: ["{{ params.n }}", 3] }, true],
    [{ eq: ["{{ params.n }}", "3"] }, false],
    [{ ne: ["{{ params.n }}", "3"] }, true],
    [{ eq: [{ b: 2, a: 1 }, "{{ params.list[2] }}"] }, true],
    [{ gt: ["{{ params.n }}", 2] }, true],
    [{ gt: [3, 3] }, false],
    [{ lt: ["a", "{{ params.s }}"] }, true],
    [{ in: ["{{ params.n }}", "{{ params.list }}"] }, false],
    [{ in: [{ b: 2, a: 1 }, "{{ params.list }}"] }, true],
    [{ exists: "{{ params.n }}" }, true],
    [{ exists: "{{ params.none }}" }, false],
    [{ exists: "{{ params.zz.deep }}" }, false],
    [{ exists: "{{ jobs.b.output }}" }, false],
    [{ all: [] }, true],
    [{ any: [] }, false],
    [{ not: { any: [{ eq: [1, 2] }] } }, true],
    [{ all: [{ exists: "{{ params.zz }}" }, { gt: ["{{ params.zz }}", 0] }] }, false],
    [{ any: [{ eq: [1, 1] }, { gt: ["{{ params.zz }}", 0] }] }, true],
  ])("%j is %s", (condition, expected) => {
    expect(evaluate(condition, scope)).toBe(expected);
  });

  test("what can't be decided is an error with its place", () => {
    const failure = (condition: unknown): string => {
      try {
        return String(evaluate(condition as Condition, scope));
      } catch (error) {
        return `${(error as TenutoError).code}: ${(error as Error).message}`;
      }
    };
    expect(failure({ all: [{ gt: ["{{ params.n }}", "3"] }] })).toMatchInlineSnapshot(
      `"invalid_input: when.all[0].gt can't compare a number with a string"`,
    );
    expect(failure({ not: { in: [1, "abc"] } })).toMatchInlineSnapshot(
      `"invalid_input: when.not.in needs a list on its right, not a string"`,
    );
    expect(failure({ eq: ["{{ params.m }}", 1] })).toMatchInlineSnapshot(
      `"invalid_input: when.eq[0]: {{ params.m }} leads nowhere: no "m", params has "n", "s", "list", "none""`,
    );
    expect(failure({ equals: [1, 1] })).toMatchInlineSnapshot(`"invalid_definition: when has no operator"`);
    let deep: unknown = { eq: [1, 1] };
    for (let i = 0; i < 5_000; i++) deep = { not: deep };
    expect(failure(deep)).toContain("nested more than 200 deep");
  });
});

test("sameJson tells missing from null and lists from maps", () => {
  expect(sameJson({ a: null }, {})).toBe(false);
  expect(sameJson([], {})).toBe(false);
  expect(sameJson(JSON.parse('{"__proto__":1}'), { a: 1 })).toBe(false);
  expect(sameJson([[1], { a: [] }], [[1], { a: [] }])).toBe(true);
});
