/**
 * What the tester does after each test run: it is content, sends the work back to dev, tries again, or gives up.
 *
 * Invariants:
 * 1. At most `cap` regressions, whoever asks for them; then the loop ends as failed.
 * 2. The same failures three times in a row, or tests that cannot pass together, end it earlier: more of the same helps nobody.
 * 3. A runner that gave no results at all is no reason to change code: the job is tried again.
 */
import type { TesterOutput } from "./outputs.ts";
import { FEEDBACK_CHARS, lastPart } from "./prompt.ts";
import type { TestResults } from "./results.ts";
import { feedbackOf, resultsText, signatureOf } from "./results.ts";
import type { Contradiction, RoundResult } from "./verdict.ts";
import { contradictionsIn, sameFailures } from "./verdict.ts";

export const DEFAULT_REGRESSIONS = 5;
const SAME_FAILURES = 3;

/** What is kept of each round. */
export interface Round extends RoundResult {
  signature: string;
}

export type Next =
  | { kind: "passed" }
  | { kind: "regress"; reason: string; feedback: string }
  | { kind: "retry"; reason: string }
  | { kind: "failed"; reason: string; contradictions: Contradiction[] };

export function roundOf(results: TestResults, gaps: TesterOutput["gaps"]): Round {
  const failed = [...results.failures.map((test) => test.id), ...gaps.map((gap) => `gap: ${gap.requirement}`)];
  const open = gaps.map((gap) => gap.requirement).join("\n");
  return { failed, passed: results.passing, signature: `${signatureOf(results)}\n${open}` };
}

/** `rounds` holds every round so far, the present one last. */
export function nextStep(
  results: TestResults,
  gaps: TesterOutput["gaps"],
  rounds: readonly Round[],
  cap: number,
): Next {
  if (results.status === "passed" && gaps.length === 0) return { kind: "passed" };
  if (results.status === "collection_error" && results.failures.length === 0 && results.exitCode !== 2)
    return { kind: "retry", reason: `${resultsText(results)}\n${lastPart(results.output, 1_000)}` };
  const contradictions = contradictionsIn(rounds);
  const why = reasonOf(results, gaps);
  if (contradictions.length > 0) {
    const pairs = contradictions.map(({ one, other }) => `"${one}" and "${other}"`).join(", ");
    return { kind: "failed", reason: `tests contradict each other: ${pairs}`, contradictions };
  }
  const same = sameFailures(rounds.map((round) => round.signature));
  if (same >= SAME_FAILURES)
    return { kind: "failed", reason: `the same failure ${same} times in a row: ${why}`, contradictions };
  if (rounds.length > cap)
    return { kind: "failed", reason: `not solved after ${cap} regressions: ${why}`, contradictions };
  return { kind: "regress", reason: why, feedback: lastPart(`${gapText(gaps)}${feedbackOf(results)}`, FEEDBACK_CHARS) };
}

function reasonOf(results: TestResults, gaps: TesterOutput["gaps"]): string {
  const parts: string[] = [];
  if (gaps.length > 0)
    parts.push(
      gaps
        .slice(0, 3)
        .map((gap) => gap.requirement)
        .join("; "),
    );
  if (results.status !== "passed") {
    const names = results.failures.slice(0, 3).map((test) => test.id);
    parts.push(`${resultsText(results)}${names.length > 0 ? ` (${names.join(", ")})` : ""}`);
  }
  return parts.join(". ").slice(0, 1_000);
}

function gapText(gaps: TesterOutput["gaps"]): string {
  return gaps.map((gap) => `GAP ${gap.requirement}${gap.reason === "" ? "" : `: ${gap.reason}`}\n`).join("");
}
