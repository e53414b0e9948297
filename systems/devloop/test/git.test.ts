/** Real Git: one worktree per run, commits per job, what may not be touched, and what a killed attempt leaves. */
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { chmod, mkdtemp, readFile, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { makeRepository } from "../fixtures/repository.ts";
import {
  beginAtTip,
  cleanStart,
  commitChanges,
  discardChanges,
  GitError,
  git,
  takeOver,
  writePatch,
} from "../harness/git.ts";
import { ensureWorktree, removeWorktree } from "../harness/worktree.ts";

let folder: string;
let repository: string;
let tree: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "devloop-git-"));
  repository = await makeRepository(join(folder, "repository"));
  tree = join(folder, "work", "tree");
});
afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

const status = () => execFileSync("git", ["status", "--porcelain"], { cwd: repository, encoding: "utf8" });
const branches = () =>
  execFileSync("git", ["branch", "--format=%(refname:short)"], { cwd: repository, encoding: "utf8" })
    .trim()
    .split("\n");

test("a worktree is made once, however many ask for it, and again where it is gone", async () => {
  const made = await Promise.all([1, 2, 3].map(() => ensureWorktree(repository, tree, "run-1")));
  expect(new Set(made.map((one) => JSON.stringify(one))).size).toBe(1);
  expect(made[0]).toMatchObject({ path: tree, branch: "tenuto/run-1" });
  await writeFile(join(tree, "new.txt"), "new");
  await commitChanges(tree, ["."], "dev: dev");
  await rm(tree, { recursive: true });
  await ensureWorktree(repository, tree, "run-1");
  expect(await readFile(join(tree, "new.txt"), "utf8")).toBe("new");
  expect(status()).toBe("");
});

test("a worktree that Git had not finished is made anew", async () => {
  await ensureWorktree(repository, tree, "run-1");
  await rename(`${tree}.ready`, `${tree}.making`);
  await rm(join(tree, "src"), { recursive: true });
  await ensureWorktree(repository, tree, "run-1");
  expect(await readFile(join(tree, "src", "slug.ts"), "utf8")).toContain("slugify");
});

test("a folder that was not made here is neither filled nor removed", async () => {
  const own = await makeRepository(join(folder, "precious"));
  await expect(ensureWorktree(repository, own, "run-1")).rejects.toThrow(/is no worktree of a run/);
  await expect(removeWorktree(repository, own, "run-1")).rejects.toThrow(/is no worktree of a run/);
  expect(await readFile(join(own, "README.md"), "utf8")).toContain("# slugs");
  expect(branches()).toEqual(["main"]);
});

test("changes are committed with what they are; what is outside the allowed paths is put back and named", async () => {
  await ensureWorktree(repository, tree, "run-1");
  await writeFile(join(tree, "src", "slug.ts"), "changed");
  await writeFile(join(tree, "src", "new file.ts"), "new");
  await writeFile(join(tree, "README.md"), "owned");
  await writeFile(join(tree, "*.txt"), "a name, no pattern");
  await rm(join(tree, "test", "start.test.ts"));
  const changes = await commitChanges(tree, ["src"], "dev: dev");
  expect(changes.files).toEqual([
    { path: "src/new file.ts", change: "added" },
    { path: "src/slug.ts", change: "changed" },
  ]);
  expect(changes.outside.sort()).toEqual(["*.txt", "README.md", "test/start.test.ts"]);
  expect(await git(tree, ["status", "--porcelain"])).toBe("");
  expect(await readFile(join(tree, "README.md"), "utf8")).toContain("# slugs");
  expect(await commitChanges(tree, ["src"], "again")).toEqual({ commit: null, files: [], outside: [] });
});

test("an allowed path where nothing is yet, or nothing changed, stands in nobody's way", async () => {
  await ensureWorktree(repository, tree, "run-1");
  await writeFile(join(tree, "src", "slug.ts"), "changed");
  execFileSync("mkdir", [join(tree, "empty")]);
  const allowed = ["src", "docs", "test", "empty"];
  expect((await commitChanges(tree, allowed, "dev: dev")).files).toEqual([{ path: "src/slug.ts", change: "changed" }]);
  await writeFile(join(tree, "src", "slug.ts"), "left");
  expect(await cleanStart(tree, allowed, "run-1/dev/2")).toBe(true);
  expect(await readFile(join(tree, "src", "slug.ts"), "utf8")).toBe("changed");
});

