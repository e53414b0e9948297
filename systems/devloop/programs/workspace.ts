/**
 * The first and the last job of a run: make its worktree, and remove it. `workspace.ts open` and `workspace.ts close`.
 *
 * Invariants:
 * 1. `open` again gives the same worktree; `close` again finds nothing to do.
 * 2. Commits stay on the branch `tenuto/<run>`; a branch without any is removed.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { ensureWorktree, NoRepositoryError, removeWorktree } from "../harness/git.ts";
import { setUpWith } from "../harness/set-up.ts";

const OPEN = z.strictObject({ repository: z.string().min(1), setupCommand: z.array(z.string()).default([]) });
const CLOSE = z.strictObject({ repository: z.string().min(1), path: z.string().min(1) });

async function run(verb: string | undefined, env: NodeJS.ProcessEnv): Promise<object> {
  const input: unknown = JSON.parse(readFileSync(env["TENUTO_INPUT"]!, "utf8"));
  const runId = env["TENUTO_RUN_ID"]!;
  if (verb === "open") {
    const { repository, setupCommand } = OPEN.parse(input);
    const setUp = setUpWith(setupCommand, (line) => process.stdout.write(`${line}\n`));
    return { ...(await ensureWorktree(repository, join(env["TENUTO_WORKSPACE"]!, "tree"), runId, setUp)), repository };
  }
  const { repository, path } = CLOSE.parse(input);
  return await removeWorktree(repository, path, runId);
}

try {
  writeFileSync(process.env["TENUTO_OUTPUT"]!, JSON.stringify(await run(process.argv[2], process.env)));
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  // Git may have been busy or short of something; a wrong folder stays wrong.
  process.exitCode = error instanceof NoRepositoryError || error instanceof z.ZodError ? 1 : 75;
}
