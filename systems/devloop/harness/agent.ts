/**
 * Runs one agent in the worktree, whatever kind it is, and says what came of it.
 *
 * Invariants:
 * 1. It returns within the limit that was given, and the agent's process group is gone then.
 * 2. An exit code of 0 is not believed alone: the adapter's reader decides.
 * 3. What the agent prints goes to the log in short lines, at most 8 MB of them.
 */
import { readFile } from "node:fs/promises";
import type { Json } from "tenuto";
import type { ToolName } from "../domain/actions.ts";
import type { End } from "../domain/ends.ts";
import { endText, exitCodeOf } from "../domain/ends.ts";
import type { Role } from "../domain/outputs.ts";
import type { Adapter, Usage } from "./adapters/adapter.ts";
import { NO_USAGE } from "./adapters/adapter.ts";
import { claudeCode } from "./adapters/claude-code.ts";
import { codex } from "./adapters/codex.ts";
import { plain } from "./adapters/plain.ts";
import { worktreeEnvironment } from "./git.ts";
import { plainText } from "./lines.ts";
import { runLoop } from "./loop.ts";
import { commandModel } from "./model.ts";
import { runProgram } from "./program.ts";
import { openSandbox } from "./sandbox.ts";
import type { Job } from "./socket.ts";
import type { Task } from "./task.ts";

const LOG_MAX_BYTES = 8 * 1024 * 1024;
/** Of an agent's last message. */
const TEXT_MAX_CHARS = 256 * 1024;
const ADAPTERS: Record<string, Adapter> = { "claude-code": claudeCode, codex, command: plain };
/** Logins that a model command may need. */
const MODEL_LOGINS = ["ANTHROPIC_API_KEY", "OPENAI_API_KEY", "OPENAI_BASE_URL", "ANTHROPIC_BASE_URL"];

const READING: readonly ToolName[] = ["read_file", "list_directory", "find_files", "transform_text", "finish"];
const WRITING: readonly ToolName[] = ["write_file", "create_file", ...READING];

/** The tools of each role; a tester that has somebody to send work to may also ask for a job. */
export function toolsOf(role: Role, regress: boolean): readonly ToolName[] {
  if (role === "dev") return WRITING;
  if (role === "tester") return regress ? ["spawn_job", ...WRITING] : WRITING;
  return READING;
}

export interface AgentRun {
  task: Task;
  role: Role;
  prompt: string;
  job: Job;
  /** Distinguishes this call from others of the same job. */
  conversation: string;
  limitMs: number;
  now: () => number;
  signal: AbortSignal;
  record: (entry: { [key: string]: Json }) => void;
  print: (line: string) => void;
}

export type AgentResult =
  | { ok: true; text: string; data: Json; spawns: { prompt: string; reason: string }[]; usage: Usage }
  | { ok: false; error: string; retryable: boolean; usage: Usage };

export async function runAgent(run: AgentRun): Promise<AgentResult> {
  return run.task.agent.kind === "harness" ? await runOwn(run) : await runForeign(run);
}

async function runOwn(run: AgentRun): Promise<AgentResult> {
  const { task, role } = run;
  if (task.agent.command.length === 0)
    return failed("agent harness needs agent.command: the program that is the model", false);
  const end = await runLoop({
    job: run.job,
    conversation: run.conversation,
    model: commandModel({
      argv: task.agent.command,
      cwd: task.worktree,
      passEnv: [...MODEL_LOGINS, ...task.agent.logins],
      signal: run.signal,
    }),
    sandbox: await openSandbox(task.worktree, task.allowedPaths),
    task: run.prompt,
    role,
    instructions: await instructionsOf(role),
    allowedPaths: task.allowedPaths,
    tools: toolsOf(role, task.regress !== undefined),
    maxIterations: task.limits.iterations,
    limitMs: run.limitMs,
    limitSeconds: task.limits.seconds,
    now: run.now,
    signal: run.signal,
    record: run.record,
  });
  return resultOfEnd(end);
}

function resultOfEnd(end: End): AgentResult {
  if (end.kind === "finish")
    return {
      ok: true,
      text: end.summary.slice(-TEXT_MAX_CHARS),
      data: (end.output ?? null) as Json,
      spawns: [],
      usage: NO_USAGE,
    };
  if (end.kind === "spawn") return { ok: true, text: "", data: null, spawns: end.requests, usage: NO_USAGE };
  return failed(endText(end), exitCodeOf(end) === 75);
}

function failed(error: string, retryable: boolean, usage: Usage = NO_USAGE): AgentResult {
  return { ok: false, error, retryable, usage };
}

async function runForeign(run: AgentRun): Promise<AgentResult> {
  const { task, role } = run;
  const adapter = ADAPTERS[task.agent.kind];
  if (adapter === undefined) return failed(`there is no adapter ${task.agent.kind}`, false);
  const { command, model } = task.agent;
  const argv = adapter.argv({
    ...(command.length > 0 ? { command } : {}),
    model: model === "" ? undefined : model,
    maxTurns: task.limits.iterations,
    readOnly: role === "planner" || role === "verifier",
  });
  if (argv.length === 0) return failed("agent command needs agent.command: the program to run", false);
  const reader = adapter.reader();
  const print = limitedPrint(run.print);
  const result = await runProgram({
    argv,
    cwd: task.worktree,
    env: worktreeEnvironment(task.worktree),
    passEnv: [...adapter.passEnv, ...task.agent.logins],
    stdin: `${await instructionsOf(role)}\n${run.prompt}`,
    timeoutMs: run.limitMs,
    finalGraceMs: task.limits.finalGraceSeconds * 1_000,
    signal: run.signal,
    onLine(stream, line) {
      const final = stream === "stdout" && reader.line(line);
      const note = stream === "stdout" ? reader.note() : plainText(line);
      if (note !== null && note !== "") print(note);
      return final;
    },
  });
  if (result.startError !== null) return failed(result.startError, false);
  if (result.ended === "stopped") return failed(endText({ kind: "external_stop" }), true);
  const outcome = reader.outcome(result);
  run.record({
    agent: adapter.name,
    argv0: argv[0]!,
    exit_code: result.exitCode,
    ended: result.ended,
    stdout_bytes: result.stdoutBytes,
    ok: outcome.ok,
    error: outcome.error,
    text: outcome.text.slice(0, 100_000),
    usage: outcome.usage as unknown as Json,
  });
  if (result.ended === "timeout" && !outcome.ok)
    return failed(endText({ kind: "timeout_exceeded", seconds: task.limits.seconds }), true, outcome.usage);
  if (!outcome.ok) return failed(outcome.error ?? "the agent failed", outcome.retryable, outcome.usage);
  return {
    ok: true,
    text: outcome.text.slice(-TEXT_MAX_CHARS),
    data: outcome.data ?? null,
    spawns: [],
    usage: outcome.usage,
  };
}

function limitedPrint(print: (line: string) => void): (line: string) => void {
  let left = LOG_MAX_BYTES;
  return (line) => {
    if (left <= 0) return;
    const text = line.slice(0, 2_000);
    left -= text.length + 1;
    print(left > 0 ? text : "[further output is not shown]");
  };
}

/** The instructions of a role: the body of its SKILL.md. */
export async function instructionsOf(role: Role): Promise<string> {
  const text = await readFile(new URL(`../skills/${role}/SKILL.md`, import.meta.url), "utf8");
  return text.replace(/^---\n[\s\S]*?\n---\n/, "").trim();
}
