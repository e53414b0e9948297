/** Which jobs are upstream, where inputs lie, what an ignore rule matches. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { planFrom } from "../testing/builders.ts";
import { ignoreRule, inputPath, mediaTypeOf, upstreamOf } from "./artifact.ts";
import type { Plan } from "./plan.ts";

const upstream = (text: string, id: string): string => {
  const plan = planFrom(text);
  const found = upstreamOf(plan, plan.ordinals.get(id) as number);
  return plan.jobs
    .filter((job) => found.has(job.ordinal))
    .map((job) => job.id)
    .join(" ");
};

describe("upstream", () => {
  it.each([
    ["a b | c", "c", "a b"],
    ["a | b | c", "c", "a b"],
    ["a b(a) c(b)", "c", "a b"],
    ["a b | c(a)", "c", "a"],
    ["a | b() | c", "c", "b"],
    ["a | b c(a) | d(c)", "d", "a c"],
    ["a | b(a:failure) | c(b:always)", "c", "a b"],
    ["a", "a", ""],
  ])("of %s: %s is behind %s", (graph, job, expected) => {
    expect(upstream(graph, job)).toBe(expected);
  });

  it("is the same set for all that wait for the same stage, however many", () => {
    const names = (prefix: string) => Array.from({ length: 2_000 }, (_, n) => `${prefix}${n}`).join(" ");
    const plan = planFrom(`${names("a")} | ${names("b")}`);
    const sets = new Set(plan.jobs.filter((job) => job.stage === 1).map((job) => upstreamOf(plan, job.ordinal)));
    expect([sets.size, [...sets][0]?.size]).toEqual([1, 2_000]);
  });

  it("agrees with the plain definition on any graph", () => {
    const graphs = fc.array(fc.array(fc.array(fc.nat(9), { maxLength: 3 }), { minLength: 1, maxLength: 4 }), {
      minLength: 1,
      maxLength: 4,
    });
    fc.assert(
      fc.property(graphs, (stages) => {
        let count = 0;
        const text = stages
          .map((jobs) =>
            jobs
              .map((needs) => {
                const id = count++;
                const known = [...new Set(needs.filter((need) => need < id))];
                // An even first figure says: no list of needs at all.
                return needs.length === 0 || needs[0]! % 2 === 0
                  ? `j${id}`
                  : `j${id}(${known.map((n) => `j${n}`).join(",")})`;
              })
              .join(" "),
          )
          .join(" | ");
        const plan = planFrom(text);
        for (const job of plan.jobs)
          expect([...upstreamOf(plan, job.ordinal)].sort()).toEqual(plainly(plan, job.ordinal));
      }),
      { numRuns: 300 },
    );
  });
});

function plainly(plan: Plan, ordinal: number): number[] {
  const direct = (at: number): number[] => {
    const { barrier, stage } = plan.jobs[at]!;
    const before = barrier === 1 ? plan.jobs.filter((job) => job.stage === stage - 1).map((job) => job.ordinal) : [];
    return [...before, ...(plan.specs[at]!.needs ?? []).map((need) => plan.ordinals.get(need.job) as number)];
  };
  const found = new Set<number>();
  for (let next = direct(ordinal); next.length > 0; next = next.flatMap(direct).filter((at) => !found.has(at)))
    for (const at of next) found.add(at);
  return [...found].sort();
}

describe("inputs", () => {
  it("never lead outside, never to the same place, never through a file", () => {
    const piece = fc.oneof(
      fc.constantFrom("..", ".", "", "a", "A", "a.txt", "con", "\0", "..\\x", "~"),
      fc.string({ maxLength: 8 }),
    );
    const name = fc.array(piece, { maxLength: 4 }).map((parts) => parts.join("/"));
    fc.assert(
      fc.property(fc.array(fc.tuple(name, name), { maxLength: 20 }), (entries) => {
        const taken = new Map<string, "file" | "folder">();
        const paths = entries.map(([job, artifact], at) =>
          inputPath(job === "" ? "j" : job, artifact, String(at % 3).repeat(64), taken),
        );
        const lower = paths.map((path) => path.toLowerCase());
        expect(new Set(lower).size).toBe(paths.length);
        for (const path of paths) {
          expect(path).not.toMatch(/^\/|(^|\/)\.{0,2}(\/|$)|[\0\\]/);
          for (const other of lower) expect(path.toLowerCase().startsWith(`${other}/`)).toBe(false);
        }
      }),
      { numRuns: 500 },
    );
  });
});

describe("ignore rules", () => {
  it.each([
    ["*.log", "a.log deep/b.log", "a.log.txt log"],
    ["/top.txt", "top.txt", "deep/top.txt"],
    ["data/**", "data/x data/a/b", "data2/x other/data/x"],
    ["**/gen/*.ts", "gen/a.ts a/b/gen/c.ts", "gen/a/b.ts"],
    ["a?c", "abc x/a-c", "ac abbc a/c"],
    ["a+(b).[c]", "a+(b).[c]", "aab.c"],
  ])("%s matches %s, not %s", (rule, matching, others) => {
    const test = ignoreRule(rule);
    expect(matching.split(" ").filter((path) => !test(path, false))).toEqual([]);
    expect(others.split(" ").filter((path) => test(path, false))).toEqual([]);
  });

  it("do as expressions of the same meaning do, and none takes long (S-23)", () => {
    const part = fc.stringMatching(/^(\*\*\/|\*\*|\*|\?|a|b|\/){0,7}$/);
    const path = fc.stringMatching(/^[ab]{1,3}(\/[ab]{1,3}){0,3}$/);
    const meaning = (rule: string) => {
      const body = rule.replace(/^\/+|\/+$/g, "");
      const start = body.includes("/") || rule.startsWith("/") ? "" : "(?:[^/]+/)*";
      const source = body.replaceAll(/\*\*\/|\*\*|\*|\?/g, (found) =>
        found === "**/" ? "(?:[^/]+/)*" : found === "**" ? ".*" : found === "*" ? "[^/]*" : "[^/]",
      );
      return new RegExp(`^${start}${source}$`);
    };
    fc.assert(
      fc.property(part, path, (rule, given) => ignoreRule(rule)(given, true) === meaning(rule).test(given)),
      { numRuns: 2_000 },
    );
    expect(ignoreRule(`${"*a".repeat(30)}b`)("a".repeat(300), false)).toBe(false);
    expect(ignoreRule("**/**/**/**/**/**/x")("a/".repeat(200), false)).toBe(false);
  });

  it("that ends with a slash is about folders", () => {
    const test = ignoreRule("build/");
    expect([test("build", true), test("a/build", true), test("build", false)]).toEqual([true, true, false]);
  });
});

it("media types go by the ending", () => {
  expect(["a.json", "b/C.MD", "d.patch", "e", "f.unknown", ".md"].map(mediaTypeOf)).toEqual([
    "application/json",
    "text/markdown",
    "text/x-diff",
    "application/octet-stream",
    "application/octet-stream",
    "text/markdown",
  ]);
});
