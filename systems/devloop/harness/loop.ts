/**
 * Tenuto's own agent: asks a model, carries out what it answers inside the sandbox, and asks again until it finishes.
 *
 * Invariants:
 * 1. An answer that is no valid document counts as an iteration and changes nothing.
 * 2. It ends by `finish`, by asking for a job, at the limit of iterations or time, when stopped, or by an error; never otherwise.
 * 3. The same answer four times in a row is an error: the model is stuck.
 * 4. Each answer of the model is kept as a step of the job: after a crash the conversation is played again from a clean
 *    worktree and goes on where it was, without asking twice.
 */
import type { Json } from "tenuto";
import type { ToolName } from "../domain/actions.ts";
import { parseResponse } from "../domain/actions.ts";
import type { Iteration, ModelContext } from "../domain/context.ts";
import { buildContext } from "../domain/context.ts";
import type { End } from "../domain/ends.ts";
import type { Sandbox } from "./sandbox.ts";
import type { Job } from "./socket.ts";
import { carryOut, list } from "./tools.ts";

const STUCK_AFTER = 4;
/** Work is sent back to developers, and to nobody else. */
const ASKED_FOR = ["dev"];

export type ModelAnswer =
  | { kind: "text"; text: string }
  | { kind: "timeout" }
  | { kind: "stopped" }
  | { kind: "error"; message: string; retryable: boolean };

/** Asks a model once, within the time that is left. */
export type Model = (context: ModelContext, timeoutMs: number) => Promise<ModelAnswer>;

export interface LoopOptions {
  job: Job;
  /** Distinguishes the conversations of one job. */
  conversation: string;
  model: Model;
  sandbox: Sandbox;
  task: string;
  role: string;
  instructions: string;
  allowedPaths: readonly string[];
  tools: readonly ToolName[];
  maxIterations: number;
  limitMs: number;
  /** The limit as people gave it, for the message. */
  limitSeconds: number;
  now: () => number;
  signal: AbortSignal;
  record: (entry: { [key: string]: Json }) => void;
}

export async function runLoop(options: LoopOptions): Promise<End> {
  const { now, limitMs, maxIterations, signal } = options;
  const startedAt = now();
  const history: Iteration[] = [];
  let last = "";
  let repeated = 0;
  for (let iteration = 1; iteration <= maxIterations; iteration++) {
    if (signal.aborted) return { kind: "external_stop" };
    const left = limitMs - (now() - startedAt);
    if (left <= 0) return { kind: "timeout_exceeded", seconds: options.limitSeconds };
    const answer = await ask(options, iteration, history, left);
    if (answer.kind === "stopped") return { kind: "external_stop" };
    if (answer.kind === "timeout") return { kind: "timeout_exceeded", seconds: options.limitSeconds };
    if (answer.kind === "error") return { kind: "fatal_error", message: answer.message, retryable: answer.retryable };
    repeated = answer.text === last ? repeated + 1 : 1;
    last = answer.text;
    if (repeated >= STUCK_AFTER)
      return { kind: "fatal_error", message: `stuck: the same answer ${STUCK_AFTER} times in a row`, retryable: false };
    const end = await takeAnswer(options, iteration, answer.text, history);
    if (end !== null) return end;
  }
  return { kind: "max_iterations_reached", iterations: maxIterations };
}

async function ask(
  options: LoopOptions,
  iteration: number,
  history: readonly Iteration[],
  leftMs: number,
): Promise<ModelAnswer> {
  const context = buildContext({
    task: options.task,
    role: options.role,
    instructions: options.instructions,
    allowedPaths: options.allowedPaths,
    entries: await list(options.sandbox, options.allowedPaths[0] ?? ".").catch(() => []),
    tools: options.tools,
    iteration,
    maxIterations: options.maxIterations,
    history,
  });
  const key = `devloop/${options.conversation}/model/${iteration}`;
  try {
    const text = await options.job.step(key, async () => {
      const answer = await options.model(context, leftMs);
      if (answer.kind === "text") return answer.text;
      throw new NoAnswer(answer);
    });
    return { kind: "text", text };
  } catch (error) {
    // Only answers are kept; a failed call is made again by the next attempt.
    if (error instanceof NoAnswer) return error.answer;
    throw error;
  }
}

class NoAnswer extends Error {
  readonly answer: ModelAnswer;

  constructor(answer: ModelAnswer) {
    super(answer.kind);
    this.answer = answer;
  }
}

async function takeAnswer(
  options: LoopOptions,
  iteration: number,
  text: string,
  history: Iteration[],
): Promise<End | null> {
  const parsed = parseResponse(text.trim(), options.tools);
  if (!parsed.ok) {
    history.push({ iteration, results: [{ tool: "(answer)", status: "validation_error", error: parsed.error }] });
    options.record({
      iteration,
      llm_response: text.slice(0, 100_000),
      results: [{ status: "validation_error", error: parsed.error }],
    });
    return null;
  }
  const { reasoning } = parsed.response;
  const { results, finish, spawns } = await carryOut(options.sandbox, parsed.response, ASKED_FOR);
  history.push({ iteration, ...(reasoning === undefined ? {} : { reasoning }), results });
  options.record({ iteration, llm_response: text.slice(0, 100_000), results: results as unknown as Json });
  await options.job.progress(iteration, options.maxIterations, results.map((result) => result.tool).join(", "));
  if (spawns.length > 0) return { kind: "spawn", requests: spawns };
  return finish === null ? null : { kind: "finish", ...finish };
}
