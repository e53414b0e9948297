/**
 * What is published: the built package, packed by npm, put where a user's project has it, works as plain JavaScript below
 * node_modules, brings few packages and needs no install script. Without network: its dependencies are those of the workspace.
 */
import { execFile } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

const ENGINE = join(import.meta.dirname, "..");
const ROOT = join(ENGINE, "..");
const MANIFEST = JSON.parse(readFileSync(join(ENGINE, "package.json"), "utf8"));
const execute = promisify(execFile);

let folder: string;
/** A user's project with the package installed. */
let project: string;
let installed: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "tenuto-package-"));
  const staged = join(folder, "staged");
  mkdirSync(staged);
  for (const name of ["package.json", "README.md", "LICENSE", "bin"])
    cpSync(join(ENGINE, name), join(staged, name), { recursive: true });
  await execute(process.execPath, [join(ENGINE, "build.mjs"), "--out", join(staged, "dist")]);
  await execute("npm", ["pack", "--ignore-scripts", "--pack-destination", folder], { cwd: staged });
  project = join(folder, "project");
  installed = join(project, "node_modules", "tenuto");
  mkdirSync(installed, { recursive: true });
  await execute("tar", [
    "xzf",
    join(folder, `tenuto-${MANIFEST.version}.tgz`),
    "-C",
    installed,
    "--strip-components=1",
  ]);
  for (const name of Object.keys(MANIFEST.dependencies)) {
    mkdirSync(join(project, "node_modules", name, ".."), { recursive: true });
    symlinkSync(join(ROOT, "node_modules", name), join(project, "node_modules", name));
  }
  mkdirSync(join(project, "node_modules", "@types"));
  symlinkSync(join(ROOT, "node_modules", "@types", "node"), join(project, "node_modules", "@types", "node"));
  writeFileSync(join(project, "package.json"), '{ "type": "module", "private": true }');
}, 120_000);
afterAll(() => rm(folder, { recursive: true, force: true }));

const node = (...args: string[]) =>
  execute(process.execPath, args, { cwd: project, env: { ...process.env, NODE_OPTIONS: "" } });
const tenuto = (...args: string[]) => node(join("node_modules", "tenuto", "bin", "tenuto.mjs"), ...args);

describe("the published package", () => {
  test("holds JavaScript, declarations, migrations and licence, no TypeScript and no tests", () => {
    const files = readdirSync(installed, { recursive: true, encoding: "utf8" });
    expect(files).toEqual(
      expect.arrayContaining([
        "LICENSE",
        "README.md",
        "bin/tenuto.mjs",
        "dist/index.js",
        "dist/index.d.ts",
        "dist/ui/index.html",
      ]),
    );
    expect(files).toContain("dist/ledger/sqlite/migrations/0001_init.sql");
    expect(files.filter((name) => /\.ts$/.test(name) && !/\.d\.ts$/.test(name))).toEqual([]);
    expect(files.filter((name) => /\.test\.|\.child\.|fixtures/.test(name))).toEqual([]);
  });

  test("every export and binary leads to a file", () => {
    const targets = Object.values(MANIFEST.exports as Record<string, Record<string, string>>).flatMap(
      ({ types, default: code }) => [types!, code!],
    );
    const missing = [...targets, ...Object.values(MANIFEST.bin as Record<string, string>)].filter(
      (path) => !existsSync(join(installed, path)),
    );
    expect(missing).toEqual([]);
  });

  test("brings few packages, none with an install script", () => {
    const { packages } = JSON.parse(readFileSync(join(ROOT, "package-lock.json"), "utf8"));
    const found = new Set<string>();
    const add = (name: string): void => {
      const key = `node_modules/${name}`;
      if (found.has(key)) return;
      found.add(key);
      for (const next of Object.keys(packages[key].dependencies ?? {})) add(next);
    };
    Object.keys(MANIFEST.dependencies).forEach(add);
    expect(found.size).toBeLessThanOrEqual(40);
    expect([...found].filter((key) => packages[key].hasInstallScript === true)).toEqual([]);
  });

  test("the command line tells its version and runs a job", async () => {
    expect((await tenuto("--version")).stdout.trim()).toBe(MANIFEST.version);
    writeFileSync(
      join(project, "one.yaml"),
      'name: one\njobs: [{ id: a, command: { argv: [echo, "hi {{ run.id }}"], output: stdout-text } }]\n',
    );
    const { stdout } = await tenuto("run", "one.yaml", "--json");
    expect(stdout).toContain("hi one-1");
  });

  test("the library runs a command, a function, a thread and durable code", async () => {
    writeFileSync(
      join(project, "agents.mjs"),
      `import { defineAgent } from "tenuto";
       export const square = defineAgent({ name: "math/square", isolation: "thread", module: import.meta.url, run: (n) => n * n });`,
    );
    writeFileSync(
      join(project, "main.mjs"),
      `import { definePipeline, openTenuto } from "tenuto";
       import { square } from "./agents.mjs";
       const code = definePipeline({ name: "code", agents: [square], run: async (ctx) => {
         const list = await ctx.map("squares", [1, 2, 3], "math/square");
         await ctx.sleep("pause", 10);
         return await ctx.step("sum", async () => (await list.array()).reduce((a, b) => a + b, 0));
       } });
       const tenuto = await openTenuto({ home: "home", pipelines: [code] });
       console.log((await (await tenuto.start("code")).wait()).output);
       await tenuto.close();`,
    );
    expect((await node("main.mjs")).stdout.trim()).toBe("14");
  });

  test.each(["nodenext", "bundler"])("its declarations type a user's code (%s)", async (resolution) => {
    writeFileSync(
      join(project, "typed.ts"),
      `import { defineAgent, definePipeline, type Context, type RunEnd } from "tenuto";
       import { openSqliteLedger } from "tenuto/sqlite";
       import { z } from "zod";
       const agent = defineAgent({ name: "a/b", input: z.object({ n: z.number() }), output: z.number(), run: (input, ctx: Context) => input.n + ctx.attempt });
       definePipeline({ name: "p", params: z.object({ n: z.number() }), run: (_ctx, params) => params.n.toFixed(1) });
       // @ts-expect-error: a number is no text
       const wrong: string = agent.name.length;
       export type { RunEnd };
       export { openSqliteLedger, wrong };`,
    );
    const tsc = join(ROOT, "node_modules", "typescript", "bin", "tsc");
    const module = resolution === "bundler" ? "esnext" : "nodenext";
    const flags = ["--noEmit", "--strict", "--skipLibCheck", "--target", "es2024", "--types", "node"];
    const failure = await node(tsc, ...flags, "--module", module, "--moduleResolution", resolution, "typed.ts").then(
      () => null,
      (error) => error.stdout,
    );
    expect(failure).toBeNull();
  });
});
