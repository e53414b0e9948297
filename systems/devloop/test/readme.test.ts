/** What the README and the demonstration promise: the commands exist and do what is said. */
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parseOutput } from "../domain/outputs.ts";
import { devloopParams, devloopPipelines } from "../pipeline.ts";
import { openBench, SCRIPTED, tenuto } from "./bench.ts";

const ROOT = fileURLToPath(new URL("../../../", import.meta.url));
const execute = promisify(execFile);
const readme = await readFile(new URL("../README.md", import.meta.url), "utf8");
const lines = [...readme.matchAll(/^```sh\n([\s\S]*?)^```$/gm)].flatMap(([, text]) => text!.trim().split("\n"));

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "devloop-readme-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

test("every npm script that is shown exists", async () => {
  const scripts = async (path: string) =>
    JSON.parse(await readFile(join(ROOT, path), "utf8")).scripts as Record<string, string>;
  const [root, own] = [await scripts("package.json"), await scripts("systems/devloop/package.json")];
  const shown = lines.filter((line) => line.startsWith("npm run")).map((line) => line.split(/\s+/));
  expect(shown.length).toBeGreaterThan(4);
  for (const words of shown) expect(words.includes("-w") ? own : root).toHaveProperty([words[2]!]);
});

test("every template and param that is shown exists, and all are shown", () => {
  const names = devloopPipelines().map((pipeline) => pipeline.document.name);
  const shown = lines
    .map((line) => /(?:run|push|start) (devloop-[\w-]+)/.exec(line)?.[1])
    .filter((name) => name !== undefined);
  expect(names).toEqual(expect.arrayContaining(shown));
  for (const name of names) expect(readme).toContain(`\`${name}\``);
  for (const name of Object.keys(devloopParams.shape)) expect(readme).toContain(`| \`${name}\` |`);
  const given = lines.flatMap((line) => [...line.matchAll(/-p (\w+)=/g)].map(([, name]) => name!));
  expect(Object.keys(devloopParams.shape)).toEqual(expect.arrayContaining(given));
});

test("answers of the shape that is shown are taken, and the import that is shown gives the templates", async () => {
  const answers = /^```json\n([\s\S]*?)^```$/m.exec(readme)![1]!.trim().split("\n");
  const roles = ["planner", "tester", "verifier"] as const;
  expect(roles.map((role, at) => parseOutput(role, answers[at]).ok)).toEqual([true, true, true]);
  const [, place] = /^import \{ devloopPipelines \} from "(.+)";$/m.exec(readme)!;
  expect((await import(place!)).devloopPipelines).toBe(devloopPipelines);
});

describe("the demonstration", () => {
  test("sends the work back once and ends well", async () => {
    const demo = fileURLToPath(new URL("../demo.ts", import.meta.url));
    const { stdout } = await execute(
      process.execPath,
      ["--conditions=source", demo, "--home", join(folder, "home"), "--clean"],
      { cwd: folder },
    );
    for (const text of [
      "tester/0-regression: sent back to dev, because",
      "FAILED letters with accents become plain letters",
      "tester completed: PASSED, 3 passed, 0 failed, 2 rounds",
      "Run devloop-full-1 completed",
      'replaceAll(/\\p{Mn}/gu, "")',
      "The repository's own files are as they were; the worktree is removed.",
    ])
      expect(stdout).toContain(text);
  });
});

test("a template in the ledger is started without its planner, and the rest holds together", async () => {
  const bench = await openBench();
  try {
    await bench.tenuto.close();
    const home = ["--home", join(bench.folder, "home")];
    const config = ["--config", join(ROOT, "tenuto.config.ts")];
    tenuto(["templates", "push", "devloop-full", ...home, ...config], bench.folder);
    const params = [
      "-p",
      "originalPrompt=Complete slugify",
      "-p",
      `workspacePath=${bench.repository}`,
      "-p",
      "agent=command",
      "-p",
      `agentCommand=${JSON.stringify(SCRIPTED)}`,
    ];
    tenuto(
      ["templates", "start", "devloop-full", "--exclude-stage", "plan", ...params, ...home, ...config],
      bench.folder,
    );
    const { run, jobs } = JSON.parse(
      tenuto(["runs", "show", "latest", "--json", ...home, ...config], bench.folder),
    ) as {
      run: { state: string };
      jobs: { id: string; state: string }[];
    };
    expect(run.state).toBe("completed");
    expect(jobs.map((job) => job.id).sort()).toEqual([
      "cleanup",
      "dev",
      "tester",
      "tester/0-regression",
      "verifier",
      "workspace",
    ]);
  } finally {
    await bench.close();
  }
});
