/** Results of test runs, verdicts, and what the tester makes of its rounds. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { nextStep, roundOf } from "../domain/regression.ts";
import type { TestResults } from "../domain/results.ts";
import { feedbackOf, parseJunit, resultsOf, signatureOf } from "../domain/results.ts";
import { contradictionsIn, decide, gateVerdictOf, sameFailures } from "../domain/verdict.ts";

const results = (status: TestResults["status"], failed: string[] = [], passing: string[] = ["ok"]): TestResults => ({
  runner: "node",
  command: ["node", "--test"],
  status,
  exitCode: status === "passed" ? 0 : 1,
  counts: { passed: passing.length, failed: failed.length, skipped: 0 },
  failures: failed.map((id) => ({ id, state: "failed", message: `${id} broke` })),
  passing,
  output: "the output",
});

const judge = (verification_result: "pass" | "fail" | "partial", status: "satisfied" | "missing" = "satisfied") => ({
  verification_result,
  findings: [{ requirement: "r", status, evidence: "", location: "src/a.ts" }],
  recommendation: "",
});

const verdictOf = (evidence: Parameters<typeof decide>[0]) => {
  const decision = decide(evidence);
  return decision.kind === "verdict" ? [decision.verdict.verdict, decision.verdict.decidedBy] : decision.kind;
};

describe("verdicts", () => {
  test.each([
    ["failing tests beat a judge that says pass", results("failed", ["t"]), judge("pass"), ["FAILED", "tests"]],
    ["failing tests beat partial", results("failed", ["t"]), judge("partial"), ["FAILED", "tests"]],
    ["tests that did not end are failing tests", results("timeout"), judge("pass"), ["FAILED", "tests"]],
    ["both say yes", results("passed"), judge("pass"), ["PASSED", "both"]],
    ["a judge may say no to passing tests", results("passed"), judge("fail", "missing"), ["FAILED", "both"]],
    ["partial is a warning", results("passed"), judge("partial", "missing"), ["PASSED_WITH_WARNINGS", "both"]],
    [
      "pass beside a missing requirement is a warning",
      results("passed"),
      judge("pass", "missing"),
      ["PASSED_WITH_WARNINGS", "both"],
    ],
    ["without a judge the tests decide: yes", results("passed"), null, ["PASSED", "tests"]],
    ["without a judge the tests decide: no", results("failed", ["t"]), null, ["FAILED", "tests"]],
    ["without tests the judge decides", null, judge("pass"), ["PASSED", "judge"]],
    ["without either there is no pass", null, null, ["FAILED", "nobody"]],
    ["what could not be collected gives no verdict", results("collection_error"), judge("pass"), "retry"],
  ])("%s", (_, tests, said, expected) => {
    expect(verdictOf({ tests, judge: said })).toEqual(expected);
  });

  test("a judge that was asked and gave nothing usable is a warning; it never mends what the tests say", () => {
    const judgeProblem = "no JSON";
    expect(verdictOf({ tests: results("passed"), judge: null, judgeProblem })).toEqual([
      "PASSED_WITH_WARNINGS",
      "tests",
    ]);
    expect(verdictOf({ tests: results("failed", ["t"]), judge: null, judgeProblem })).toEqual(["FAILED", "tests"]);
    expect(verdictOf({ tests: null, judge: null, judgeProblem })).toEqual(["FAILED", "nobody"]);
  });

  test("a pass beside failing tests is a finding", () => {
    const decision = decide({ tests: results("failed", ["t"]), judge: judge("pass") });
    expect(decision).toMatchObject({
      verdict: {
        findings: expect.arrayContaining([{ level: "error", message: expect.stringContaining("the judge said pass") }]),
      },
    });
  });

  test("contradicting tests fail whatever else is said", () => {
    const contradictions = [{ one: "a", other: "b" }];
    expect(verdictOf({ tests: results("passed"), judge: judge("pass"), contradictions })).toEqual(["FAILED", "both"]);
  });

  test("words of the wire become those of gates", () => {
    expect(["pass", "partial", "fail"].map((word) => gateVerdictOf(word as "pass"))).toEqual([
      "PASSED",
      "PASSED_WITH_WARNINGS",
      "FAILED",
    ]);
  });
});

describe("contradictions", () => {
  const round = (failed: string[], passed: string[]) => ({ failed, passed });

  test("are tests of which always one passes, and that changed places twice", () => {
    const rounds = [round(["a"], ["b", "c"]), round(["b"], ["a", "c"]), round(["a"], ["b", "c"])];
    expect(contradictionsIn(rounds)).toEqual([{ one: "a", other: "b" }]);
  });

  test.each([
    ["one change could be a slip", [round(["a"], ["b"]), round(["b"], ["a"])]],
    [
      "both have passed together",
      [round(["a"], ["b"]), round(["b"], ["a"]), round([], ["a", "b"]), round(["a"], ["b"])],
    ],
    [
      "both have failed together",
      [round(["a"], ["b"]), round(["a", "b"], []), round(["b"], ["a"]), round(["a"], ["b"])],
    ],
    ["one is new", [round(["a"], []), round(["b"], ["a"]), round(["a"], ["b"])]],
  ])("are not claimed when %s", (_, rounds) => {
    expect(contradictionsIn(rounds)).toEqual([]);
  });

  test("the same failures are counted from the end", () => {
    expect([
      sameFailures([]),
      sameFailures(["a"]),
      sameFailures(["b", "a", "a"]),
      sameFailures(["a", "b", "a"]),
    ]).toEqual([0, 1, 2, 1]);
  });
});

describe("rounds of the tester", () => {
  const step = (all: TestResults[], cap = 5) =>
    nextStep(
      all.at(-1)!,
      [],
      all.map((each) => roundOf(each, [])),
      cap,
    );

  test("passing tests without gaps are the end", () => {
    expect(step([results("passed")])).toEqual({ kind: "passed" });
  });

  test("a gap sends work back although the tests pass", () => {
    const gaps = [{ requirement: "negative numbers", reason: "nobody checks them" }];
    const next = nextStep(results("passed"), gaps, [roundOf(results("passed"), gaps)], 5);
    expect(next).toMatchObject({
      kind: "regress",
      reason: "negative numbers",
      feedback: expect.stringContaining("GAP negative numbers: nobody checks them"),
    });
  });

  test("failing tests send it back with a bounded feedback that names them", () => {
    const failing = { ...results("failed", ["adds"]), output: "x".repeat(100_000) };
    const next = step([failing]);
    expect(next).toMatchObject({ kind: "regress", feedback: expect.stringContaining("FAILED adds: adds broke") });
    expect(next.kind === "regress" ? next.feedback.length : 0).toBeLessThanOrEqual(3_000);
  });

  test("at the cap it fails", () => {
    const rounds = ["a", "b", "c"].map((id) => results("failed", [id]));
    expect(step(rounds, 3).kind).toBe("regress");
    expect(step(rounds, 2)).toMatchObject({
      kind: "failed",
      reason: expect.stringContaining("not solved after 2 regressions"),
    });
    expect(step([results("failed", ["a"])], 0).kind).toBe("failed");
  });

  test("the same failure three times in a row is enough", () => {
    const same = results("failed", ["a"]);
    expect(step([same, same]).kind).toBe("regress");
    expect(step([same, same, same])).toMatchObject({
      kind: "failed",
      reason: expect.stringContaining("the same failure 3 times"),
    });
  });

  test("tests that contradict each other end the loop", () => {
    const a = results("failed", ["a"], ["b"]);
    const b = results("failed", ["b"], ["a"]);
    expect(step([a, b, a])).toMatchObject({ kind: "failed", contradictions: [{ one: "a", other: "b" }] });
  });

  test("a runner without results is tried again, code that does not load is sent back", () => {
    expect(step([{ ...results("collection_error", [], []), exitCode: 4 }]).kind).toBe("retry");
    expect(step([{ ...results("collection_error", ["test/a.test.ts"], []), exitCode: 1 }]).kind).toBe("regress");
    expect(step([{ ...results("collection_error", [], []), exitCode: 2 }]).kind).toBe("regress");
  });
});

describe("test runs", () => {
  const junit = (body: string) => `<?xml version="1.0"?><testsuites>${body}</testsuites>`;
  const raw = (runner: TestResults["runner"], exitCode: number | null, report: string | null) =>
    resultsOf({ runner, command: [runner], exitCode, timedOut: false, report, output: "" });
  const PASS = '<testcase name="a" classname="m"/>';
  const FAIL = '<testcase name="b" classname="m"><failure message="1 &lt; 2 &#10;&amp; &#x41;">x</failure></testcase>';

  test("a report is read, with its entities", () => {
    const skipped = '<testcase name="c" classname="m"><skipped/></testcase>';
    expect(parseJunit(junit(`<testsuite name="s">${PASS}${FAIL}${skipped}</testsuite>`))).toEqual([
      { id: "m > a", state: "passed" },
      { id: "m > b", state: "failed", message: "1 < 2 \n& A" },
      { id: "m > c", state: "skipped" },
    ]);
  });

  test("what a test printed is no result", () => {
    const loud = `<testcase name="a" classname="m"><system-out><![CDATA[</testcase><testcase name="x"><failure>]]></system-out></testcase>`;
    expect(parseJunit(junit(loud))).toEqual([{ id: "m > a", state: "passed" }]);
  });

  test.each([
    ["all pass", "node", 0, PASS, "passed"],
    ["a failed test beside exit code 0", "node", 0, PASS + FAIL, "failed"],
    ["an exit code beside passing tests", "vitest", 1, PASS, "failed"],
    ["nothing was found", "node", 0, "", "collection_error"],
    ["pytest could not collect", "pytest", 2, PASS, "collection_error"],
    ["pytest found nothing", "pytest", 5, "", "collection_error"],
    ["pytest has failures", "pytest", 1, PASS + FAIL, "failed"],
    [
      "a file does not load",
      "node",
      1,
      '<testcase name="test/a.test.ts" classname="test"><failure message="test failed"/></testcase>',
      "collection_error",
    ],
    ["ended by a signal", "node", null, PASS, "collection_error"],
    ["any command, by its exit code", "command", 0, "", "passed"],
    ["any command that fails", "command", 3, "", "failed"],
  ] as const)("%s", (_, runner, exitCode, body, status) => {
    expect(raw(runner, exitCode, junit(body)).status).toBe(status);
  });

  test("the signature is that of the failures, not of the output", () => {
    const one = results("failed", ["b", "a"]);
    expect(signatureOf(one)).toBe(signatureOf({ ...results("failed", ["a", "b"]), output: "another" }));
    expect(feedbackOf({ ...one, output: "y".repeat(10_000) }).length).toBeLessThanOrEqual(3_000);
  });

  test("without names, failures are told apart by the output, but not by its numbers", () => {
    const unnamed = (output: string) => signatureOf({ ...results("failed", [], []), runner: "command", output });
    expect(unnamed("1 of 9 failed in 0.31 s: login")).toBe(unnamed("2 of 9 failed in 1.7 s: login"));
    expect(unnamed("failed: login")).not.toBe(unnamed("failed: logout"));
  });

  test("no text makes the reader throw", () => {
    const pieces = fc.constantFrom(
      "<testcase ",
      'name="',
      '"',
      ">",
      "</testcase>",
      "<failure",
      "/>",
      "<![CDATA[",
      "]]>",
      "&#99999999;",
      "x",
    );
    fc.assert(
      fc.property(fc.array(pieces, { maxLength: 60 }), (parts) => {
        expect(Array.isArray(parseJunit(parts.join("")))).toBe(true);
      }),
      { numRuns: 300, seed: 7 },
    );
  });
});
