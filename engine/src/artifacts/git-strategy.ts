/**
 * The strategy `git_diff`: what differs in a worktree between the start of the job's first attempt and now.
 *
 * Owner: artifacts. Invariants:
 * 1. Both sides are whole trees, what is not committed or not even added included, so that neither what an earlier job left
 *    behind nor a commit in between is taken for, or hides, a change of this job.
 * 2. The folder must be the top of its worktree: a folder inside somebody's repository would show that repository.
 * 3. Index and objects are copies of ours; the repository stays as it is.
 */
import { copyFile, lstat, mkdir, readlink, realpath, rm, writeFile } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { type ArtifactPart, ignoreRule } from "../core/artifact.ts";
import { TenutoError } from "../core/errors.ts";
import { ALWAYS_IGNORED, type ChangedFile, type Changes } from "./change-list.ts";
import { Git } from "./git.ts";

export interface GitBaseline {
  /** The tree of everything in the worktree at the start. */
  tree: string;
  /** The commit at the start; null in a repository without one. */
  head: string | null;
}

/** Where baseline and objects of one part lie. */
export interface GitPlace {
  folder: string;
  /** A folder of ours. */
  own: string;
  /** Folders at the top that are none of the job's changes. */
  leaveOut: readonly string[];
}

export async function takeGitBaseline(place: GitPlace, part: ArtifactPart): Promise<GitBaseline> {
  const git = await openGit(place, part);
  return { tree: await treeOf(git, place), head: await headOf(git) };
}

export interface GitChanges {
  changes: Changes;
  head: string | null;
  /** The difference as a patch that `git apply` takes. */
  patch(): AsyncIterable<Uint8Array>;
}

export async function gitChanges(place: GitPlace, part: ArtifactPart, baseline: GitBaseline): Promise<GitChanges> {
  const git = await openGit(place, part);
  const tree = await treeOf(git, place);
  const paths = ["--", ...pathsOf(place, part)];
  const raw = await git.text([
    "diff",
    "--raw",
    "-z",
    "--no-abbrev",
    "--no-renames",
    "--no-ext-diff",
    baseline.tree,
    tree,
    ...paths,
  ]);
  return {
    changes: await changesOf(place.folder, raw, part),
    head: await headOf(git),
    patch: () =>
      git.stream([
        "diff",
        "--binary",
        "--no-renames",
        "--no-color",
        "--no-ext-diff",
        "--no-textconv",
        baseline.tree,
        tree,
        ...paths,
      ]),
  };
}

async function openGit(place: GitPlace, part: ArtifactPart): Promise<Git> {
  const { folder, own } = place;
  await mkdir(own, { recursive: true });
  const ignoreFile = `${own}/ignore`;
  const rules = [
    ...ALWAYS_IGNORED.filter((rule) => rule !== ".git"),
    ...place.leaveOut.map((name) => `/${name}/`),
    ...(part.ignore ?? []),
  ];
  await writeFile(ignoreFile, `${rules.join("\n")}\n`);
  const git = await Git.in(folder, null, ignoreFile).catch((error: unknown) => refuse(folder, error));
  const top = (await git.text(["rev-parse", "--show-toplevel"]).catch(() => "")).trimEnd();
  if (top === "" || (await realpath(top)) !== (await realpath(folder))) return refuse(folder, null, top);
  return await Git.in(folder, `${own}/objects`, ignoreFile);
}

function refuse(folder: string, cause: unknown, top = ""): never {
  if (cause instanceof TenutoError && cause.code === "invalid_config") throw cause;
  const found =
    top === "" ? "is in no git worktree" : `lies inside the worktree ${top}, which holds other things as well`;
  throw new TenutoError("invalid_config", `the artifact strategy git_diff can't be used: ${folder} ${found}`, {
    hint: "Give the job a worktree of its own (git worktree add) and name its top in artifacts.folder, or use the strategy files.",
    details: { folder, worktree: top === "" ? null : top },
    ...(cause === null ? {} : { cause }),
  });
}

/** Everything in the worktree as a tree, by an index of ours that begins as a copy of the real one, which knows what is unchanged. */
async function treeOf(git: Git, place: GitPlace): Promise<string> {
  const index = `${place.own}/index`;
  await rm(index, { force: true });
  const real = resolve(place.folder, (await git.text(["rev-parse", "--git-path", "index"])).trimEnd());
  await copyFile(real, index).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "ENOENT") throw error;
  });
  const ours = git.withIndex(index);
  await ours.text(["add", "--all", "--ignore-errors", "--", "."], [0, 1]);
  return (await ours.text(["write-tree"])).trim();
}

async function headOf(git: Git): Promise<string | null> {
  const head = (await git.text(["rev-parse", "--verify", "--quiet", "HEAD"], [0, 1])).trim();
  return head === "" ? null : head;
}

function pathsOf({ leaveOut }: GitPlace, part: ArtifactPart): string[] {
  return [".", ...leaveOut.map((name) => `:(exclude,top,literal)${name}`), ...(part.ignore ?? []).flatMap(excluding)];
}

function excluding(pattern: string): string[] {
  const body = pattern.replace(/^\/+|\/+$/g, "");
  const anchored = body.includes("/") || pattern.startsWith("/");
  const from = anchored ? body : `**/${body}`;
  const inside = `:(exclude,top,glob)${from}/**`;
  return pattern.endsWith("/") ? [inside] : [`:(exclude,top,glob)${from}`, inside];
}

/** `:100644 100644 <sha> <sha> M` and the path, each ended by NUL. */
async function changesOf(folder: string, raw: string, part: ArtifactPart): Promise<Changes> {
  const changes: Changes = { files: [], links: [], deleted: [], skipped: [] };
  const words = raw.split("\0");
  const rules = (part.ignore ?? []).map(ignoreRule);
  for (let at = 0; at + 1 < words.length; at += 2) {
    const [, mode = "", , , status = ""] = words[at]!.split(" ");
    const path = words[at + 1]!;
    if (rules.some((rule) => rule(path, false))) continue;
    if (status.startsWith("D")) {
      changes.deleted.push(path);
      continue;
    }
    const change = status.startsWith("A") ? "added" : "modified";
    if (mode === "120000")
      changes.links.push({ path, target: await readlink(`${folder}/${path}`).catch(() => ""), change });
    else if (mode === "160000") changes.skipped.push({ path, reason: "it is a repository of its own" });
    else {
      const file = await fileFacts(folder, path, change);
      if (file === null) changes.skipped.push({ path, reason: "it is gone, or lies behind a link" });
      else changes.files.push(file);
    }
  }
  return changes;
}

async function fileFacts(folder: string, path: string, change: "added" | "modified"): Promise<ChangedFile | null> {
  const whole = `${folder}/${path}`;
  const facts = await lstat(whole, { bigint: true }).catch(() => null);
  if (facts?.isFile() !== true) return null;
  const [top, parent] = await Promise.all([realpath(folder), realpath(dirname(whole))]);
  if (parent !== top && !parent.startsWith(`${top}/`)) return null;
  const identity = `${facts.dev}:${facts.ino}:${facts.size}:${facts.mtimeNs}:${facts.ctimeNs}`;
  return { path, size: Number(facts.size), identity, change };
}
