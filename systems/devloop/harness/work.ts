/**
 * What the roles have in common: an agent's work with its commit, a test run, and the output that a gate reads.
 *
 * Invariants:
 * 1. An answer is kept as a step under the name of its conversation: found again after a crash, asked for anew when an attempt
 *    failed, and when a person opened the job again after its final word.
 * 2. Work that is done is committed before the result is given; a result without its commit does not exist.
 */
import { join } from "node:path";
import type { Json } from "tenuto";
import { cut } from "../domain/context.ts";
import { EXPECTED, type Role } from "../domain/outputs.ts";
import { buildPrompt } from "../domain/prompt.ts";
import type { TestResults } from "../domain/results.ts";
import { resultsText } from "../domain/results.ts";
import type { Verdict } from "../domain/verdict.ts";
import type { AgentResult } from "./agent.ts";
import { runAgent } from "./agent.ts";
import type { Desk } from "./desk.ts";
import type { Changes } from "./git.ts";
import { beginAtTip, branchOf, cleanStart, commitChanges, discardChanges, takeOver } from "./git.ts";
import { planOf, previousErrorOf, regressionOf } from "./task.ts";
import { NoTestsError, runTests } from "./tests.ts";

/** Outputs of jobs are at most 1 MB: of long lists the beginning is named. */
const NAMED_FILES = 500;
const SHOWN_FINDINGS = 200;
const FINDING_CHARS = 1_000;

const json = (value: unknown) => value as Json;

export interface Worked {
  result: AgentResult;
  changes: Changes;
}

/** What is asked in one life, attempt and round is kept under this name: found again after a crash, and by nobody else. */
export function conversationOf({ life, failures, context }: Desk): string {
  const name = `try-${failures}/round-${context.round}`;
  return life === 0 ? name : `life-${life}/${name}`;
}

/** An answer that could not be used, and what was wrong with it. */
export interface Asked {
  times: number;
  problem: string;
}

/** Runs the agent once per round, from a clean start, and commits what it did. */
export async function work(desk: Desk, role: Role, before: Asked | null = null): Promise<Worked> {
  const { task, context } = desk;
  const round = context.round;
  const conversation = `${conversationOf(desk)}${before === null ? "" : `/again-${before.times}`}`;
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
      attempt: desk.failures + 1 + (before?.times ?? 0),
      previousError: before?.problem ?? previousErrorOf(context),
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

export class AgentFailed extends Error {
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

export async function test(desk: Desk): Promise<TestResults | NoTestsError> {
  const { task } = desk;
  try {
    const results = await runTests({
      tree: join(task.worktree, task.testPath),
      root: task.worktree,
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

export function outputOf(verdict: Verdict, tests: TestResults | null, rest: object): Json {
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