test("a commit whose maker died right after it is found again by its work", async () => {
  await ensureWorktree(repository, tree, "run-1");
  await writeFile(join(tree, "a.txt"), "a");
  const made = await commitChanges(tree, ["."], "dev: dev", { work: "run-1/dev/try-0" });
  expect(await commitChanges(tree, ["."], "dev: dev", { work: "run-1/dev/try-0" })).toEqual(made);
  expect((await commitChanges(tree, ["."], "dev: dev", { work: "run-1/dev/try-1" })).commit).toBeNull();
});

test("where nothing is allowed, everything is put back", async () => {
  await ensureWorktree(repository, tree, "run-1");
  await writeFile(join(tree, "src", "slug.ts"), "changed");
  expect(await commitChanges(tree, [], "planner: planner")).toMatchObject({ commit: null, outside: ["src/slug.ts"] });
  expect(await git(tree, ["status", "--porcelain"])).toBe("");
});

test("jobs that work side by side commit their own paths, one after the other", async () => {
  await ensureWorktree(repository, tree, "run-1");
  const names = ["a", "b", "c", "d"];
  for (const name of names) {
    execFileSync("mkdir", ["-p", join(tree, "tasks", name)]);
    await writeFile(join(tree, "tasks", name, "file.ts"), name);
  }
  const made = await Promise.all(names.map((name) => commitChanges(tree, [`tasks/${name}`], name, { others: true })));
  expect(made.map((changes) => changes.files.map((file) => file.path))).toEqual(
    names.map((name) => [`tasks/${name}/file.ts`]),
  );
});

test("what an attempt left is put aside, not lost, and the next one starts clean", async () => {
  await ensureWorktree(repository, tree, "run-1");
  await writeFile(join(tree, "src", "slug.ts"), "half done");
  await writeFile(join(tree, "junk.txt"), "junk");
  expect(await cleanStart(tree, ["."], "dev/2")).toBe(true);
  expect(await cleanStart(tree, ["."], "dev/3")).toBe(false);
  expect(await git(tree, ["status", "--porcelain"])).toBe("");
  expect(await git(repository, ["show", "refs/tenuto/left-over/dev/2:src/slug.ts"])).toBe("half done");
  expect(await git(repository, ["show", "refs/tenuto/left-over/dev/2:junk.txt"])).toBe("junk");
});

test("what an agent did to commits and branches becomes changes of files again", async () => {
  await ensureWorktree(repository, tree, "run-1");
  const as = (...args: string[]) =>
    execFileSync("git", ["-c", "user.name=a", "-c", "user.email=a@b", ...args], { cwd: tree, stdio: "ignore" });
  await writeFile(join(tree, "src", "slug.ts"), "by the agent");
  as("checkout", "-b", "my-own");
  as("commit", "-am", "Mine");
  await writeFile(join(tree, "new.txt"), "not committed");
  await writeFile(
    execFileSync("git", ["rev-parse", "--git-path", "index.lock"], { cwd: tree, encoding: "utf8" }).trim(),
    "",
  );
  await takeOver(tree, "tenuto/run-1");
  const changes = await commitChanges(tree, ["."], "dev: dev");
  expect(changes.files).toEqual([
    { path: "new.txt", change: "added" },
    { path: "src/slug.ts", change: "changed" },
  ]);
  expect(await git(repository, ["log", "--format=%s", "main..tenuto/run-1"])).toBe("dev: dev");
});

test("an attempt begins at the last commit of the harness, whatever the one before did; its work is put aside", async () => {
  await ensureWorktree(repository, tree, "run-1");
  await writeFile(join(tree, "kept.txt"), "kept");
  await commitChanges(tree, ["."], "dev: dev");
  execFileSync("git", ["reset", "--quiet", "--hard", "HEAD~1"], { cwd: tree });
  await writeFile(join(tree, "half.txt"), "half");
  expect(await beginAtTip(tree, "tenuto/run-1", "run-1/dev/2")).toBe(true);
  expect(await readFile(join(tree, "kept.txt"), "utf8")).toBe("kept");
  expect(await git(tree, ["status", "--porcelain"])).toBe("");
  expect(await git(repository, ["show", "refs/tenuto/left-over/run-1/dev/2:half.txt"])).toBe("half");
  expect(await beginAtTip(tree, "tenuto/run-1", "run-1/dev/3")).toBe(false);
});

