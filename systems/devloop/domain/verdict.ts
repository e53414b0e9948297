/**
 * The verdict on a piece of work, from what the tests did and what a judge said.
 *
 * Invariants:
 * 1. Failing tests are FAILED, whatever the judge said; a verdict of pass beside them is a finding.
 * 2. Tests that could not be collected give no verdict: the work is tried again.
 * 3. Without a judge the tests decide; without either there is no pass. A judge that was asked and gave nothing usable is a
 *    warning beside them, never silence.
 * 4. Tests that cannot pass together are named; work on them ends, because no change can satisfy both.
 */
import type { VerifierOutput } from "./outputs.ts";
import type { TestResults } from "./results.ts";
import { resultsText } from "./results.ts";

export type GateVerdict = "PASSED" | "PASSED_WITH_WARNINGS" | "FAILED";

/** In the words of a gate. */
export interface Finding {
  level: "error" | "warning" | "info";
  message: string;
  place?: string;
}

export interface Verdict {
  verdict: GateVerdict;
  decidedBy: "tests" | "judge" | "both" | "nobody";
  findings: Finding[];
}

export type Decision = { kind: "verdict"; verdict: Verdict } | { kind: "retry"; reason: string };

export interface Evidence {
  /** Null: there is no test run to look at. */
  tests: TestResults | null;
  /** Null: no judge, or one that gave nothing usable. */
  judge: VerifierOutput | null;
  /** Why there is no judge although one was asked. */
  judgeProblem?: string | null;
  contradictions?: readonly Contradiction[];
}

/** The gate's word for a word of the wire. */
export function gateVerdictOf(word: VerifierOutput["verification_result"]): GateVerdict {
  return word === "pass" ? "PASSED" : word === "partial" ? "PASSED_WITH_WARNINGS" : "FAILED";
}

export function decide({ tests, judge, judgeProblem = null, contradictions = [] }: Evidence): Decision {
  if (tests?.status === "collection_error") return { kind: "retry", reason: resultsText(tests) };
  const findings: Finding[] = contradictions.map(({ one, other }) => ({
    level: "error",
    message: `the tests contradict each other: "${one}" and "${other}" never passed together`,
  }));
  const unheard = judge === null && judgeProblem !== null;
  if (unheard) findings.push({ level: "warning", message: `nobody judged the work: ${judgeProblem}` });
  if (judge !== null) findings.push(...findingsOf(judge));
  const said = verdictOf(tests, judge, findings);
  const verdict: Verdict = unheard && said.verdict === "PASSED" ? { ...said, verdict: "PASSED_WITH_WARNINGS" } : said;
  return { kind: "verdict", verdict: contradictions.length > 0 ? { ...verdict, verdict: "FAILED" } : verdict };
}

function verdictOf(tests: TestResults | null, judge: VerifierOutput | null, findings: Finding[]): Verdict {
  if (tests !== null && tests.status !== "passed") {
    const said = judge?.verification_result;
    findings.push({ level: "error", message: resultsText(tests) });
    if (said === "pass" || said === "partial")
      findings.push({ level: "error", message: `the judge said ${said} although tests fail; the tests decide` });
    return { verdict: "FAILED", decidedBy: "tests", findings };
  }
  if (judge === null) {
    if (tests !== null) return { verdict: "PASSED", decidedBy: "tests", findings };
    findings.push({ level: "error", message: "neither tests nor a judge say anything" });
    return { verdict: "FAILED", decidedBy: "nobody", findings };
  }
  const decidedBy = tests === null ? "judge" : "both";
  const word = gateVerdictOf(judge.verification_result);
  const doubtful = word === "PASSED" && judge.findings.some((finding) => finding.status !== "satisfied");
  return { verdict: doubtful ? "PASSED_WITH_WARNINGS" : word, decidedBy, findings };
}

function findingsOf(judge: VerifierOutput): Finding[] {
  return judge.findings
    .filter((finding) => finding.status !== "satisfied")
    .map(({ requirement, status, evidence, location }) => ({
      level: judge.verification_result === "fail" ? "error" : "warning",
      message: `${status}: ${requirement}${evidence === "" ? "" : ` (${evidence})`}`,
      ...(location === "" ? {} : { place: location }),
    }));
}

export interface Contradiction {
  one: string;
  other: string;
}

/** What matters of one test run for finding contradictions. */
export interface RoundResult {
  failed: readonly string[];
  passed: readonly string[];
}

/**
 * Pairs of tests of which over the rounds always exactly one passed, and that changed places at least twice: repairing
 * the one breaks the other.
 */
export function contradictionsIn(rounds: readonly RoundResult[]): Contradiction[] {
  const names = [...new Set(rounds.flatMap((round) => round.failed))].slice(0, 100);
  const rows = new Map(names.map((name) => [name, rounds.map((round) => stateIn(round, name))]));
  const found: Contradiction[] = [];
  for (const [at, one] of names.entries()) {
    for (const other of names.slice(at + 1)) {
      if (alternate(rows.get(one)!, rows.get(other)!)) found.push({ one, other });
    }
  }
  return found;
}

function stateIn(round: RoundResult, name: string): boolean | null {
  if (round.failed.includes(name)) return false;
  return round.passed.includes(name) ? true : null;
}

function alternate(one: readonly (boolean | null)[], other: readonly (boolean | null)[]): boolean {
  let changes = 0;
  for (const [at, state] of one.entries()) {
    if (state === null || other[at] === null || state === other[at]) return false;
    if (at > 0 && state !== one[at - 1]) changes += 1;
  }
  return changes >= 2;
}

/** Rounds at the end with the same failures, this one included. */
export function sameFailures(signatures: readonly string[]): number {
  const last = signatures.at(-1);
  let count = 0;
  for (let at = signatures.length - 1; at >= 0 && signatures[at] === last; at--) count += 1;
  return count;
}
