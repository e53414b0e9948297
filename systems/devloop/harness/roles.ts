/**
 * The four roles and the test runner: what each does with its agent, the worktree and the tests, and what it hands back.
 *
 * Invariants:
 * 1. Planner and verifier change nothing: whatever their agent changed is put back and named.
 * 2. Work that is done is committed before the result is given; a result without its commit does not exist.
 * 3. The verdict on work comes from `domain/verdict.ts` and leaves in the words of gates.
 */
import { writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Json } from "tenuto";
import { cut } from "../domain/context.ts";
import type { Role } from "../domain/outputs.ts";
import {
  EXPECTED,
  orderOf,
  type Plan,
  parseOutput,
  type TesterOutput,
  type VerifierOutput,
} from "../domain/outputs.ts";
import { buildPrompt, lastPart } from "../domain/prompt.ts";
import { nextStep, type Round, roundOf } from "../domain/regression.ts";
import type { TestResults } from "../domain/results.ts";
import { feedbackOf, resultsText } from "../domain/results.ts";
import { decide, type Verdict } from "../domain/verdict.ts";
import type { AgentResult } from "./agent.ts";
import { runAgent } from "./agent.ts";
import type { Changes } from "./git.ts";
import { beginAtTip, branchOf, cleanStart, commitChanges, discardChanges, takeOver } from "./git.ts";
import type { ActionsRecord } from "./record.ts";
import type { Job } from "./socket.ts";
import type { AttemptContext, Task } from "./task.ts";
import { PLAN_ARTIFACT, planOf, previousErrorOf, regressionOf } from "./task.ts";
import { NoTestsError, runTests } from "./tests.ts";

/** What an attempt of a role has at hand. */
export interface Desk {
  task: Task;
  context: AttemptContext;
  runId: string;
  jobId: string;
  job: Job;
  record: ActionsRecord;
  now: () => number;
  /** When the harness must be done. */
  deadline: number;
  signal: AbortSignal;
  print: (line: string) => void;
  /** Attempts of this job that failed before. */
  failures: number;
  /** Verdicts of this job that were final before a person opened it again. */
  life: number;
}

export type RoleEnd =
  | { kind: "done"; output: Json; final?: boolean }
  | { kind: "spawn"; output: Json }
  | { kind: "failed"; error: string; retryable: boolean };

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

interface Worked {
  result: AgentResult;
  changes: Changes;
}

/** Runs the agent once per round, from a clean start, and commits what it did. */
async function work(desk: Desk, role: Role): Promise<Worked> {
  const { task, context } = desk;
  const round = context.round;
  const conversation = `try-${desk.failures}/round-${round}`;
  const readOnly = role === "planner" || role === "verifier";
  const kept = await desk.job.step(`devloop/${conversation}/agent`, async () => {
    if (await cleanUp(desk, readOnly))
      desk.print("what an earlier attempt left behind was put aside under refs/tenuto/left-over/");
    const prompt = buildPrompt({
      role,
      originalPrompt: task.originalPrompt,
      task: task.task,
      plan: planOf(context),
      regression: regressionOf(context),
      attempt: desk.failures + 1,
      previousError: previousErrorOf(context),
      children: context.children.map(({ id, state, output }) => ({ id, state, output: (output ?? null) as Json })),
      expected: EXPECTED[role],
    });
    desk.record.add({ event: "prompt", round, attempt: context.attempt, prompt });
    const result = await runAgent({
      task,
      role,
      prompt,
      job: desk.job,
      conversation,
      limitMs: Math.max(1, desk.deadline - desk.now()),
      now: desk.now,
      signal: desk.signal,
      record: (entry) => desk.record.add(entry),
      print: desk.print,
    });
    // Only good work is kept over a crash; bad work is done again.
    if (!result.ok) throw new AgentFailed(result);
    return result as unknown as Json;
  });
  // A step of its own: whoever dies between the two commits what is there, and asks the agent nothing again.
  const changes = await desk.job.step(`devloop/${conversation}/commit`, async () =>
    json(await commit(desk, role, readOnly, conversation)),
  );
  return { result: kept as unknown as AgentResult, changes: changes as unknown as Changes };
}

/** What an earlier attempt, or a test run, left behind. */
async function cleanUp({ task, runId, jobId, context }: Desk, readOnly: boolean): Promise<boolean> {
  const label = `${runId}/${jobId}/${context.attempt}`;
  if (!task.shared) return await beginAtTip(task.worktree, branchOf(runId), label);
  return readOnly ? false : await cleanStart(task.worktree, task.allowedPaths, label);
}

class AgentFailed extends Error {
  readonly result: AgentResult & { ok: false };

  constructor(result: AgentResult & { ok: false }) {
    super(result.error);
    this.result = result;
  }
}

