/** The tools of the strict format on a real folder: what they do, and what they refuse. */
import { execFileSync } from "node:child_process";
import { link, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Action } from "../domain/actions.ts";
import { openSandbox, type Sandbox, SecurityError } from "../harness/sandbox.ts";
import { carryOut } from "../harness/tools.ts";

let folder: string;
let tree: string;
let sandbox: Sandbox;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "devloop-sandbox-"));
  tree = join(folder, "tree");
  await mkdir(join(tree, "src"), { recursive: true });
  await mkdir(join(tree, "docs"));
  await mkdir(join(tree, ".git", "hooks"), { recursive: true });
  await writeFile(join(tree, "src", "a.txt"), "hello");
  await writeFile(join(folder, "secret.txt"), "secret");
  sandbox = await openSandbox(tree, ["."]);
});
afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

const act = async (...actions: object[]) => await carryOut(sandbox, { actions: actions as Action[] });
const one = async (tool: string, args: object) => (await act({ tool, args })).results[0]!;

describe("tools", () => {
  test("read, write, create, list, find, transform", async () => {
    const { results, finish } = await act(
      { tool: "read_file", args: { path: "src/a.txt" } },
      { tool: "transform_text", args: { text: "{{result}} world", operation: "title" } },
      { tool: "create_file", args: { path: "new/deep/b.txt", content: "{{actions[1]}}!" } },
      { tool: "write_file", args: { path: "src/a.txt", content: "changed" } },
      { tool: "list_directory", args: { path: "." } },
      { tool: "find_files", args: { pattern: "*.txt", path: "." } },
      { tool: "finish", args: { summary: "done", output: { n: 1 } } },
      { tool: "write_file", args: { path: "late.txt", content: "too late" } },
    );
    expect(results.map((result) => result.status)).toEqual(Array(7).fill("success"));
    expect(await readFile(join(tree, "new/deep/b.txt"), "utf8")).toBe("Hello World!");
    expect(await readFile(join(tree, "src/a.txt"), "utf8")).toBe("changed");
    expect(results[4]!.value).toEqual(["docs/", "new/", "src/"]);
    expect(results[5]!.value).toEqual(["new/deep/b.txt", "src/a.txt"]);
    expect(finish).toEqual({ summary: "done", output: { n: 1 } });
  });

  test("create_file refuses what exists; a failed action does not stop the others, but those that refer to it", async () => {
    const { results } = await act(
      { tool: "create_file", args: { path: "src/a.txt", content: "x" } },
      { tool: "write_file", args: { path: "b.txt", content: "{{result}}" } },
      { tool: "write_file", args: { path: "c.txt", content: "fine" } },
    );
    expect(results.map((result) => result.status)).toEqual(["error", "validation_error", "success"]);
    expect(await readFile(join(tree, "src/a.txt"), "utf8")).toBe("hello");
  });

  test("find_files goes three folders deep, gives at most five, and a pattern can't make it slow", async () => {
    await mkdir(join(tree, "1/2/3"), { recursive: true });
    for (const path of ["1/x.md", "1/2/x.md", "1/2/3/x.md"]) await writeFile(join(tree, path), "");
    expect((await one("find_files", { pattern: "x.md", path: "." })).value).toEqual(["1/2/x.md", "1/x.md"]);
    for (let at = 0; at < 9; at++) await writeFile(join(tree, `many${at}.log`), "");
    expect((await one("find_files", { pattern: "many?.log", path: "." })).value).toHaveLength(5);
    await writeFile(join(tree, "a".repeat(200)), "");
    expect((await one("find_files", { pattern: `${"*a".repeat(90)}b`, path: "." })).value).toEqual([]);
  });

  test.each([
    ["uppercase", "aß", "ASS"],
    ["lowercase", "ÄB", "äb"],
    ["title", "it's A dog-house", "It's A Dog-House"],
    ["strip", "  a \n", "a"],
  ])("transform_text %s", async (operation, text, expected) => {
    expect((await one("transform_text", { text, operation })).value).toBe(expected);
  });
});

