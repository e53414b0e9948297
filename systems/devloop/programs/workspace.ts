/**
 * The first and the last job of a run: make its worktree, and remove it. `workspace.ts open` and `workspace.ts close`.
 *
 * Invariants:
 * 1. `open` again gives the same worktree; `close` again finds nothing to do.
 * 2. Commits stay on the branch `tenuto/<run>`; a branch without any is removed.
 * 3. `close` finds the worktree by its own folder, so also where `open` failed half-way or was answered from another run: it removes
 *    the worktree of this run, never that of the run before.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { z } from "zod";
import { leavePlace } from "../harness/place.ts";
import { setUpWith } from "../harness/set-up.ts";
import { jobFromEnvironment } from "../harness/socket.ts";
import { closeWorktree, ensureWorktree, NoRepositoryError } from "../harness/worktree.ts";

const OPEN = z.strictObject({ repository: z.string().min(1), setupCommand: z.array(z.string()).default([]) });
const CLOSE = z.strictObject({ repository: z.string().min(1), path: z.string().min(1).optional() });

async function run(verb: string | undefined, env: NodeJS.ProcessEnv): Promise<object> {
  const input: unknown = JSON.parse(readFileSync(env["TENUTO_INPUT"]!, "utf8"));
  const runId = env["TENUTO_RUN_ID"]!;
  const workspace = env["TENUTO_WORKSPACE"]!;
  if (verb === "open") {
    const { repository, setupCommand } = OPEN.parse(input);
    const setUp = setUpWith(setupCommand, (line) => process.stdout.write(`${line}\n`));
    const made = await ensureWorktree(repository, join(workspace, "tree"), runId, { setUp });
    await leavePlace(jobFromEnvironment(env), runId, made.path);
    return { ...made, repository };
  }
  const { repository, path = join(dirname(workspace), "workspace", "tree") } = CLOSE.parse(input);
  return await closeWorktree(repository, path, runId);
}

try {
  writeFileSync(process.env["TENUTO_OUTPUT"]!, JSON.stringify(await run(process.argv[2], process.env)));
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  // Git may have been busy or short of something; a wrong folder stays wrong.
  process.exitCode = error instanceof NoRepositoryError || error instanceof z.ZodError ? 1 : 75;
}
