/** A whole run with real git, a real test runner and a scripted agent: the tester sends the work back once. */
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { openTenuto } from "tenuto";
import { afterEach, beforeEach, expect, test } from "vitest";
import { makeRepository, PROMPT } from "../fixtures/repository.ts";
import { devloopPipelines } from "../pipeline.ts";

const SCRIPTED = [process.execPath, fileURLToPath(new URL("../fixtures/scripted-agent.ts", import.meta.url))];

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "devloop-"));
});
afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

test("plan, dev, test, back to dev, test, verify", async () => {
  const repository = await makeRepository(join(folder, "repository"));
  const before = execFileSync("git", ["status", "--porcelain"], { cwd: repository, encoding: "utf8" });
  await using tenuto = await openTenuto({
    home: join(folder, "home"),
    pipelines: devloopPipelines({ retrySeconds: 0.1 }),
  });
  const run = await tenuto.start("devloop-full", {
    originalPrompt: PROMPT,
    workspacePath: repository,
    agent: "command",
    agentCommand: SCRIPTED,
  });
  const end = await run.wait({ timeoutMs: 50_000 });
  const jobs = await tenuto.client.jobs(run.id);
  expect(jobs.map((job) => [job.id, job.state, job.error])).toEqual([
    ["workspace", "completed", null],
    ["planner", "completed", null],
    ["dev", "completed", null],
    ["tester", "completed", null],
    ["verifier", "completed", null],
    ["cleanup", "completed", null],
    ["tester/0-regression", "completed", null],
  ]);
  expect(end.state).toBe("completed");
  const output = (id: string) => JSON.parse(jobs.find((job) => job.id === id)!.output!);
  expect(output("tester")).toMatchObject({
    gate: { verdict: "PASSED" },
    rounds: 2,
    tests: { counts: { passed: 3, failed: 0 } },
  });
  expect(output("tester/0-regression").files).toEqual([{ path: "src/slug.ts", change: "changed" }]);
  expect(output("verifier")).toMatchObject({ gate: { verdict: "PASSED" }, decided_by: "both" });
  expect(output("cleanup")).toEqual({ branch: `tenuto/${run.id}` });
  expect(existsSync(output("workspace").path)).toBe(false);
  const git = (...args: string[]) => execFileSync("git", args, { cwd: repository, encoding: "utf8" });
  expect(git("status", "--porcelain")).toBe(before);
  expect(git("log", "--format=%s", `main..tenuto/${run.id}`).trim().split("\n")).toEqual([
    "dev: tester/0-regression",
    "tester: tester",
    "dev: dev",
  ]);
  expect(git("worktree", "list", "--porcelain").match(/^worktree /gm)).toHaveLength(1);
  const { params } = await tenuto.client.run(run.id);
  expect(JSON.parse(params).originalPrompt).toBe(PROMPT);
});
