/**
 * The harness: the program of every job of an agent. Reads TENUTO_INPUT and TENUTO_CONTEXT, writes TENUTO_OUTPUT.
 *
 *   exit 0   done; for a tester and a verifier the verdict is in the output, for the job's gate
 *   exit 75  worth another attempt: a limit was reached, the agent failed, tests could not be collected
 *   exit 1   not worth another attempt: wrong input, no such program, no tests
 *
 * Invariants:
 * 1. The last line of standard error says why it failed.
 * 2. TENUTO_OUTPUT is written whole, and only with exit code 0.
 * 3. On SIGTERM the agent is ended at once, and the harness with it.
 */
import { renameSync, writeFileSync } from "node:fs";
import type { Json } from "tenuto";
import { EXIT_DONE, EXIT_FAILED, EXIT_RETRYABLE } from "../domain/ends.ts";
import { leavePlace, placeOf } from "./place.ts";
import { openRecord } from "./record.ts";
import { runRole } from "./roles.ts";
import { SecurityError } from "./sandbox.ts";
import { setUpWith } from "./set-up.ts";
import type { Job } from "./socket.ts";
import { jobFromEnvironment } from "./socket.ts";
import type { AttemptContext, Task } from "./task.ts";
import { readContext, readTask, TaskError } from "./task.ts";
import { ensureWorktree, enterWorktree, NoRepositoryError } from "./worktree.ts";

/** Kept back for the commit and the report. */
const RESERVE_MS = 500;

/** Runs the job that this process is, and gives its exit code. */
export async function main(env: NodeJS.ProcessEnv = process.env): Promise<number> {
  const stop = new AbortController();
  process.once("SIGTERM", () => stop.abort());
  process.once("SIGINT", () => stop.abort());
  const given = readTask(env);
  const context = readContext(env);
  const runId = env["TENUTO_RUN_ID"] ?? "run";
  const jobId = env["TENUTO_JOB_ID"] ?? given.role;
  const workspace = env["TENUTO_WORKSPACE"] ?? process.cwd();
  if (context.attempt > 1) say(`--- Attempt ${context.attempt} ---`);
  const { worktree, shared } = given;
  const place = placeOf({ worktree, runId, jobId, workspace, context, shared });
  const task = { ...given, worktree: place.path };
  const leave = await enterWorktree(task.repository, task.worktree, runId);
  try {
    const setUp = setUpWith(task.setupCommand, say);
    await ensureWorktree(task.repository, task.worktree, runId, { setUp, from: place.from });
    return await runTask({ task, context, runId, jobId, workspace, stop: stop.signal, env });
  } finally {
    await leave().catch((error: unknown) => say(`the worktree stays for now: ${(error as Error).message}`));
  }
}

interface Call {
  task: Task;
  context: AttemptContext;
  runId: string;
  jobId: string;
  workspace: string;
  stop: AbortSignal;
  env: NodeJS.ProcessEnv;
}

async function runTask({ task, context, runId, jobId, workspace, stop, env }: Call): Promise<number> {
  const job = jobFromEnvironment(env);
  const failures = await countSteps(job, "devloop/failed");
  const life = await countSteps(job, "devloop/final");
  const record = openRecord(workspace);
  try {
    const end = await runRole({
      task,
      context,
      runId,
      jobId,
      job,
      record,
      now: Date.now,
      // Starting this program counts as well.
      deadline: performance.timeOrigin + Math.max(1, task.limits.seconds * 1_000 - RESERVE_MS),
      signal: stop,
      print: say,
      failures,
      life,
    });
    record.add({ event: "end", kind: end.kind, ...(end.kind === "failed" ? { error: end.error } : {}) });
    if (end.kind === "failed") {
      if (!stop.aborted) await job.step(`devloop/failed/${failures}`, async () => true);
      complain(stop.aborted ? "stopped from outside" : end.error);
      return end.retryable ? EXIT_RETRYABLE : EXIT_FAILED;
    }
    await job.artifact("actions.jsonl", "file", { path: record.path }, "application/jsonl").catch(() => {});
    if (end.kind === "done") await leavePlace(job, runId, task.worktree);
    if (end.kind === "done" && end.final === true) await job.step(`devloop/final/${life}`, async () => true);
    writeOutput(env["TENUTO_OUTPUT"], end.output);
    return EXIT_DONE;
  } finally {
    record.close();
  }
}

/** How many steps `<name>/0`, `<name>/1` … there are. */
async function countSteps(job: Job, name: string): Promise<number> {
  for (let count = 0; ; count++) {
    const missing = new Error();
    try {
      await job.step(`${name}/${count}`, () => Promise.reject(missing));
    } catch (error) {
      if (error === missing) return count;
      throw error;
    }
  }
}

function writeOutput(path: string | undefined, output: Json): void {
  if (path === undefined) {
    process.stdout.write(`${JSON.stringify(output, null, 2)}\n`);
    return;
  }
  writeFileSync(`${path}.draft`, JSON.stringify(output), { mode: 0o600 });
  renameSync(`${path}.draft`, path);
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

function complain(message: string): void {
  process.stderr.write(`${message.trim()}\n`);
}

if (import.meta.main) {
  try {
    process.exitCode = await main();
  } catch (error) {
    complain(error instanceof Error ? error.message : String(error));
    const forGood = [TaskError, NoRepositoryError, SecurityError].some((kind) => error instanceof kind);
    process.exitCode = forGood ? EXIT_FAILED : EXIT_RETRYABLE;
  }
  // Whoever still holds a pipe of ours must not keep the job open.
  process.exit();
}
