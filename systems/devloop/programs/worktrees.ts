/**
 * `npm run worktrees -w devloop -- REPOSITORY…`: finds worktrees that runs have left behind, and removes them.
 *
 * A run removes its own worktree at its end. What stays is that of a cancelled or halted run, of one whose home is gone, or
 * one that was made again by a retry.
 *
 *   --home DIR    where the ledger is that knows the runs; default: .tenuto in the working directory
 *   --dry-run     says what would be removed
 *
 * Invariants:
 * 1. The worktree of a run that may still work is never touched; a run that the ledger does not know is left alone unless
 *    --unknown says otherwise.
 * 2. What was not committed is committed to the run's branch before the worktree goes. Branches with commits stay.
 */
import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { openTenuto } from "tenuto";
import { git } from "../harness/git.ts";
import { removeWorktree } from "../harness/worktree.ts";

export interface FoundWorktree {
  repository: string;
  path: string;
  run: string;
  /** State of its run; null if the ledger does not know it. */
  state: string | null;
  removed: boolean;
  /** Why it could not be removed. */
  problem?: string;
}

export interface WorktreeOptions {
  repositories: readonly string[];
  home: string;
  dryRun?: boolean;
  /** Those of runs that the ledger does not know as well. */
  unknown?: boolean;
}

const ENDED = new Set(["completed", "failed", "cancelled"]);

/** Removes worktrees of runs that have ended, and says what it found. */
export async function tidyWorktrees({
  repositories,
  home,
  dryRun = false,
  unknown = false,
}: WorktreeOptions): Promise<FoundWorktree[]> {
  const found: FoundWorktree[] = [];
  await using tenuto = existsSync(join(home, "ledger.db")) ? await openTenuto({ home, work: false }) : null;
  for (const repository of repositories) {
    for (const { path, run } of await worktreesOf(repository)) {
      const record = await tenuto?.client.run(run).catch(() => null);
      const state = record?.id === run ? record.state : null;
      const goes = state === null ? unknown : ENDED.has(state);
      const entry: FoundWorktree = { repository, path, run, state, removed: false };
      found.push(entry);
      if (!goes || dryRun) continue;
      try {
        await removeWorktree(repository, path, run);
        entry.removed = true;
      } catch (error) {
        entry.problem = error instanceof Error ? error.message : String(error);
      }
    }
  }
  return found;
}

async function worktreesOf(repository: string): Promise<{ path: string; run: string }[]> {
  const blocks = (await git(repository, ["worktree", "list", "--porcelain"])).split("\n\n");
  return blocks.flatMap((block) => {
    const path = /^worktree (.+)$/m.exec(block)?.[1];
    const run = /^branch refs\/heads\/tenuto\/(.+)$/m.exec(block)?.[1];
    return path === undefined || run === undefined ? [] : [{ path, run }];
  });
}

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      home: { type: "string", default: ".tenuto" },
      "dry-run": { type: "boolean", default: false },
      unknown: { type: "boolean", default: false },
    },
  });
  if (positionals.length === 0) {
    process.stderr.write(
      "Say which repositories: npm run worktrees -w devloop -- REPOSITORY… [--home DIR] [--dry-run] [--unknown]\n",
    );
    return 2;
  }
  const from = process.env["INIT_CWD"] ?? process.cwd();
  const found = await tidyWorktrees({
    repositories: positionals.map((path) => resolve(from, path)),
    home: resolve(from, values.home),
    dryRun: values["dry-run"],
    unknown: values.unknown,
  });
  for (const { path, run, state, removed, problem } of found) {
    const lead = removed ? "removed" : "left   ";
    const why = problem === undefined ? "" : `  ${problem}`;
    process.stdout.write(`${lead}  ${run} (${state ?? "not in this ledger"})  ${path}${why}\n`);
  }
  if (found.length === 0) process.stdout.write("No worktrees of runs.\n");
  return found.some((entry) => entry.problem !== undefined) ? 1 : 0;
}

if (import.meta.main) {
  try {
    process.exitCode = await main();
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = 1;
  }
}