test("hooks and configuration that somebody put into the repository are not run", async () => {
  const hook = join(repository, ".git", "hooks", "post-checkout");
  for (const name of ["post-checkout", "pre-commit", "post-commit"]) {
    await writeFile(join(repository, ".git", "hooks", name), `#!/bin/sh\ntouch ${folder}/owned\nexit 1\n`);
    await chmod(join(repository, ".git", "hooks", name), 0o755);
  }
  expect(hook).not.toBe("");
  await ensureWorktree(repository, tree, "run-1");
  await writeFile(join(tree, "a"), "a");
  await commitChanges(tree, ["."], "dev: dev");
  await expect(readFile(join(folder, "owned"))).rejects.toThrow();
});

test("removing keeps the branch with its commits, takes one without, and keeps what was not committed", async () => {
  await ensureWorktree(repository, tree, "run-1");
  expect(await removeWorktree(repository, tree, "run-1")).toEqual({ branch: null });
  expect(branches()).toEqual(["main"]);
  await ensureWorktree(repository, tree, "run-2");
  await writeFile(join(tree, "late.txt"), "late");
  expect(await removeWorktree(repository, tree, "run-2")).toEqual({ branch: "tenuto/run-2" });
  expect(await git(repository, ["show", "tenuto/run-2:late.txt"])).toBe("late");
  expect(await removeWorktree(repository, tree, "run-2")).toEqual({ branch: "tenuto/run-2" });
  expect(await git(repository, ["worktree", "list", "--porcelain"])).not.toContain("work/tree");
});

const user = () =>
  Promise.all([
    git(repository, ["status", "--porcelain"]),
    git(repository, ["rev-parse", "HEAD"]),
    git(repository, ["stash", "list"]),
    readFile(join(repository, ".git", "HEAD"), "utf8"),
    readFile(join(repository, ".git", "config"), "utf8"),
  ]);
const inTree = (script: string) => execFileSync("sh", ["-c", script], { cwd: tree, stdio: "ignore" });

test.each([
  ["removed", "rm .git"],
  ["made anew", "rm .git && git init -q . && git -c user.name=a -c user.email=a@b commit -q --allow-empty -m mine"],
  ["pointed at the user's repository", `echo "gitdir: ../../.git" > .git`],
])("a worktree inside the user's repository whose .git was %s: that repository stays as it is", async (_, script) => {
  tree = join(repository, "home", "work", "tree");
  await writeFile(join(repository, "mine.txt"), "not committed, not added");
  await writeFile(join(repository, "README.md"), "changed by the user");
  await writeFile(join(repository, ".git", "info", "exclude"), "home/\n");
  await ensureWorktree(repository, tree, "run-1");
  const before = await user();
  await writeFile(join(tree, "new.txt"), "new");
  inTree(script);
  await takeOver(tree, "tenuto/run-1");
  expect((await commitChanges(tree, ["."], "dev: dev")).files).toEqual([{ path: "new.txt", change: "added" }]);
  await writeFile(join(tree, "half.txt"), "half");
  inTree(script);
  expect(await beginAtTip(tree, "tenuto/run-1", "run-1/dev/2")).toBe(true);
  inTree(script);
  await discardChanges(tree);
  inTree(script);
  expect(await removeWorktree(repository, tree, "run-1")).toEqual({ branch: "tenuto/run-1" });
  expect(await user()).toEqual(before);
  expect(await git(repository, ["log", "--format=%s", "main..tenuto/run-1"])).toBe("dev: dev");
});

