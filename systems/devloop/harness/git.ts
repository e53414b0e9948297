/**
 * Git for the harness: one commit per job that changed something, in a worktree that `worktree.ts` has made.
 *
 * Invariants:
 * 1. The repository's own working tree, index, branches and configuration are never changed; only `tenuto/<run>` and its worktree.
 * 2. No hooks, no signing, no prompts: nothing that an agent may have put there is run.
 * 3. Operations of several jobs in one worktree come one after the other; a lock left by a dead process is taken over.
 * 4. Only paths that a job may change are committed; anything else that changed is put back and named.
 * 5. In a worktree, Git works on that worktree or not at all: an agent may have removed or replaced its `.git`, and the next
 *    repository above it may be the user's own.
 */
import { randomUUID } from "node:crypto";
import { existsSync } from "node:fs";
import { lstat, readFile, rename, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { withLock } from "./lock.ts";
import { runProgram } from "./program.ts";

export class GitError extends Error {}

export interface Changes {
  /** Commit with the changes; null if there were none. */
  commit: string | null;
  files: { path: string; change: "added" | "changed" | "deleted" }[];
  /** Changed outside the allowed paths, and put back. */
  outside: string[];
}

const SAFE = [
  ...["-c", "core.hooksPath=/dev/null"],
  ...["-c", "core.fsmonitor=false"],
  ...["-c", "commit.gpgsign=false"],
  ...["-c", "gc.auto=0"],
  ...["-c", "core.quotePath=false"],
];
const AUTHOR = {
  GIT_AUTHOR_NAME: "Tenuto",
  GIT_AUTHOR_EMAIL: "tenuto@localhost",
  GIT_COMMITTER_NAME: "Tenuto",
  GIT_COMMITTER_EMAIL: "tenuto@localhost",
  GIT_TERMINAL_PROMPT: "0",
};

/**
 * For programs that work in a worktree: Git looks for no repository above it, and somebody who commits there need not write a
 * name into the configuration, which belongs to the user's repository.
 */
export function worktreeEnvironment(tree: string): Record<string, string> {
  return { ...AUTHOR, GIT_CEILING_DIRECTORIES: dirname(tree) };
}

const GIT_TIMEOUT_MS = 60_000;

/** Runs git and gives its standard output. @throws GitError */
export async function git(cwd: string, args: readonly string[], env: Record<string, string> = {}): Promise<string> {
  const lines: string[] = [];
  const result = await runProgram({
    argv: ["git", ...SAFE, ...args],
    cwd,
    // Paths are names of files, never patterns.
    env: { ...(isWorktree(cwd) ? worktreeEnvironment(cwd) : AUTHOR), GIT_LITERAL_PATHSPECS: "1", ...env },
    timeoutMs: GIT_TIMEOUT_MS,
    onLine: (stream, line) => {
      if (stream === "stdout") lines.push(line);
      return undefined;
    },
  });
  if (result.startError !== null) throw new GitError(result.startError);
  if (result.exitCode !== 0)
    throw new GitError(
      `git ${args[0]} failed in ${cwd} (${result.exitCode ?? result.signal}): ${result.tail.slice(-500)}`,
    );
  return lines.join("\n");
}

/** By the marks beside it, as its `.git` is within reach of agents. */
function isWorktree(folder: string): boolean {
  return existsSync(`${folder}.ready`) || existsSync(`${folder}.making`);
}

/** The content of a worktree's `.git`, kept beside it. */
export const gitFileOf = (tree: string) => `${tree}.git-file`;

/** Locks the worktree, and brings its `.git` back where somebody removed or replaced it. */
async function inTree<T>(tree: string, work: () => Promise<T>): Promise<T> {
  return await withLock(`${tree}.lock`, async () => {
    await restoreGitFile(tree);
    return await work();
  });
}

/** Nobody else works in the worktree while this is called. */
export async function restoreGitFile(tree: string): Promise<void> {
  const kept = await readFile(gitFileOf(tree), "utf8").catch(() => null);
  if (kept === null) return;
  const place = join(tree, ".git");
  const facts = await lstat(place).catch(() => null);
  if (facts?.isFile() === true && (await readFile(place, "utf8")) === kept) return;
  await rm(place, { recursive: true, force: true });
  await writeFile(place, kept);
}

export function branchOf(runId: string): string {
  return `tenuto/${runId}`;
}

/**
 * Where several jobs share a worktree: puts the allowed paths back to the last commit. What is thrown away is kept as a commit
 * under `refs/tenuto/left-over/`.
 */
export async function cleanStart(tree: string, allowed: readonly string[], label: string): Promise<boolean> {
  return await inTree(tree, async () => {
    const paths = await changedPaths(tree, allowed);
    if (paths.length === 0) return false;
    await putAside(tree, paths, label);
    await putBack(tree, paths);
    return true;
  });
}

/**
 * Where a job has the worktree for itself: the whole of it is brought to the last commit that the harness made, whatever an
 * earlier attempt did to files, commits or branches. What is thrown away is kept, as above.
 */
export async function beginAtTip(tree: string, branch: string, label: string): Promise<boolean> {
  return await inTree(tree, async () => {
    await dropLocks(tree);
    const tip = await readTip(tree);
    const paths = await changedPaths(tree, ["."]);
    if (paths.length === 0 && (await standsAt(tree, branch, tip))) return false;
    await putAside(tree, paths, label);
    await git(tree, ["symbolic-ref", "HEAD", `refs/heads/${branch}`]);
    await git(tree, ["reset", "--quiet", "--hard", tip]);
    await git(tree, ["clean", "-ffdq"]);
    return true;
  });
}

/** Throws away what a test run left; everything that counts is committed before tests are run. */
export async function discardChanges(tree: string): Promise<void> {
  await inTree(tree, async () => {
    if ((await changedPaths(tree, ["."])).length > 0) await putBack(tree, ["."]);
  });
}

/** Agents like to commit, and to make branches: back to the run's branch, with their changes as changes of files. */
export async function takeOver(tree: string, branch: string): Promise<void> {
  await inTree(tree, async () => await standAtTip(tree, branch));
}

/** Nobody else works in the worktree while this is called. */
export async function standAtTip(tree: string, branch: string): Promise<void> {
  await dropLocks(tree);
  const tip = await readTip(tree);
  if (await standsAt(tree, branch, tip)) return;
  await git(tree, ["symbolic-ref", "HEAD", `refs/heads/${branch}`]);
  await git(tree, ["reset", "--quiet", "--mixed", tip]);
}

async function standsAt(tree: string, branch: string, tip: string): Promise<boolean> {
  const on = await git(tree, ["symbolic-ref", "--quiet", "HEAD"]).catch(() => "");
  return on === `refs/heads/${branch}` && (await git(tree, ["rev-parse", "HEAD"])) === tip;
}

/** The newest commit of the harness, kept beside the worktree: the branch itself is within the agent's reach. */
export async function readTip(tree: string): Promise<string> {
  return (await readFile(`${tree}.tip`, "utf8").catch(() => "")).trim() || (await git(tree, ["rev-parse", "HEAD"]));
}

export async function writeTip(tree: string): Promise<void> {
  await writeFile(`${tree}.tip.draft`, await git(tree, ["rev-parse", "HEAD"]));
  await rename(`${tree}.tip.draft`, `${tree}.tip`);
}

/** Locks that a killed Git left; nobody else works here while this is called. */
export async function dropLocks(tree: string): Promise<void> {
  const folder = await git(tree, ["rev-parse", "--absolute-git-dir"]);
  for (const name of ["index.lock", "HEAD.lock"]) await rm(join(folder, name), { force: true });
}

/** Keeps changed paths, and commits that are about to be left, as a commit of their own. */
async function putAside(tree: string, paths: readonly string[], label: string): Promise<void> {
  const index = `${tree}.${randomUUID()}.index`;
  try {
    const env = { GIT_INDEX_FILE: index };
    await git(tree, ["read-tree", "HEAD"], env);
    if (paths.length > 0) {
      await absorbRepositories(tree);
      await git(tree, ["add", "-A", "--", ...paths], env);
    }
    const content = await git(tree, ["write-tree"], env);
    const commit = await git(tree, ["commit-tree", content, "-p", "HEAD", "-m", `Left over by ${label}`]);
    await git(tree, ["update-ref", `refs/tenuto/left-over/${refName(label)}`, commit]);
  } finally {
    await rm(index, { force: true });
  }
}

const PATHS_AT_ONCE = 200;

/** Makes these paths what they are in the last commit: changes undone, new files removed, removed files there again. */
async function putBack(tree: string, paths: readonly string[]): Promise<void> {
  for (let from = 0; from < paths.length; from += PATHS_AT_ONCE) {
    const some = paths.slice(from, from + PATHS_AT_ONCE);
    await git(tree, ["reset", "--quiet", "--", ...some]);
    await git(tree, ["clean", "-ffdq", "--", ...some]);
    const known = await knownOf(tree, some);
    if (known.length > 0) await git(tree, ["checkout", "--quiet", "HEAD", "--", ...known]);
  }
}

/** Those of the paths under which the last commit has something; Git refuses the others. */
async function knownOf(tree: string, paths: readonly string[]): Promise<readonly string[]> {
  if (paths.includes(".")) return ["."];
  const tracked = (await git(tree, ["ls-tree", "-r", "-z", "--name-only", "HEAD", "--", ...paths])).split("\0");
  return paths.filter((path) => tracked.some((file) => isBelow(path, file)));
}

function refName(label: string): string {
  return label.replaceAll(/[^A-Za-z0-9/_-]+/g, "-");
}

/**
 * Commits what changed inside the allowed paths; what changed outside them is put back unless others work there. `work` names
 * what the commit is of: where it was made before, by an attempt that died right after it, it is found again.
 */
export async function commitChanges(
  tree: string,
  allowed: readonly string[],
  message: string,
  { others = false, work }: { others?: boolean; work?: string } = {},
): Promise<Changes> {
  return await inTree(tree, async () => {
    const outside = others ? [] : await outsideOf(tree, allowed);
    if (outside.length > 0) await putBack(tree, outside);
    const mark = work === undefined ? "" : `${WORK_MARK}${work}`;
    const made = await commitAll(tree, allowed, mark === "" ? message : `${message}\n\n${mark}`);
    const found = made.commit === null && mark !== "" ? await commitWith(tree, mark) : made;
    return { ...found, outside };
  });
}

const WORK_MARK = "Tenuto-Work: ";

async function commitWith(tree: string, mark: string): Promise<Pick<Changes, "commit" | "files">> {
  const lines = (await git(tree, ["log", "-1", "--format=%H%n%B"])).split("\n");
  return lines.includes(mark)
    ? { commit: lines[0]!, files: await filesOf(tree, lines[0]!) }
    : { commit: null, files: [] };
}

async function outsideOf(tree: string, allowed: readonly string[]): Promise<string[]> {
  if (allowed.includes(".")) return [];
  return (await changedIn(tree, [])).filter((path) => !allowed.some((part) => isBelow(part, path)));
}

/** Changed, new and deleted files below the paths; without paths, anywhere. */
async function changedIn(tree: string, paths: readonly string[]): Promise<string[]> {
  const status = await git(tree, [
    "status",
    "--porcelain=v1",
    "-z",
    "--no-renames",
    "--untracked-files=all",
    "--",
    ...paths,
  ]);
  return status
    .split("\0")
    .filter((entry) => entry !== "")
    .map((entry) => entry.slice(3));
}

function isBelow(folder: string, path: string): boolean {
  return folder === "." || path === folder || path.startsWith(`${folder}/`);
}

/** Git refuses paths where it finds nothing: those that changed are what is left. */
async function changedPaths(tree: string, paths: readonly string[]): Promise<string[]> {
  if (paths.length === 0) return [];
  const changed = await changedIn(tree, paths);
  return paths.filter((part) => changed.some((path) => isBelow(part, path)));
}

export async function commitAll(
  tree: string,
  allowed: readonly string[],
  message: string,
): Promise<Pick<Changes, "commit" | "files">> {
  await absorbRepositories(tree);
  const paths = await changedPaths(tree, allowed);
  if (paths.length === 0) return { commit: null, files: [] };
  await git(tree, ["add", "-A", "--", ...paths]);
  await git(tree, ["commit", "--quiet", "--no-verify", "--only", "-m", message, "--", ...paths]);
  const commit = await git(tree, ["rev-parse", "HEAD"]);
  await writeTip(tree);
  return { commit, files: await filesOf(tree, commit) };
}

const NESTED_MOST = 20;

/** A repository that an agent made inside the worktree would be committed as a link to nothing: its files are what counts. */
async function absorbRepositories(tree: string): Promise<void> {
  const isRepository = (path: string) => path.endsWith("/") && existsSync(join(tree, path, ".git"));
  // One may hold another, which shows when the outer one is no repository any more.
  for (let depth = 0; depth < NESTED_MOST; depth++) {
    const found = (await changedIn(tree, [])).filter(isRepository);
    if (found.length === 0) return;
    for (const path of found) await rm(join(tree, path, ".git"), { recursive: true, force: true });
  }
}

const LETTERS = { A: "added", D: "deleted" } as const;

/** What a commit changed. */
export async function filesOf(tree: string, commit: string): Promise<Changes["files"]> {
  const parts = (
    await git(tree, ["diff-tree", "-r", "-z", "--no-renames", "--no-commit-id", "--name-status", commit])
  ).split("\0");
  const files: Changes["files"] = [];
  for (let at = 0; at + 1 < parts.length; at += 2)
    files.push({ path: parts[at + 1]!, change: LETTERS[parts[at] as keyof typeof LETTERS] ?? "changed" });
  return files;
}

/** The changes of one commit as a file that `git apply` takes, whatever its bytes are. */
export async function writePatch(tree: string, commit: string, file: string): Promise<void> {
  const form = ["--binary", "--no-renames", "--no-color", "--no-ext-diff", "--no-textconv"];
  await git(tree, ["diff", ...form, `--output=${file}`, `${commit}~1`, commit]);
}

/** The changes of one commit, or since another, as a patch. */
export async function diffOf(tree: string, from: string, to: string): Promise<string> {
  return await git(tree, ["diff", "--no-color", "--no-ext-diff", "--no-textconv", from, to]);
}
