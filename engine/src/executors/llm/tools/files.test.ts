/** Files for models: nothing outside is read or changed, and doing a call again after a crash changes nothing. */
import { execFileSync } from "node:child_process";
import {
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { BuiltInTool } from "../../../core/llm.ts";
import { type Args, ToolProblem } from "../tool.ts";
import { fileTools, matcher } from "./files.ts";

let base: string;
let workspace: string;
beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), "tenuto-files-"));
  workspace = join(base, "workspace");
  mkdirSync(join(workspace, "src"), { recursive: true });
  writeFileSync(join(base, "secret.txt"), "secret");
  writeFileSync(join(workspace, "src", "a.ts"), "one\ntwo\nthree\n");
});
afterEach(() => rmSync(base, { recursive: true, force: true }));

const place = { key: ["tool", 1, 0], signal: new AbortController().signal, idempotencyKey: "k" };

async function call(name: BuiltInTool, args: Args): Promise<string> {
  const tool = fileTools(workspace)[name]!;
  const checked = (await tool.check(args)) as Args;
  const plan = (await tool.plan?.(checked)) ?? null;
  return await tool.work!(checked, plan, place);
}

const refused = (name: BuiltInTool, args: Args, why: string | RegExp) =>
  expect(call(name, args)).rejects.toSatisfy(
    (error: Error) =>
      error instanceof ToolProblem && (typeof why === "string" ? error.message.includes(why) : why.test(error.message)),
  );

describe("paths", () => {
  const outside = [
    "../secret.txt",
    "src/../../secret.txt",
    "/etc/passwd",
    "./../workspace/../secret.txt",
    "..",
    "src/../..",
    "out/secret.txt",
    "leaf",
    "loop/x",
    "dangling",
    "dangling/new.txt",
    "src/out/../../../secret.txt",
  ];
  it.each(outside)("%s is refused by every tool", async (path) => {
    symlinkSync(base, join(workspace, "out"));
    symlinkSync(join(base, "secret.txt"), join(workspace, "leaf"));
    symlinkSync("loop", join(workspace, "loop"));
    symlinkSync(join(base, "not-there"), join(workspace, "dangling"));
    const before = readdirSync(base).sort();
    await refused("read_file", { path }, /outside|no |folder/);
    await refused("write_file", { path, content: "x" }, /outside|no |folder/);
    await refused("create_file", { path, content: "x" }, /outside|no |folder/);
    await refused("edit_file", { path, old: "secret", new: "x" }, /outside|no |folder/);
    await refused("list_directory", { path }, /outside|no |file/);
    expect(readFileSync(join(base, "secret.txt"), "utf8")).toBe("secret");
    expect(readdirSync(base).sort()).toEqual(before);
  });

  it("links that stay inside are followed", async () => {
    symlinkSync("src", join(workspace, "alias"));
    symlinkSync("src/a.ts", join(workspace, "b.ts"));
    expect(await call("read_file", { path: "alias/a.ts" })).toContain("one");
    expect(await call("read_file", { path: "b.ts" })).toContain("one");
    await call("write_file", { path: "b.ts", content: "changed" });
    expect(readFileSync(join(workspace, "src/a.ts"), "utf8")).toBe("changed");
  });

  it("an absolute path of the workspace itself is taken", async () => {
    expect(await call("read_file", { path: join(workspace, "src/a.ts") })).toContain("two");
  });

  it("the repository's and the engine's own folders, pipes and binary files are closed", async () => {
    mkdirSync(join(workspace, ".git/hooks"), { recursive: true });
    await refused("write_file", { path: ".git/hooks/pre-commit", content: "#!/bin/sh" }, "not yours");
    await refused("list_directory", { path: ".git" }, "not yours");
    execFileSync("mkfifo", [join(workspace, "pipe")]);
    await refused("read_file", { path: "pipe" }, "not a file");
    writeFileSync(join(workspace, "bin"), Buffer.from([1, 0, 2]));
    await refused("read_file", { path: "bin" }, "not a text");
    writeFileSync(join(workspace, "big"), "x".repeat(1_000_001));
    await refused("read_file", { path: "big" }, "1000001 bytes");
  });

  it("a file with a second name outside is replaced, not written through", async () => {
    linkSync(join(base, "secret.txt"), join(workspace, "hard"));
    await call("write_file", { path: "hard", content: "mine" });
    expect(readFileSync(join(base, "secret.txt"), "utf8")).toBe("secret");
  });
});

describe("a call that is made again after a crash", () => {
  const again = async (name: BuiltInTool, args: Args) => {
    const tool = fileTools(workspace)[name]!;
    const plan = (await tool.plan?.(args)) ?? null;
    const first = await tool.work!(args, plan, place);
    return { first, second: await tool.work!(args, plan, place) };
  };

  it("edits once", async () => {
    const { first, second } = await again("edit_file", { path: "src/a.ts", old: "o", new: "oo", all: true });
    expect(second).toBe(first);
    expect(readFileSync(join(workspace, "src/a.ts"), "utf8")).toBe("oone\ntwoo\nthree\n");
  });

  it("creates once, and still tells a file that had been there", async () => {
    const { first, second } = await again("create_file", { path: "new/b.ts", content: "x" });
    expect(second).toBe(first);
    await refused("create_file", { path: "new/b.ts", content: "x" }, "exists already");
  });
});

describe("edits", () => {
  it("want the old text exactly once", async () => {
    await refused("edit_file", { path: "src/a.ts", old: "four", new: "x" }, "does not occur");
    await refused("edit_file", { path: "src/a.ts", old: "o", new: "x" }, "occurs 2 times");
    await refused("edit_file", { path: "src/a.ts", old: "", new: "x" }, "empty");
  });
  it("take replacement texts literally", async () => {
    await call("edit_file", { path: "src/a.ts", old: "two", new: "$& $1" });
    expect(readFileSync(join(workspace, "src/a.ts"), "utf8")).toContain("$& $1");
  });
});

it("reads a range of lines, lists and finds; links are not followed when finding", async () => {
  symlinkSync(base, join(workspace, "out"));
  expect(await call("read_file", { path: "src/a.ts", from_line: 2, lines: 1 })).toBe("two");
  expect(await call("list_directory", {})).toBe("out (link)\nsrc/");
  expect(await call("find_files", { pattern: "**/*.ts" })).toBe("src/a.ts");
  expect(await call("find_files", { pattern: "secret*" })).toBe("no match");
});

it("matches patterns part by part, in time that does not explode", () => {
  expect(matcher("src/**/*.ts")("src/a/b/c.ts")).toBe(true);
  expect(matcher("src/**/*.ts")("src/c.ts")).toBe(true);
  expect(matcher("src/*.ts")("src/a/c.ts")).toBe(false);
  expect(matcher("*.ts")("deep/in/c.ts")).toBe(true);
  expect(matcher("a*b*c")("aXbYc")).toBe(true);
  expect(matcher("a*b*c")("ac")).toBe(false);
  const hostile = matcher(`${"**/".repeat(80)}${"*a".repeat(80)}`);
  const since = performance.now();
  expect(hostile(`${"a/".repeat(500)}${"a".repeat(200)}b`)).toBe(false);
  expect(performance.now() - since).toBeLessThan(1_000);
});
