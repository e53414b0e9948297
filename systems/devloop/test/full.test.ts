/** A whole run with real git, a real test runner and a scripted agent: the tester sends the work back once. */
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { afterEach, expect, test } from "vitest";
import { PROMPT } from "../fixtures/repository.ts";
import { type Bench, openBench } from "./bench.ts";

let bench: Bench | null = null;
afterEach(async () => {
  await bench?.close();
  bench = null;
});

test("plan, dev, test, back to dev, test, verify", async () => {
  bench = await openBench();
  const { repository } = bench;
  const before = execFileSync("git", ["status", "--porcelain"], { cwd: repository, encoding: "utf8" });
  const { id, end, jobs, output } = await bench.run("devloop-full");
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
  expect(output("tester")).toMatchObject({
    gate: { verdict: "PASSED" },
    rounds: 2,
    tests: { counts: { passed: 3, failed: 0 } },
  });
  expect(output("tester/0-regression").files).toEqual([{ path: "src/slug.ts", change: "changed" }]);
  expect(output("verifier")).toMatchObject({ gate: { verdict: "PASSED" }, decided_by: "both" });
  expect(output("cleanup")).toEqual({ branch: `tenuto/${id}` });
  expect(existsSync(output("workspace").path)).toBe(false);
  const git = (...args: string[]) => execFileSync("git", args, { cwd: repository, encoding: "utf8" });
  expect(git("status", "--porcelain")).toBe(before);
  expect(git("log", "--format=%s", `main..tenuto/${id}`).trim().split("\n")).toEqual([
    "dev: tester/0-regression",
    "tester: tester",
    "dev: dev",
  ]);
  expect(git("worktree", "list", "--porcelain").match(/^worktree /gm)).toHaveLength(1);
  const { params } = await bench.tenuto.client.run(id);
  expect(JSON.parse(params).originalPrompt).toBe(PROMPT);
});
