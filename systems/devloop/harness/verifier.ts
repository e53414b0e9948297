/**
 * The verifier: runs the tests, asks its agent, and hands back the verdict of `domain/verdict.ts`.
 *
 * Invariants:
 * 1. An agent that fails, or whose answer can't be used, is told so and asked once more within the attempt. After that there is
 *    no judge, which is a warning: nothing passes in silence because nobody judged it.
 * 2. The tests run first, so that an agent that takes all the time leaves them enough of it.
 */
import { parseOutput, type VerifierOutput } from "../domain/outputs.ts";
import { feedbackOf } from "../domain/results.ts";
import { decide } from "../domain/verdict.ts";
import type { Desk, RoleEnd } from "./desk.ts";
import { NoTestsError } from "./tests.ts";
import { AgentFailed, type Asked, outputOf, test, work } from "./work.ts";

/** Asking is worth while only with some time left. */
const LEAST_MS = 1_000;
const MOST_ASKED = 2;

export async function runVerifier(desk: Desk): Promise<RoleEnd> {
  const results = await test(desk);
  const tests = results instanceof NoTestsError ? null : results;
  const { judge, problem } = await judgement(desk);
  const decision = decide({ tests, judge, judgeProblem: problem });
  if (decision.kind === "retry")
    return { kind: "failed", error: `${decision.reason}\n${tests?.output ?? ""}`, retryable: true };
  const { verdict } = decision;
  const report = { ...verdict, judge, tests: tests === null ? null : feedbackOf(tests) };
  const text = JSON.stringify(report, null, 2);
  await desk.job.artifact("verification_report.json", "verification_report", { text }, "application/json");
  return {
    kind: "done",
    output: outputOf(verdict, tests, { recommendation: judge?.recommendation ?? "" }),
    final: verdict.verdict === "FAILED",
  };
}

interface Judgement {
  judge: VerifierOutput | null;
  /** Why nobody judged although somebody was asked. */
  problem: string | null;
}

async function judgement(desk: Desk): Promise<Judgement> {
  if (desk.task.agent.kind === "none") return { judge: null, problem: null };
  let before: Asked | null = null;
  for (;;) {
    const said = await ask(desk, before);
    if (said.judge !== null) return { judge: said.judge, problem: null };
    const times: number = (before?.times ?? 0) + 1;
    const again = said.again && times < MOST_ASKED && desk.deadline - desk.now() >= LEAST_MS;
    if (!again) return { judge: null, problem: said.problem };
    await desk.job.log("WARNING", `the verifier's agent is asked again: ${said.problem}`);
    before = { times, problem: said.problem };
  }
}

type Said = { judge: VerifierOutput } | { judge: null; problem: string; again: boolean };

async function ask(desk: Desk, before: Asked | null): Promise<Said> {
  try {
    const { result } = await work(desk, "verifier", before);
    if (!result.ok) return { judge: null, problem: result.error, again: result.retryable };
    const parsed = parseOutput<VerifierOutput>("verifier", result.data ?? result.text);
    if (parsed.ok) return { judge: parsed.value };
    return { judge: null, problem: `validation_error: ${parsed.error}`, again: true };
  } catch (error) {
    if (!(error instanceof AgentFailed) || desk.signal.aborted) throw error;
    return { judge: null, problem: error.message, again: error.result.retryable };
  }
}
