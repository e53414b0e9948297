/**
 * What the harness is given: its input, and the context of the attempt. Checked before anything is done.
 *
 * Invariant: unknown fields of the input are refused; the context is the engine's and may grow.
 */
import { readFileSync } from "node:fs";
import { posix } from "node:path";
import type { Json } from "tenuto";
import { z } from "zod";
import { issuesOf } from "../domain/actions.ts";
import { DEFAULT_REGRESSIONS } from "../domain/regression.ts";

/** Name under which a planner leaves its plan. */
export const PLAN_ARTIFACT = "task_plan.json";

export const AGENT_KINDS = ["harness", "command", "claude-code", "codex", "none"] as const;

const text = z.string().max(1_000_000);
const argv = z.array(z.string().max(100_000)).max(200);
const seconds = z.number().positive().max(86_400);

/** `./src/` is `src`. */
function tidyPath(path: string): string {
  return posix.normalize(path).replace(/(?!^)\/+$/, "");
}

function isInside(path: string): boolean {
  return !posix.isAbsolute(path) && path !== ".." && !path.startsWith("../");
}

export const TASK = z.strictObject({
  role: z.enum(["planner", "dev", "tester", "verifier", "runner"]),
  /** The run's prompt, never changed by anyone. */
  originalPrompt: text.min(1),
  /** This job's part of it. */
  task: text.optional(),
  repository: z.string().min(1),
  worktree: z.string().min(1),
  agent: z.strictObject({
    /** `harness`: Tenuto's own loop around a model command. `none`: no agent, only the tests. */
    kind: z.enum(AGENT_KINDS),
    /** Program and leading arguments of agent or model. Empty: the agent's usual name. */
    command: argv.default([]),
    model: z.string().max(200).default(""),
    /** Variables with logins that it may see, beside those that its kind needs. */
    logins: z.array(z.string().max(200)).max(50).default([]),
  }),
  /** Relative to the worktree; none means all. */
  allowedPaths: z
    .array(z.string().min(1).max(1_000).transform(tidyPath).refine(isInside, "must lie inside the worktree"))
    .max(1_000)
    .default(["."])
    .transform((paths) => (paths.length === 0 ? ["."] : paths)),
  /** Other jobs work in the same worktree at the same time, each in paths of its own. */
  shared: z.boolean().default(false),
  /** Run in a worktree that has just been made. */
  setupCommand: argv.default([]),
  /** Default: found by what the repository holds. */
  testCommand: argv.default([]),
  /** Folder below the worktree in which the tests are run. */
  testPath: z.string().max(1_000).default("."),
  /** False for a tester that writes tests before there is code. */
  runTests: z.boolean().default(true),
  /** Who mends what the tests find: a declared job that is run again, or an agent. Absent: nobody. */
  regress: z
    .strictObject({
      like: z.string().min(1).max(100).optional(),
      agent: z.string().min(1).max(200).optional(),
      stage: z.string().min(1).max(100),
    })
    .optional(),
  /** A person decides on what it hands back: a job that is begun again has been refused, and is to think anew. */
  awaitsApproval: z.boolean().default(false),
  chainId: z.string().max(200).optional(),
  limits: z
    .strictObject({
      iterations: z.number().int().min(1).max(10_000).default(50),
      seconds: seconds.default(300),
      testSeconds: seconds.default(120),
      regressions: z.number().int().min(0).max(20).default(DEFAULT_REGRESSIONS),
      finalGraceSeconds: seconds.default(5),
    })
    .prefault({}),
});
export type Task = z.infer<typeof TASK>;

const CONTEXT = z.looseObject({
  attempt: z.number().int().default(1),
  previousError: z.unknown().optional(),
  round: z.number().int().default(0),
  children: z
    .array(
      z.looseObject({
        id: z.string(),
        state: z.string(),
        output: z.json().nullable().optional(),
        error: z.unknown().optional(),
      }),
    )
    .default([]),
  /** What earlier jobs made, laid out as files. */
  artifacts: z.array(z.looseObject({ job: z.string(), name: z.string(), path: z.string() })).default([]),
  regression: z
    .looseObject({ reason: z.string(), requestedBy: z.string(), parentOutput: z.json().nullable().optional() })
    .nullable()
    .optional(),
});
export type AttemptContext = z.infer<typeof CONTEXT>;

export class TaskError extends Error {}

/** @throws TaskError naming what is wrong */
export function readTask(env: NodeJS.ProcessEnv = process.env): Task {
  const file = env["TENUTO_INPUT"];
  if (file === undefined)
    throw new TaskError("TENUTO_INPUT is not set: the harness is a job's program, see the README");
  const parsed = TASK.safeParse(JSON.parse(readFileSync(file, "utf8")));
  if (!parsed.success) throw new TaskError(`the input of the harness is wrong: ${issuesOf(parsed.error)}`);
  return parsed.data;
}

export function readContext(env: NodeJS.ProcessEnv = process.env): AttemptContext {
  const file = env["TENUTO_CONTEXT"];
  const attempt = Number(env["TENUTO_ATTEMPT"] ?? "1");
  if (file === undefined) return CONTEXT.parse({ attempt });
  const parsed = CONTEXT.safeParse(JSON.parse(readFileSync(file, "utf8")));
  if (!parsed.success) throw new TaskError(`TENUTO_CONTEXT can't be read: ${issuesOf(parsed.error)}`);
  return parsed.data;
}

/** The plan of an earlier job, if there is one. */
export function planOf(context: AttemptContext): string | null {
  const plan = context.artifacts.find((artifact) => artifact.name === PLAN_ARTIFACT);
  return plan === undefined ? null : readFileSync(plan.path, "utf8");
}

/** What the attempt before failed with, in words. */
export function previousErrorOf(context: AttemptContext): string | null {
  const { previousError } = context;
  if (previousError === null || previousError === undefined) return null;
  if (typeof previousError === "string") return previousError;
  const { message, details } = previousError as { message?: unknown; details?: { stderr?: unknown } };
  const parts = [message, details?.stderr].filter((part) => typeof part === "string" && part !== "");
  return parts.length === 0 ? JSON.stringify(previousError) : parts.join("\n");
}

export function regressionOf(
  context: AttemptContext,
): { reason: string; requestedBy: string; parentOutput: Json } | null {
  const { regression } = context;
  if (regression === null || regression === undefined) return null;
  return {
    reason: regression.reason,
    requestedBy: regression.requestedBy,
    parentOutput: regression.parentOutput ?? null,
  };
}
