import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { TenutoError } from "./errors.ts";
import { checkRunId, checkRunIdPattern, formatRunId } from "./run-id.ts";

const facts = { pipeline: "migrate", at: Date.UTC(2026, 10, 20, 23, 31, 13, 456), seq: 7, random: "k3v9" };

describe("formatRunId", () => {
  test.each([
    ["{pipeline}-{seq}", "migrate-7"],
    ["mig-{timestamp}-{seq}", "mig-20261120T233113Z-7"],
    ["{date}.{seq:4}", "2026-11-20.0007"],
    ["{pipeline}_{random}", "migrate_k3v9"],
  ])("%s", (pattern, expected) => {
    expect(formatRunId(pattern, facts)).toBe(expected);
  });

  test("refuses what collides, what is unknown and what is no file name", () => {
    const why = (pattern: string): string => {
      const wrong = checkRunIdPattern(pattern);
      return wrong === null ? "fine" : `${wrong.message}. ${wrong.hint}`;
    };
    expect(why("nightly-{date}")).toMatchInlineSnapshot(
      `"run id pattern "nightly-{date}" makes the same id for every run. Put {seq} or {random} into it, for example {pipeline}-{seq}."`,
    );
    expect(why("{pipline}-{seq}")).toMatchInlineSnapshot(
      `"run id pattern "{pipline}-{seq}" has an unknown placeholder {pipline}. Did you mean {pipeline}?"`,
    );
    expect(why("runs/{seq}")).toMatchInlineSnapshot(
      `"run id pattern "runs/{seq}" makes ids such as "runs/1". A run id has 1 to 100 letters, digits, '.', '_' or '-', starting with a letter or digit."`,
    );
    for (const bad of ["", "{seq}.", "../{seq}", "{seq}\n", "aux.{seq}", "{seq:x}", "{{seq}}", "-{seq}"]) {
      expect(checkRunIdPattern(bad), bad).not.toBeNull();
    }
  });

  test("an id that becomes too long is refused when it is made", () => {
    expect(() => formatRunId("{pipeline}-{seq}", { ...facts, pipeline: "p".repeat(99) })).toThrow(/is not a run id/);
  });

  test("whatever comes out is a safe file name", () => {
    const piece = fc.constantFrom(
      "{seq}",
      "{random}",
      "{date}",
      "{timestamp}",
      "{pipeline}",
      "a",
      "-",
      ".",
      "/",
      "..",
      " ",
      "con",
      "{",
      "}",
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 8 }), (pieces) => {
        try {
          expect(formatRunId(pieces.join(""), facts)).toMatch(/^[A-Za-z0-9][A-Za-z0-9._-]{0,98}[A-Za-z0-9_-]?$/);
        } catch (error) {
          expect((error as TenutoError).code).toBe("invalid_definition");
        }
      }),
    );
  });
});

test("given ids", () => {
  expect(checkRunId("nightly-2026")).toBeNull();
  for (const bad of ["", "a/b", "..", "a..", "NUL", "com1.txt", "é", "x".repeat(101)])
    expect(checkRunId(bad), bad).not.toBeNull();
});
