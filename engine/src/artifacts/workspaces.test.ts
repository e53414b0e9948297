/** Strategies on real folders and real git, and what they must never take. */
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { ArtifactPart } from "../core/artifact.ts";
import type { ArtifactStore } from "../ports/artifact-store.ts";
import type { Collected, Workspaces } from "../ports/artifacts.ts";
import { openFileStore } from "./filesystem.ts";
import { workspacesIn } from "./workspaces.ts";

let root: string;
let workspace: string;
let store: ArtifactStore;
let workspaces: Workspaces;

beforeEach(async () => {
  root = mkdtempSync(join(tmpdir(), "tenuto-workspaces-"));
  workspace = join(root, "workspaces/run-1/job");
  mkdirSync(workspace, { recursive: true });
  store = await openFileStore(join(root, "artifacts"));
  workspaces = workspacesIn(join(root, "baselines"), store);
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

const put = (path: string, text: string | Uint8Array, folder = workspace) => {
  mkdirSync(dirname(join(folder, path)), { recursive: true });
  writeFileSync(join(folder, path), text);
};
const job = (folder = workspace) => ({ run: "run-1", job: "job", workspace: folder });
const begin = (parts: ArtifactPart[], folder = workspace) =>
  workspaces.begin(
    job(folder),
    parts.map((part) => ({ folder, ...part })),
  );
async function objects(): Promise<number> {
  let count = 0;
  for await (const _ of store.list()) count += 1;
  return count;
}
const names = (found: Collected) => found.artifacts.map((artifact) => artifact.name);
const textOf = async (sha256: string) => Buffer.from(await store.read(sha256, await whole(sha256))).toString("utf8");
const whole = async (sha256: string) => ({ start: 0, end: statSync(await store.localPath(sha256)).size });
async function listOf(found: Collected, name = "changes.json") {
  const list = found.artifacts.find((artifact) => artifact.name === name);
  return JSON.parse(await textOf((list as { sha256: string }).sha256)) as {
    added: { path: string; link?: string; sha256?: string }[];
    modified: { path: string }[];
    deleted: string[];
    skipped: { path: string; reason: string }[];
  };
}

describe("files", () => {
  it("takes what is new and changed, lists what is gone, and nothing that was merely touched", async () => {
    put("kept.txt", "kept");
    put("touched.txt", "same");
    put("changed.txt", "before");
    put("gone/deep.txt", "gone");
    const baseline = await begin([{ strategy: "files" }]);
    utimesSync(join(workspace, "touched.txt"), 1, 1);
    put("changed.txt", "after!");
    put("new/report.json", "{}");
    rmSync(join(workspace, "gone"), { recursive: true });
    const found = await baseline.collect(null, []);
    expect(names(found)).toEqual(["changed.txt", "new/report.json", "changes.json"]);
    expect(found.artifacts[1]).toMatchObject({ type: "file", mediaType: "application/json", bytes: 2 });
    const list = await listOf(found);
    expect([list.added.length, list.modified.length, list.deleted]).toEqual([1, 1, ["gone/deep.txt"]]);
    expect(await textOf(found.artifacts[0]?.sha256 as string)).toBe("after!");
  });

  it("the baseline is the job's: a second attempt still finds what the first one had changed", async () => {
    put("a.txt", "before");
    await begin([{ strategy: "files" }]);
    put("a.txt", "first attempt");
    put("b.txt", "first attempt");
    const second = await begin([{ strategy: "files" }]);
    expect(names(await second.collect(null, []))).toEqual(["a.txt", "b.txt", "changes.json"]);
  });

  it("follows no link, opens no pipe, and takes nothing from inputs, children and what is ignored", async () => {
    put("secret.txt", "outside", root);
    const baseline = await begin([{ strategy: "files", ignore: ["*.log", "build/", "data/raw/**"] }]);
    symlinkSync(join(root, "secret.txt"), join(workspace, "link.txt"));
    symlinkSync(root, join(workspace, "folder"));
    execFileSync("mkfifo", [join(workspace, "pipe")]);
    for (const path of ["inputs/a/x.txt", "kid/own.txt", "x.log", "deep/y.log", "build/out.js", "src/build/out.js"])
      put(path, "no");
    for (const path of ["data/raw/1.csv", "node_modules/m/index.js", ".git/config"]) put(path, "no");
    for (const path of ["data/clean.csv", "deep/inputs/z.txt", "buildings.txt"]) put(path, "yes");
    const found = await baseline.collect(null, ["kid"]);
    expect(names(found)).toEqual(["buildings.txt", "data/clean.csv", "deep/inputs/z.txt", "changes.json"]);
    const list = await listOf(found);
    expect(list.added.filter((entry) => entry.link !== undefined).map((entry) => entry.path)).toEqual([
      "folder",
      "link.txt",
    ]);
    expect(list.skipped).toEqual([{ path: "pipe", reason: "it is no plain file" }]);
    expect(await objects()).toBe(2);
  });

  it("what is above a bound is listed with the reason, never dropped without a word", async () => {
    const baseline = await begin([{ strategy: "files", maxFiles: 2, maxBytes: 10 }]);
    for (const path of ["a", "b", "c"]) put(path, path);
    put("0-large", "more than ten bytes");
    const found = await baseline.collect(null, []);
    expect(names(found)).toEqual(["a", "b", "changes.json"]);
    expect(found.skipped).toEqual([
      { path: "0-large", reason: "it has 19 bytes, more than 10" },
      { path: "c", reason: "more than 2 files changed" },
    ]);
    expect((await listOf(found)).added).toHaveLength(4);
  });

  it("a file in the place of a link, and a link in the place of a file, are changes", async () => {
    put("was-file", "x");
    symlinkSync("was-file", join(workspace, "was-link"));
    const baseline = await begin([{ strategy: "files" }]);
    rmSync(join(workspace, "was-file"));
    symlinkSync("/etc/passwd", join(workspace, "was-file"));
    rmSync(join(workspace, "was-link"));
    put("was-link", "y");
    const found = await baseline.collect(null, []);
    expect(names(found)).toEqual(["was-link", "changes.json"]);
    expect((await listOf(found)).modified.map((entry) => entry.path)).toEqual(["was-link", "was-file"]);
  });
});

describe("git_diff", () => {
  const git = (folder: string, ...args: string[]) =>
    execFileSync("git", ["-c", "user.name=t", "-c", "user.email=t@t", "-c", "init.defaultBranch=main", ...args], {
      cwd: folder,
      encoding: "utf8",
    });
  function repository(folder: string): void {
    git(folder, "init", "-q");
    put(".gitignore", "ignored/\n", folder);
    put("a.txt", "a\n", folder);
    put("b.txt", "b\n", folder);
    put("gone.txt", "gone\n", folder);
    git(folder, "add", ".");
    git(folder, "commit", "-qm", "first");
  }

  it("shows this job's changes only: not those of the job before, and those behind a commit too", async () => {
    repository(workspace);
    put("a.txt", "left by the job before\n");
    put("left-behind.txt", "left by the job before\n");
    const baseline = await begin([{ strategy: "git_diff" }]);
    put("b.txt", "b changed\n");
    put("new.txt", "new\n");
    put("binary.bin", new Uint8Array([0, 1, 2, 255]));
    put("ignored/x.txt", "ignored\n");
    put("inputs/plan/plan.md", "ours\n");
    rmSync(join(workspace, "gone.txt"));
    git(workspace, "add", ".");
    git(workspace, "commit", "-qm", "work");
    put("new.txt", "new, and changed after the commit\n");
    const found = await baseline.collect(null, []);
    expect(names(found)).toEqual(["b.txt", "binary.bin", "new.txt", "changes.patch", "changes.json"]);
    const list = await listOf(found);
    expect(list.deleted).toEqual(["gone.txt"]);
    expect(await textOf(found.artifacts[2]?.sha256 as string)).toBe("new, and changed after the commit\n");
  });

  it("the patch leads from the start to the end", async () => {
    repository(workspace);
    const copy = join(root, "copy");
    execFileSync("cp", ["-r", workspace, copy]);
    const baseline = await begin([{ strategy: "git_diff" }]);
    put("a.txt", "changed\n");
    put(
      "new/n.bin",
      new Uint8Array(300).map((_, at) => at),
    );
    rmSync(join(workspace, "b.txt"));
    const found = await baseline.collect(null, []);
    const patch = found.artifacts.find((artifact) => artifact.name === "changes.patch");
    git(copy, "apply", await store.localPath(patch?.sha256 as string));
    expect(readFileSync(join(copy, "a.txt"), "utf8")).toBe("changed\n");
    expect(readFileSync(join(copy, "new/n.bin"))).toEqual(readFileSync(join(workspace, "new/n.bin")));
    expect(existsSync(join(copy, "b.txt"))).toBe(false);
  });

  it("a folder inside somebody's repository is refused: the 84 unrelated files can't come back", async () => {
    repository(root);
    for (let n = 0; n < 84; n++) put(`unrelated-${n}.txt`, "theirs", root);
    await expect(begin([{ strategy: "git_diff" }])).rejects.toMatchObject({
      code: "invalid_config",
      message: expect.stringContaining("lies inside the worktree"),
      hint: expect.stringContaining("worktree of its own"),
    });
    const outside = join(root, "..", `tenuto-none-${process.pid}`);
    mkdirSync(outside);
    try {
      await expect(begin([{ strategy: "git_diff" }], outside)).rejects.toMatchObject({ code: "invalid_config" });
    } finally {
      rmSync(outside, { recursive: true });
    }
    expect(await objects()).toBe(0);
  });

  it("works in a linked worktree, and leaves the repository as it is", async () => {
    const main = join(root, "main");
    mkdirSync(main);
    repository(main);
    git(main, "worktree", "add", "-q", join(root, "tree"));
    const tree = join(root, "tree");
    const before = git(main, "count-objects", "-v");
    const baseline = await begin([{ strategy: "git_diff" }], tree);
    put("added.txt", "x".repeat(1_000), tree);
    expect(names(await baseline.collect(null, []))).toEqual(["added.txt", "changes.patch", "changes.json"]);
    expect(git(main, "count-objects", "-v")).toBe(before);
    expect(git(tree, "status", "--porcelain")).toBe("?? added.txt\n");
  });

  it("no program that the repository names is started", async () => {
    repository(workspace);
    const trap = join(root, "trap.sh");
    put("trap.sh", `#!/bin/sh\ntouch ${root}/sprung\ncat\n`, root);
    chmodSync(trap, 0o755);
    const baseline = await begin([{ strategy: "git_diff" }]);
    for (const [name, value] of [
      ["core.fsmonitor", trap],
      ["filter.evil.clean", trap],
      ["filter.evil.process", trap],
      ["filter.evil.required", "true"],
      ["diff.external", trap],
      ["diff.evil.textconv", trap],
      ["core.hooksPath", root],
    ] as const)
      git(workspace, "config", name, value);
    put(".gitattributes", "* filter=evil diff=evil\n");
    put("a.txt", "changed\n");
    const found = await baseline.collect(null, []);
    expect(names(found)).toEqual([".gitattributes", "a.txt", "changes.patch", "changes.json"]);
    expect(existsSync(join(root, "sprung"))).toBe(false);
  });

  it("what the repository lacks is not fetched, whatever it says about where from", async () => {
    repository(workspace);
    put("trap.sh", `#!/bin/sh\ntouch ${root}/sprung\n`, root);
    chmodSync(join(root, "trap.sh"), 0o755);
    const baseline = await begin([{ strategy: "git_diff" }]);
    const blob = git(workspace, "rev-parse", "HEAD:a.txt").trim();
    rmSync(join(workspace, ".git/objects", blob.slice(0, 2), blob.slice(2)));
    for (const [name, value] of [
      ["core.repositoryFormatVersion", "1"],
      ["extensions.partialClone", "origin"],
      ["remote.origin.url", "ssh://nowhere/x"],
      ["remote.origin.promisor", "true"],
      ["core.sshCommand", join(root, "trap.sh")],
    ] as const)
      git(workspace, "config", name, value);
    put("a.txt", "changed\n");
    await expect(baseline.collect(null, [])).rejects.toMatchObject({ code: "command_failed" });
    expect(existsSync(join(root, "sprung"))).toBe(false);
    // The trap works: git itself walks into it.
    expect(() => git(workspace, "cat-file", "-p", blob)).toThrow();
    expect(existsSync(join(root, "sprung"))).toBe(true);
  });

  it("a worktree that the job has bent elsewhere is refused", async () => {
    repository(workspace);
    const baseline = await begin([{ strategy: "git_diff" }]);
    put("elsewhere/private.txt", "not ours", root);
    git(workspace, "config", "core.worktree", join(root, "elsewhere"));
    await expect(baseline.collect(null, [])).rejects.toMatchObject({ code: "invalid_config" });
  });

  it("ignore rules hold for what is tracked too; links and inner repositories are named only", async () => {
    repository(workspace);
    put("src/made.gen.ts", "1", workspace);
    git(workspace, "add", ".");
    git(workspace, "commit", "-qm", "more");
    const baseline = await begin([{ strategy: "git_diff", ignore: ["*.gen.ts", "out/"] }]);
    put("src/made.gen.ts", "2");
    put("out/x.txt", "x");
    symlinkSync("/etc/passwd", join(workspace, "link"));
    mkdirSync(join(workspace, "inner"));
    repository(join(workspace, "inner"));
    const found = await baseline.collect(null, []);
    const list = await listOf(found);
    expect(list.added.map((entry) => entry.path)).toEqual(["link"]);
    expect(list.modified).toEqual([]);
    expect(list.skipped).toEqual([{ path: "inner", reason: "it is a repository of its own" }]);
    expect(names(found)).toEqual(["changes.patch", "changes.json"]);
    const patch = await textOf(found.artifacts[0]?.sha256 as string);
    expect(patch).not.toContain("made.gen.ts");
  });
});

describe("stdout_final and composite", () => {
  it("keeps the last bytes of standard output, whole characters, in any cutting of the writes", async () => {
    const baseline = await begin([{ strategy: "stdout_final", maxBytes: 10 }]);
    for (const chunk of ["0123456789abc", "d", "ä", "efgh"]) baseline.stdout(Buffer.from(chunk));
    const found = await baseline.collect('"the output"', []);
    expect(found.artifacts[0]).toMatchObject({ name: "final_output.txt", type: "model_output" });
    expect(await textOf(found.artifacts[0]?.sha256 as string)).toBe("abcdäefgh".slice(-9));
    baseline.beginStdout();
    baseline.stdout(Buffer.from("again"));
    expect(await textOf((await baseline.collect(null, [])).artifacts[0]?.sha256 as string)).toBe("again");
    baseline.close();
    const cut = await begin([{ strategy: "stdout_final", maxBytes: 5 }]);
    cut.stdout(Buffer.from("ääääefgh"));
    expect(await textOf((await cut.collect(null, [])).artifacts[0]?.sha256 as string)).toBe("efgh");
    cut.close();
  });

  it("without a program it is the output: text as it is, anything else as JSON", async () => {
    const baseline = await begin([{ strategy: "stdout_final", type: "verification_report" }]);
    const text = (await baseline.collect('"all is well"', [])).artifacts[0];
    expect([text?.type, await textOf(text?.sha256 as string)]).toEqual(["verification_report", "all is well"]);
    const json = (await baseline.collect('{"a":1}', [])).artifacts[0];
    expect(await textOf(json?.sha256 as string)).toBe('{\n  "a": 1\n}\n');
    expect((await baseline.collect(null, [])).artifacts).toEqual([]);
    baseline.close();
  });

  it("several parts: names stay unique, the same bytes are one artifact", async () => {
    const other = join(root, "other");
    mkdirSync(other);
    const baseline = await workspaces.begin(job(), [
      { strategy: "stdout_final", folder: workspace },
      { strategy: "files", folder: workspace },
      { strategy: "files", folder: other, type: "test_results" },
    ]);
    baseline.stdout(Buffer.from("done"));
    put("same.txt", "same");
    put("same.txt", "same", other);
    put("result.xml", "one");
    put("result.xml", "two", other);
    const found = await baseline.collect(null, []);
    baseline.close();
    expect(names(found)).toEqual([
      "final_output.txt",
      "result.xml",
      "same.txt",
      "changes.json",
      "result~2.xml",
      "changes~2.json",
    ]);
    expect(found.artifacts[4]?.type).toBe("test_results");
  });
});