async function commit(desk: Desk, role: Role, readOnly: boolean, conversation: string): Promise<Changes> {
  const { task, jobId } = desk;
  if (readOnly && task.shared) return { commit: null, files: [], outside: [] };
  if (!task.shared) await takeOver(task.worktree, branchOf(desk.runId));
  const allowed = readOnly ? [] : task.allowedPaths;
  const changes = await commitChanges(task.worktree, allowed, `${role}: ${jobId}`, {
    others: task.shared,
    work: `${desk.runId}/${jobId}/${conversation}`,
  });
  if (changes.outside.length > 0) {
    const shown = changes.outside.slice(0, 5).join(", ");
    await desk.job.log("WARNING", `the agent changed what it may not, which was put back: ${shown}`);
  }
  return { ...changes, files: changes.files.slice(0, NAMED_FILES), outside: changes.outside.slice(0, NAMED_FILES) };
}

function failedWork(error: unknown): RoleEnd {
  if (error instanceof AgentFailed) return { kind: "failed", error: error.message, retryable: error.result.retryable };
  throw error;
}

const json = (value: unknown) => value as Json;

/** Outputs of jobs are at most 1 MB: of long lists the beginning is named. */
const NAMED_FILES = 500;
const SHOWN_FINDINGS = 200;
const FINDING_CHARS = 1_000;
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
  };
}

async function runDev(desk: Desk): Promise<RoleEnd> {
  const worked = await work(desk, "dev").catch(failedWork);
  if ("kind" in worked) return worked;
  const { result, changes } = worked;
  if (!result.ok) return { kind: "failed", error: result.error, retryable: result.retryable };
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

async function test(desk: Desk): Promise<TestResults | NoTestsError> {
  const { task } = desk;
  try {
    const results = await runTests({
      tree: join(task.worktree, task.testPath),
      command: task.testCommand,
      timeoutMs: Math.max(1, Math.min(task.limits.testSeconds * 1_000, desk.deadline - desk.now())),
      signal: desk.signal,
      onLine: desk.print,
    });
    if (!task.shared) await discardChanges(task.worktree);
    desk.print(resultsText(results));
    const text = JSON.stringify(results, null, 2);
    await desk.job.artifact(`test_results-${desk.context.round}.json`, "test_results", { text }, "application/json");
    return results;
  } catch (error) {
    if (error instanceof NoTestsError) return error;
    throw error;
  }
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

function outputOf(verdict: Verdict, tests: TestResults | null, rest: object): Json {
  const { verdict: word, findings, decidedBy } = verdict;
  const { passing: _, ...shown } = tests ?? { passing: [] };
  const named = findings.slice(0, SHOWN_FINDINGS).map((one) => ({ ...one, message: cut(one.message, FINDING_CHARS) }));
  return json({
    gate: { verdict: word, findings: named },
    decided_by: decidedBy,
    tests: tests === null ? null : shown,
    ...rest,
  });
}

const NO_SCENARIOS: TesterOutput = { test_scenarios: [], gaps: [] };

/** Tests, and sends the work back until it passes or nothing more is to be hoped for. */
async function runTester(desk: Desk): Promise<RoleEnd> {
  const { task, context } = desk;
  if (!task.runTests) return await writeTests(desk);
  const before = await earlierRounds(desk);
  const said = await testerWork(desk, before.at(-1)).catch(failedWork);
  if ("kind" in said) return said;
  const results = await desk.job.step(`devloop/try-${desk.failures}/round-${context.round}/tests`, async () => {
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

async function runVerifier(desk: Desk): Promise<RoleEnd> {
  const { judge, problem } = await judgement(desk);
  const results = await test(desk);
  const tests = results instanceof NoTestsError ? null : results;
  const decision = decide({ tests, judge, ...(problem === null ? {} : { judgeProblem: problem }) });
  if (decision.kind === "retry")
    return { kind: "failed", error: `${decision.reason}\n${tests?.output ?? ""}`, retryable: true };
  const { verdict } = decision;
  const report = { ...verdict, judge, tests: tests === null ? null : feedbackOf(tests) };
  await desk.job.artifact(
    "verification_report.json",
    "verification_report",
    { text: JSON.stringify(report, null, 2) },
    "application/json",
  );
  return {
    kind: "done",
    output: outputOf(verdict, tests, { recommendation: judge?.recommendation ?? "" }),
    final: verdict.verdict === "FAILED",
  };
}

/** What the verifier's agent said; one that fails or makes no sense is no judge, and does not stop the verdict. */
async function judgement(desk: Desk): Promise<{ judge: VerifierOutput | null; problem: string | null }> {
  if (desk.task.agent.kind === "none") return { judge: null, problem: "none was asked" };
  try {
    const { result } = await work(desk, "verifier");
    if (!result.ok) return { judge: null, problem: result.error };
    const parsed = parseOutput<VerifierOutput>("verifier", result.data ?? result.text);
    return parsed.ok ? { judge: parsed.value, problem: null } : { judge: null, problem: parsed.error };
  } catch (error) {
    if (error instanceof AgentFailed && !desk.signal.aborted) return { judge: null, problem: error.message };
    throw error;
  }
}
