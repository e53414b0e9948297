/**
 * The roles: what each does with its agent, the worktree and the tests, and what it hands back.
 *
 * Invariants:
 * 1. Planner and verifier change nothing: whatever their agent changed is put back and named.
 * 2. The verdict on work comes from `domain/verdict.ts` and leaves in the words of gates.
 */
import { writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Json } from "tenuto";
import { orderOf, type Plan, parseOutput, type TesterOutput } from "../domain/outputs.ts";
import { lastPart } from "../domain/prompt.ts";
import { nextStep, type Round, roundOf } from "../domain/regression.ts";
import type { TestResults } from "../domain/results.ts";
import { decide } from "../domain/verdict.ts";
import { leaveChanges } from "./changes.ts";
import type { Desk, RoleEnd } from "./desk.ts";
import { PLAN_ARTIFACT } from "./task.ts";
import { NoTestsError } from "./tests.ts";
import { runVerifier } from "./verifier.ts";
import { AgentFailed, conversationOf, outputOf, test, work } from "./work.ts";

export async function runRole(desk: Desk): Promise<RoleEnd> {
  switch (desk.task.role) {
    case "planner":
      return await runPlanner(desk);
    case "dev":
      return await runDev(desk);
    case "tester":
      return await runTester(desk);
    case "verifier":
      return await runVerifier(desk);
    case "runner":
      return await runRunner(desk);
  }
}

function failedWork(error: unknown): RoleEnd {
  if (error instanceof AgentFailed) return { kind: "failed", error: error.message, retryable: error.result.retryable };
  throw error;
}

const json = (value: unknown) => value as Json;

const PLAN_MAX_BYTES = 500_000;

async function runPlanner(desk: Desk): Promise<RoleEnd> {
  const worked = await work(desk, "planner").catch(failedWork);
  if ("kind" in worked) return worked;
  const { result, changes } = worked;
  if (!result.ok) return { kind: "failed", error: result.error, retryable: result.retryable };
  const plan = parseOutput<Plan>("planner", result.data ?? result.text);
  if (!plan.ok)
    return { kind: "failed", error: `validation_error: the plan is not usable: ${plan.error}`, retryable: true };
  await desk.job.artifact(
    PLAN_ARTIFACT,
    "model_output",
    { text: JSON.stringify(plan.value, null, 2) },
    "application/json",
  );
  if (Buffer.byteLength(JSON.stringify(plan.value)) > PLAN_MAX_BYTES)
    return { kind: "failed", error: "validation_error: the plan is larger than 500 KB", retryable: true };
  const order = plan.value.execution_order ?? orderOf(plan.value.tasks)!;
  const tasks = order.map((id) => plan.value.tasks.find((task) => task.id === id)!);
  return {
    kind: "done",
    output: json({ plan: { tasks, execution_order: order }, outside: changes.outside, usage: result.usage }),
    final: desk.task.awaitsApproval,
  };
}

async function runDev(desk: Desk): Promise<RoleEnd> {
  const worked = await work(desk, "dev").catch(failedWork);
  if ("kind" in worked) return worked;
  const { result, changes } = worked;
  if (!result.ok) return { kind: "failed", error: result.error, retryable: result.retryable };
  if (changes.commit !== null) await leaveChanges(desk, changes.commit);
  await desk.job.artifact("final_output.txt", "model_output", { text: result.text }, "text/plain");
  return {
    kind: "done",
    output: json({
      summary: lastPart(result.text),
      ...changes,
      usage: result.usage,
    }),
  };
}

async function runRunner(desk: Desk): Promise<RoleEnd> {
  const results = await test(desk);
  if (results instanceof NoTestsError) return { kind: "failed", error: results.message, retryable: false };
  const decision = decide({ tests: results, judge: null });
  if (decision.kind === "retry") return { kind: "failed", error: decision.reason, retryable: true };
  return {
    kind: "done",
    output: outputOf(decision.verdict, results, {}),
    final: decision.verdict.verdict === "FAILED",
  };
}

const NO_SCENARIOS: TesterOutput = { test_scenarios: [], gaps: [] };

