/**
 * The worktree of a run: made where it is not there yet, removed at the run's end, and again where a person retried the run.
 *
 * Beside the worktree `tree` lie its marks: `tree.ready` (it is complete), `tree.making`, `tree.tip` (the newest commit of the
 * harness), `tree.git-file` (what its `.git` holds), `tree.closed` (the run's cleanup has been here), `tree.users/` and `tree.lock`.
 *
 * Invariants:
 * 1. A folder that was not made here is neither filled nor removed.
 * 2. Runs never share a worktree: a rerun, whose first jobs are answered from another run, gets one of its own, on a branch of
 *    its own that begins at the work of the jobs before.
 * 3. After the run's cleanup, which is not run again, whoever needs the worktree makes it again, and the last one out removes it.
 * 4. What was not committed is never lost: it is committed at the end, and put aside under `refs/tenuto/left-over/` when the run
 *    goes on after all.
 */
import { existsSync } from "node:fs";
import { mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import {
  branchOf,
  commitAll,
  dropLocks,
  GitError,
  git,
  gitFileOf,
  restoreGitFile,
  standAtTip,
  writeTip,
} from "./git.ts";
import { isAlive, withLock } from "./lock.ts";
import { SET_UP_SECONDS } from "./set-up.ts";

/** There is nothing to work in, and no other try will change that. */
export class NoRepositoryError extends GitError {}

export interface Worktree {
  path: string;
  branch: string;
  /** Commit at which the run began. */
  base: string;
}

export interface WorktreeOptions {
  /** Run in a new worktree, which counts as made only after it. */
  setUp?: (tree: string) => Promise<void>;
  /** Commits and branches at which a new branch begins: the first one that is there and holds all others. Default: HEAD. */
  from?: readonly string[];
}

/** Whoever waits for a worktree waits for its set-up as well. */
const MAKING_SECONDS = SET_UP_SECONDS + 60;

/** The worktree of a run. @throws GitError, and what setUp throws */
export async function ensureWorktree(
  repository: string,
  path: string,
  runId: string,
  options: WorktreeOptions = {},
): Promise<Worktree> {
  const before = await readReady(path);
  if (before !== null) return before;
  if (!existsSync(repository)) throw new NoRepositoryError(`there is no folder ${repository}`);
  await git(repository, ["rev-parse", "--verify", "--quiet", "HEAD"]).catch(() => {
    const hint = "make one with: git init && git add -A && git commit -m start";
    throw new NoRepositoryError(`${repository} is no Git repository with a commit; ${hint}`);
  });
  await mkdir(dirname(path), { recursive: true });
  return await withLock(
    `${path}.lock`,
    async () => (await readReady(path)) ?? (await makeWorktree(repository, path, runId, options)),
    MAKING_SECONDS,
  );
}

async function makeWorktree(
  repository: string,
  path: string,
  runId: string,
  { setUp = async () => {}, from = [] }: WorktreeOptions,
): Promise<Worktree> {
  const branch = branchOf(runId);
  refuseForeign(path);
  await writeFile(`${path}.making`, runId);
  // Left by an attempt that died while Git was filling it.
  await rm(path, { recursive: true, force: true });
  for (const mark of ["ready", "tip", "git-file"]) await rm(`${path}.${mark}`, { force: true });
  await git(repository, ["worktree", "prune"]);
  const known = await git(repository, ["branch", "--list", branch]);
  const where = known === "" ? ["-b", branch, path, await beginning(repository, from)] : [path, branch];
  await git(repository, ["worktree", "add", "--quiet", ...where]);
  await rename(await copyOf(join(path, ".git"), `${gitFileOf(path)}.draft`), gitFileOf(path));
  await dropLeftOver(path, runId);
  const base = await git(repository, ["merge-base", "HEAD", branch]);
  await setUp(path);
  // What it left and Git does not ignore is nobody's change but its own.
  await commitAll(path, ["."], "Set up");
  const worktree = { path, branch, base };
  await writeTip(path);
  await writeFile(`${path}.ready.draft`, JSON.stringify(worktree));
  await rename(`${path}.ready.draft`, `${path}.ready`);
  await rm(`${path}.making`, { force: true });
  return worktree;
}

async function copyOf(from: string, to: string): Promise<string> {
  await writeFile(to, await readFile(from, "utf8"));
  return to;
}

/** The first commit that is there and that every other one is part of. */
async function beginning(repository: string, from: readonly string[]): Promise<string> {
  let best: string | null = null;
  for (const name of from) {
    const commit = await git(repository, ["rev-parse", "--verify", "--quiet", `${name}^{commit}`]).catch(() => null);
    if (commit === null) continue;
    const later = best === null || (await isAncestor(repository, best, commit));
    if (later) best = commit;
  }
  return best ?? "HEAD";
}

async function isAncestor(repository: string, one: string, other: string): Promise<boolean> {
  return await git(repository, ["merge-base", "--is-ancestor", one, other]).then(
    () => true,
    () => false,
  );
}

/** A folder without the marks beside it was not made here, and is never removed. */
function refuseForeign(path: string): void {
  if (!existsSync(path) || existsSync(`${path}.ready`) || existsSync(`${path}.making`)) return;
  throw new NoRepositoryError(`${path} is there already and is no worktree of a run; give another place`);
}

/** Says that a worktree is complete; Git makes its own mark before it has filled it. */
async function readReady(path: string): Promise<Worktree | null> {
  if (!existsSync(path) || !(existsSync(gitFileOf(path)) || existsSync(join(path, ".git")))) return null;
  const text = await readFile(`${path}.ready`, "utf8").catch(() => null);
  return text === null ? null : (JSON.parse(text) as Worktree);
}

const LEFT_OVER = "Left over at the end of the run";

/** What an attempt had not finished when the run's end came is no work to build on. */
async function dropLeftOver(path: string, runId: string): Promise<void> {
  if ((await git(path, ["log", "-1", "--format=%s"])) !== LEFT_OVER) return;
  const commit = await git(path, ["rev-parse", "HEAD"]);
  await git(path, ["update-ref", `refs/tenuto/left-over/${runId}/end-${commit.slice(0, 12)}`, commit]);
  await git(path, ["reset", "--quiet", "--hard", "HEAD~1"]);
}

/** Removes the worktree. The branch stays where it holds commits; what was not committed yet is committed first. */
export async function removeWorktree(
  repository: string,
  path: string,
  runId: string,
): Promise<{ branch: string | null }> {
  return await withLock(`${path}.lock`, async () => await remove(repository, path, runId));
}

/** The same as the run's last job: whoever works in it from now on removes it again. */
export async function closeWorktree(
  repository: string,
  path: string,
  runId: string,
): Promise<{ branch: string | null }> {
  await mkdir(dirname(path), { recursive: true });
  return await withLock(`${path}.lock`, async () => {
    const result = await remove(repository, path, runId).catch((error: unknown) => {
      // A run whose first job found no repository has nothing to remove.
      if (["", ".ready", ".making"].some((mark) => existsSync(path + mark))) throw error;
      return { branch: null };
    });
    await writeFile(`${path}.closed`, runId);
    return result;
  });
}

async function remove(repository: string, path: string, runId: string): Promise<{ branch: string | null }> {
  const branch = branchOf(runId);
  refuseForeign(path);
  if (existsSync(path) && (await readReady(path)) !== null) {
    await restoreGitFile(path);
    await dropLocks(path);
    // Only what the harness committed is work; whatever else is there is left over.
    if (existsSync(`${path}.tip`)) await standAtTip(path, branch);
    await commitAll(path, ["."], LEFT_OVER);
    await git(repository, ["worktree", "remove", "--force", path]);
  }
  await rm(path, { recursive: true, force: true });
  for (const mark of ["ready", "tip", "making", "git-file"]) await rm(`${path}.${mark}`, { force: true });
  await git(repository, ["worktree", "prune"]);
  if ((await git(repository, ["branch", "--list", branch])) === "") return { branch: null };
  if ((await git(repository, ["rev-list", "--count", `HEAD..${branch}`])) !== "0") return { branch };
  await git(repository, ["branch", "-D", branch]);
  return { branch: null };
}

/** Says that this process works in the worktree; the answer says that it has gone. */
export async function enterWorktree(repository: string, path: string, runId: string): Promise<() => Promise<void>> {
  const users = `${path}.users`;
  const own = join(users, String(process.pid));
  await mkdir(users, { recursive: true });
  // Under the lock, so that whoever is just leaving sees it, or is gone.
  await withLock(`${path}.lock`, async () => await writeFile(own, ""), MAKING_SECONDS);
  return async () => {
    await rm(own, { force: true });
    if (!existsSync(`${path}.closed`)) return;
    await withLock(`${path}.lock`, async () => {
      const others = (await readdir(users)).filter((name) => isAlive(Number(name)));
      if (others.length === 0) await remove(repository, path, runId);
    });
  };
}