test("repositories that an agent makes inside the worktree are ordinary files, and go with the rest", async () => {
  await ensureWorktree(repository, tree, "run-1");
  const make = `mkdir -p app/deep empty && git init -q app && git init -q app/deep && git init -q empty
echo a > app/a.txt; echo b > app/deep/b.txt; echo c > empty/c.txt
git -C app/deep add -A && git -C app/deep -c user.name=a -c user.email=a@b commit -q -m deep`;
  inTree(make);
  expect((await commitChanges(tree, ["."], "dev: dev")).files.map((file) => file.path)).toEqual([
    "app/a.txt",
    "app/deep/b.txt",
    "empty/c.txt",
  ]);
  inTree(`${make.replaceAll("app", "other").replaceAll("empty", "void")}`);
  expect(await beginAtTip(tree, "tenuto/run-1", "run-1/dev/2")).toBe(true);
  expect([await git(tree, ["status", "--porcelain"]), existsSync(join(tree, "other"))]).toEqual(["", false]);
  expect(await git(repository, ["show", "refs/tenuto/left-over/run-1/dev/2:other/deep/b.txt"])).toBe("b");
});

test("names and contents of any kind: spaces, new lines, quotes, other letters, a leading dash, bytes that are no text", async () => {
  const names = [
    "a b.txt",
    "two\nlines.txt",
    "quo\"te's.txt",
    "Ünïcödé-日本語.txt",
    "-rf",
    "tab\t.txt",
    ":(top)x",
    "[a-z].txt",
  ];
  await ensureWorktree(repository, tree, "run-1");
  const bytes = Buffer.from(Array.from({ length: 1_024 }, (_, at) => (at * 7) % 256));
  for (const name of names) await writeFile(join(tree, name), bytes);
  await writeFile(join(tree, "src", "outside\n.txt"), "put back");
  const changes = await commitChanges(tree, names, "dev: dev");
  expect(changes.files.map((file) => file.path).sort()).toEqual([...names].sort());
  expect(changes.outside).toEqual(["src/outside\n.txt"]);
  for (const name of names) await writeFile(join(tree, name), "changed");
  await writePatch(tree, changes.commit!, join(folder, "changes.patch"));
  expect(await beginAtTip(tree, "tenuto/run-1", "run-1/dev/2")).toBe(true);
  expect((await readFile(join(tree, names[1]!))).equals(bytes)).toBe(true);
  execFileSync("git", ["apply", join(folder, "changes.patch")], { cwd: repository });
  expect((await readFile(join(repository, names[3]!))).equals(bytes)).toBe(true);
});

test("a repository with a submodule, a detached HEAD, changes of its user, and two runs at once", async () => {
  const part = await makeRepository(join(folder, "part"));
  execFileSync("git", ["-c", "protocol.file.allow=always", "submodule", "--quiet", "add", part, "part"], {
    cwd: repository,
  });
  await git(repository, ["commit", "--quiet", "-m", "Part"]);
  await git(repository, ["checkout", "--quiet", "--detach"]);
  await writeFile(join(repository, "src", "slug.ts"), "changed by the user");
  const before = await user();
  const trees = ["run-1", "run-2"].map((run) => join(folder, run, "tree"));
  await Promise.all(trees.map((path, at) => ensureWorktree(repository, path, `run-${at + 1}`)));
  for (const path of trees)
    execFileSync("git", ["-c", "protocol.file.allow=always", "submodule", "--quiet", "update", "--init"], {
      cwd: path,
    });
  await Promise.all(trees.map((path) => writeFile(join(path, "new.txt"), path)));
  const made = await Promise.all(trees.map((path) => commitChanges(path, ["."], "dev: dev")));
  expect(made.map((changes) => changes.files)).toEqual([0, 1].map(() => [{ path: "new.txt", change: "added" }]));
  await Promise.all(trees.map((path, at) => removeWorktree(repository, path, `run-${at + 1}`)));
  expect([await user(), trees.map(existsSync)]).toEqual([before, [false, false]]);
});

test("a lock of a dead process is taken over", async () => {
  await ensureWorktree(repository, tree, "run-1");
  const dead = execFileSync("sh", ["-c", "echo $$"], { encoding: "utf8" }).trim();
  await writeFile(`${tree}.lock`, dead);
  expect(await cleanStart(tree, ["."], "dev/1")).toBe(false);
});

test("a folder that is no repository, or has no commit, says what to do", async () => {
  await expect(ensureWorktree(join(folder, "missing"), tree, "r")).rejects.toThrow(GitError);
  execFileSync("git", ["init", "--quiet", join(folder, "empty")]);
  await expect(ensureWorktree(join(folder, "empty"), tree, "r")).rejects.toThrow(/git init && git add -A/);
});
