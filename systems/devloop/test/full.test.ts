/** A whole run with real git, a real test runner and a scripted agent: the tester sends the work back once. */
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, expect, test } from "vitest";
import { PROMPT } from "../fixtures/repository.ts";
import { git } from "../harness/git.ts";
import { type Bench, endedRun, openBench } from "./bench.ts";

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
  expect(execFileSync("git", ["status", "--porcelain"], { cwd: repository, encoding: "utf8" })).toBe(before);
  expect((await git(repository, ["log", "--format=%s", `main..tenuto/${id}`])).split("\n")).toEqual([
    "dev: tester/0-regression",
    "tester: tester",
    "dev: dev",
  ]);
  expect((await git(repository, ["worktree", "list", "--porcelain"])).match(/^worktree /gm)).toHaveLength(1);
  const { params } = await bench.tenuto.client.run(id);
  expect(JSON.parse(params).originalPrompt).toBe(PROMPT);
});

test("a run that failed is opened again by a person: a new round of regressions, a new worktree, earlier work kept", async () => {
  bench = await openBench();
  const agent = join(bench.folder, "agent.sh");
  const good = fileURLToPath(new URL("../fixtures/scripted-agent.ts", import.meta.url));
  await writeFile(
    agent,
    `prompt=$(cat); case "$prompt" in *"the dev of"*) echo nothing done;; *) echo "$prompt" | ${process.execPath} ${good};; esac\n`,
  );
  const first = await bench.run("devloop-dev-test", { agentCommand: ["sh", agent], maxRegressions: 1 });
  expect([first.end.state, first.job("tester").state, first.job("cleanup").state]).toEqual([
    "failed",
    "failed",
    "completed",
  ]);
  await writeFile(agent, `exec ${process.execPath} ${good}\n`);
  await bench.tenuto.client.retry(first.id);
  const run = await bench.tenuto.client.attach(first.id);
  const second = await endedRun(bench.tenuto, first.id, await run.wait({ timeoutMs: 150_000 }));
  expect(second.end.state).toBe("completed");
  expect(second.output("tester")).toMatchObject({ gate: { verdict: "PASSED" }, rounds: 2 });
  expect(second.jobs.map((job) => job.id)).toEqual([
    "workspace",
    "dev",
    "tester",
    "cleanup",
    "tester/0-regression",
    "tester/1-regression",
  ]);
  // The cleanup had been done: whoever worked after it tidied up.
  expect(existsSync(second.output("workspace").path)).toBe(false);
  expect((await git(bench.repository, ["worktree", "list", "--porcelain"])).match(/^worktree /gm)).toHaveLength(1);
});
