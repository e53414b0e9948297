/**
 * Results of a test run, read from the JUnit report that all three runners write and from the exit code.
 *
 * Invariants:
 * 1. `passed` needs exit code 0 and at least one test that ran; exit code 0 with a failed test in the report is `failed`.
 * 2. Code that could not be collected (pytest 2 to 5, a file that does not load, no tests at all) is `collection_error`,
 *    which says nothing about the code's behaviour.
 * 3. The reader of reports takes any text without throwing, in linear time.
 */
import { lastPart } from "./prompt.ts";

export type Runner = "node" | "vitest" | "pytest" | "command";
export type TestState = "passed" | "failed" | "skipped";

export interface TestCase {
  id: string;
  state: TestState;
  message?: string;
}

export interface TestResults {
  runner: Runner;
  command: string[];
  status: "passed" | "failed" | "collection_error" | "timeout";
  exitCode: number | null;
  counts: { passed: number; failed: number; skipped: number };
  /** Failed tests, at most 100. */
  failures: TestCase[];
  /** Ids of the tests that passed, at most 1,000. */
  passing: string[];
  /** The end of what the runner printed. */
  output: string;
}

export interface RawRun {
  runner: Runner;
  command: string[];
  exitCode: number | null;
  timedOut: boolean;
  report: string | null;
  output: string;
}

export function resultsOf(run: RawRun): TestResults {
  const cases = run.report === null ? [] : parseJunit(run.report);
  const failures = cases.filter((test) => test.state === "failed");
  const passing = cases.filter((test) => test.state === "passed");
  return {
    runner: run.runner,
    command: run.command,
    status: statusOf(run, cases, failures),
    exitCode: run.exitCode,
    counts: {
      passed: passing.length,
      failed: failures.length,
      skipped: cases.length - passing.length - failures.length,
    },
    failures: failures.slice(0, 100),
    passing: passing.slice(0, 1_000).map((test) => test.id),
    output: lastPart(run.output),
  };
}

function statusOf(run: RawRun, cases: readonly TestCase[], failures: readonly TestCase[]): TestResults["status"] {
  if (run.timedOut) return "timeout";
  const { exitCode, runner } = run;
  // Ended by a signal: nothing is known.
  if (exitCode === null) return "collection_error";
  if (runner === "pytest" && exitCode >= 2) return "collection_error";
  if (runner === "command") return exitCode === 0 && failures.length === 0 ? "passed" : "failed";
  if (cases.length === 0) return "collection_error";
  if (failures.length > 0) return failures.every(isUnloadable) ? "collection_error" : "failed";
  return exitCode === 0 ? "passed" : "failed";
}

const FILE_NAME = /\.(?:[cm]?[jt]sx?|py)$/;

/** A file that does not load is reported as one failed test that has the file's name. */
function isUnloadable(test: TestCase): boolean {
  const name = test.id.split(" > ").at(-1) ?? "";
  return FILE_NAME.test(name);
}

/** One line on a test run, for people and for reasons. */
export function resultsText(results: TestResults): string {
  const { passed, failed, skipped } = results.counts;
  const counts = `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ""}`;
  if (results.status === "timeout") return `the tests did not end in time (${counts})`;
  if (results.status === "collection_error") return `the tests could not be collected (exit code ${results.exitCode})`;
  return `${results.status === "passed" ? "tests pass" : "tests fail"}: ${counts}`;
}

/** What a developer is told of a failed run; at most 3,000 characters, the end of the output last. */
export function feedbackOf(results: TestResults): string {
  const lines = results.failures.map(
    (test) => `FAILED ${test.id}${test.message === undefined ? "" : `: ${test.message}`}`,
  );
  return lastPart(
    `${resultsText(results)}\n${lastPart(lines.join("\n"), 1_500)}\n\n${lastPart(results.output, 1_300)}`,
  );
}

/** The same failures have the same signature, whatever the output around them. */
export function signatureOf(results: TestResults): string {
  if (results.failures.length === 0) {
    // Without names only the output tells failures apart; its numbers (times, counts, line numbers) change from run to run.
    return `${results.status}/${results.exitCode}\n${results.output.replaceAll(/\d+/g, "#")}`;
  }
  return results.failures
    .map((test) => test.id)
    .sort()
    .join("\n");
}

const TAG = /<(\/?)(testsuite|testcase|failure|error|skipped)\b((?:[^>"']|"[^"]*"|'[^']*')*?)(\/?)>/g;
const ATTRIBUTE = /([\w:.-]+)\s*=\s*(?:"([^"]*)"|'([^']*)')/g;

/** The test cases of a JUnit report. */
export function parseJunit(xml: string): TestCase[] {
  const cases: TestCase[] = [];
  const suites: string[] = [];
  let open: TestCase | null = null;
  for (const [, closing, tag, attributes, empty] of withoutText(xml).matchAll(TAG)) {
    if (tag === "testsuite") {
      if (closing === "/") suites.pop();
      else if (empty === "") suites.push(attributesOf(attributes!).get("name") ?? "");
    } else if (tag === "testcase") {
      if (closing === "/") {
        open = null;
        continue;
      }
      const test: TestCase = { id: idOf(attributesOf(attributes!), suites), state: "passed" };
      cases.push(test);
      open = empty === "" ? test : null;
    } else if (open !== null && closing === "") {
      open.state = tag === "skipped" ? "skipped" : "failed";
      const message = attributesOf(attributes!).get("message");
      if (message !== undefined && message !== "" && tag !== "skipped") open.message = message.trim().slice(0, 500);
    }
  }
  return cases;
}

/** Output that tests printed may look like tags: CDATA sections and comments are dropped first. */
function withoutText(xml: string): string {
  return xml.replaceAll(/<!\[CDATA\[[\s\S]*?(?:\]\]>|$)|<!--[\s\S]*?(?:-->|$)/g, "");
}

function idOf(attributes: Map<string, string>, suites: readonly string[]): string {
  const name = attributes.get("name") ?? "";
  const className = attributes.get("classname") ?? "";
  // node:test says "test" for every case and nests suites; pytest and vitest give module and file.
  const lead =
    className === "" || className === "test"
      ? suites.filter((suite) => suite !== "" && suite !== "pytest")
      : [className];
  return [...lead, name].join(" > ");
}

function attributesOf(text: string): Map<string, string> {
  return new Map([...text.matchAll(ATTRIBUTE)].map(([, name, a, b]) => [name!, unescaped(a ?? b ?? "")]));
}

const ENTITIES: Record<string, string> = { lt: "<", gt: ">", amp: "&", quot: '"', apos: "'" };

function unescaped(text: string): string {
  return text.replaceAll(
    /&(?:(lt|gt|amp|quot|apos)|#(\d{1,7})|#x([0-9a-fA-F]{1,6}));/g,
    (whole, name, decimal, hex) => {
      if (name !== undefined) return ENTITIES[name as string]!;
      const code = decimal !== undefined ? Number(decimal) : Number.parseInt(hex as string, 16);
      return code > 0 && code <= 0x10ffff ? String.fromCodePoint(code) : whole;
    },
  );
}