describe("refused as security_error", () => {
  const paths: [string, string][] = [
    ["above the worktree", "../secret.txt"],
    ["an absolute path", "/etc/passwd"],
    ["through a folder and back", "src/../../secret.txt"],
    ["a link to a file outside", "out.txt"],
    ["a folder that is a link outside", "outside/secret.txt"],
    ["a chain of links", "chain"],
    ["a link that leads nowhere", "dangling"],
    ["Git's own folder", ".git/hooks/pre-commit"],
    ["Git's own folder in capitals", ".GIT/config"],
    ["Git's own folder with a dot", ".git./config"],
    ["Git's own folder through a link", "gitlink/config"],
  ];

  beforeEach(async () => {
    await symlink(join(folder, "secret.txt"), join(tree, "out.txt"));
    await symlink(folder, join(tree, "outside"));
    await symlink("out.txt", join(tree, "chain"));
    await symlink(join(folder, "made-by-link"), join(tree, "dangling"));
    await symlink(".git", join(tree, "gitlink"));
  });

  test.each(paths)("%s", async (_, path) => {
    for (const [tool, args] of [
      ["read_file", { path }],
      ["write_file", { path, content: "x" }],
      ["create_file", { path, content: "x" }],
      ["list_directory", { path }],
      ["find_files", { path, pattern: "*" }],
    ] as const) {
      expect([tool, (await one(tool, args)).status]).toEqual([tool, "security_error"]);
    }
    expect(await readFile(join(folder, "secret.txt"), "utf8")).toBe("secret");
    expect(execFileSync("ls", [folder], { encoding: "utf8" })).toBe("secret.txt\ntree\n");
    expect(execFileSync("find", [join(tree, ".git"), "-type", "f"], { encoding: "utf8" })).toBe("");
  });

  test("a NUL character, and links that go in circles", async () => {
    await symlink("b", join(tree, "a"));
    await symlink("a", join(tree, "b"));
    expect((await one("read_file", { path: "src/a.txt\0.png" })).status).toBe("security_error");
    expect((await one("write_file", { path: "a", content: "" })).status).toBe("security_error");
  });

  test("what is inside the worktree but not allowed", async () => {
    sandbox = await openSandbox(tree, ["src"]);
    expect((await one("write_file", { path: "src/b.txt", content: "" })).status).toBe("success");
    expect((await one("write_file", { path: "docs/b.txt", content: "" })).status).toBe("security_error");
    expect((await one("write_file", { path: "srcs.txt", content: "" })).status).toBe("security_error");
    expect((await one("read_file", { path: "docs" })).status).toBe("security_error");
  });

  test("allowed paths that leave the worktree", async () => {
    for (const path of ["..", "/etc", "outside", ".git"])
      await expect(openSandbox(tree, [path])).rejects.toThrow(SecurityError);
  });
});

test("writing cuts a hard link instead of writing through it", async () => {
  await link(join(folder, "secret.txt"), join(tree, "hard.txt"));
  expect((await one("write_file", { path: "hard.txt", content: "mine" })).status).toBe("success");
  expect(await readFile(join(folder, "secret.txt"), "utf8")).toBe("secret");
});

test("a pipe is not waited for, a folder not read, what is no text refused", async () => {
  execFileSync("mkfifo", [join(tree, "pipe")]);
  await writeFile(join(tree, "bytes"), Buffer.from([0xff, 0xfe, 0x00]));
  for (const path of ["pipe", "src", "bytes", "missing"]) {
    const result = await one("read_file", { path });
    expect([path, result.status]).toEqual([path, "error"]);
    expect(result.error).not.toContain(folder);
  }
  expect((await one("write_file", { path: "src", content: "" })).status).toBe("error");
});