/** Tests, and sends the work back until it passes or nothing more is to be hoped for. */
async function runTester(desk: Desk): Promise<RoleEnd> {
  const { task, context } = desk;
  if (!task.runTests) return await writeTests(desk);
  const before = await earlierRounds(desk);
  const said = await testerWork(desk, before.at(-1)).catch(failedWork);
  if ("kind" in said) return said;
  const results = await desk.job.step(`devloop/${conversationOf(desk)}/tests`, async () => {
    const found = await test(desk);
    return json(found instanceof NoTestsError ? { noTests: found.message } : found);
  });
  if ("noTests" in (results as object))
    return { kind: "failed", error: String((results as { noTests: string }).noTests), retryable: false };
  const tests = results as unknown as TestResults;
  const round = roundOf(tests, said.gaps);
  const rounds = [...before.map((entry) => entry.round), round];
  const next = nextStep(tests, said.gaps, rounds, task.regress === undefined ? 0 : task.limits.regressions);
  const rest = { test_scenarios: said.test_scenarios, rounds: rounds.length };
  switch (next.kind) {
    case "passed":
      return passedTests(tests, rest);
    case "retry":
      return { kind: "failed", error: next.reason, retryable: true };
    case "failed": {
      const decision = decide({ tests, judge: null, contradictions: next.contradictions });
      const verdict = decision.kind === "verdict" ? decision.verdict : { decidedBy: "tests" as const, findings: [] };
      const findings = [{ level: "error" as const, message: next.reason }, ...verdict.findings];
      return { kind: "done", output: outputOf({ ...verdict, verdict: "FAILED", findings }, tests, rest), final: true };
    }
    case "regress":
      await desk.job.step(roundKey(desk, context.round), async () => json({ round, said }));
      // For people who look into the job's folder.
      await writeFile(join(dirname(desk.record.path), "test_feedback.txt"), next.feedback);
      desk.print(`sent back to ${task.regress!.like ?? task.regress!.agent}: ${next.reason}`);
      return { kind: "spawn", output: spawnOf(desk, next) };
  }
}

/** Tests are written before the code is there; whoever comes after runs them. */
async function writeTests(desk: Desk): Promise<RoleEnd> {
  const said = await testerWork(desk, undefined).catch(failedWork);
  if ("kind" in said) return said;
  const gate = { verdict: "PASSED", findings: [{ level: "info", message: "the tests were written, not run" }] };
  return { kind: "done", output: json({ gate, ...said }) };
}

function passedTests(tests: TestResults, rest: object): RoleEnd {
  const decision = decide({ tests, judge: null });
  if (decision.kind === "retry") return { kind: "failed", error: decision.reason, retryable: true };
  return { kind: "done", output: outputOf(decision.verdict, tests, rest) };
}

function roundKey(desk: Desk, round: number): string {
  return `devloop/life-${desk.life}/round/${round}`;
}

interface KeptRound {
  round: Round;
  said: TesterOutput;
}

/** The rounds before this one, of this life, oldest first. */
async function earlierRounds(desk: Desk): Promise<KeptRound[]> {
  const rounds: KeptRound[] = [];
  for (let at = 0; at < desk.context.round; at++) {
    const kept = await desk.job.step(roundKey(desk, at), async () => null as Json);
    if (kept !== null) rounds.push(kept as unknown as KeptRound);
  }
  return rounds;
}

/** The tester's agent works in the first round, and again as long as it saw gaps itself. */
async function testerWork(desk: Desk, last: KeptRound | undefined): Promise<TesterOutput> {
  if (desk.task.agent.kind === "none") return NO_SCENARIOS;
  if (last !== undefined && last.said.gaps.length === 0) return last.said;
  const { result } = await work(desk, "tester");
  if (!result.ok) throw new AgentFailed(result);
  if (result.spawns.length > 0)
    return {
      test_scenarios: [],
      gaps: result.spawns.map(({ prompt, reason }) => ({ requirement: reason, reason: prompt })),
    };
  const parsed = parseOutput<TesterOutput>("tester", result.data ?? result.text);
  if (parsed.ok) return parsed.value;
  throw new AgentFailed({
    ok: false,
    error: `validation_error: ${parsed.error}`,
    retryable: true,
    usage: result.usage,
  });
}

function spawnOf(desk: Desk, next: { reason: string; feedback: string }): Json {
  const { like, agent, stage } = desk.task.regress!;
  const who = like !== undefined ? { like } : { agent: agent ?? "", input: json({ ...desk.task, role: "dev" }) };
  return json({
    $spawn: [{ key: "regression", ...who, stage, reason: next.reason, allowFailure: true }],
    output: { feedback: next.feedback },
  });
}
