/**
 * The acceptance list of the system's dossier: section 4.3 and its end. Each test is one line of it.
 */
import { execFileSync } from "node:child_process";
import { existsSync, openSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { definePipeline } from "tenuto";
import { afterEach, describe, expect, test } from "vitest";
import { PROMPT } from "../fixtures/repository.ts";
import { tidyWorktrees } from "../programs/worktrees.ts";
import { type Bench, endedRun, fakeAgent, openBench, processesWith, SCRIPTED, tenuto } from "./bench.ts";

let bench: Bench | null = null;
afterEach(async () => {
  await bench?.close();
  bench = null;
});

const ok = ["sh", "-c", "exit 0"];
const bad = ["sh", "-c", "exit 1"];

type Jobs = NonNullable<Parameters<typeof definePipeline>[0]["jobs"]>;

async function states(jobs: Jobs): Promise<Record<string, string>> {
  bench = await openBench();
  const run = await bench.tenuto.start(definePipeline({ name: "graph", jobs }));
  await run.wait({ timeoutMs: 150_000 });
  return Object.fromEntries((await bench.tenuto.client.jobs(run.id)).map((job) => [job.id, job.state]));
}

describe("a linear pipeline", () => {
  test("runs in order, passes its artifacts on, and ends with the right state", async () => {
    bench = await openBench();
    const ended = await bench.run("devloop-full");
    expect(ended.end.state).toBe("completed");
    const order = ["workspace", "planner", "dev", "tester", "verifier", "cleanup"].map((id) => ended.job(id));
    for (const [at, job] of order.entries())
      if (at > 0) expect(job.firstStartedAt).toBeGreaterThanOrEqual(order[at - 1]!.endedAt!);
    await bench.tenuto.close();
    const artifacts = JSON.parse(
      tenuto(["artifacts", "list", ended.id, "--json", "--home", join(bench.folder, "home")], bench.folder),
    );
    const rows = artifacts.artifacts as { name: string; job: string; type: string; sha256: string }[];
    const of = (job: string) => rows.filter((row) => row.job === job).map((row) => `${row.type} ${row.name}`);
    expect(of("planner")).toContain("model_output task_plan.json");
    expect(of("dev")).toEqual(
      expect.arrayContaining(["model_output final_output.txt", "file src/slug.ts", "file changes.patch"]),
    );
    expect(of("tester")).toEqual(
      expect.arrayContaining(["test_results test_results-0.json", "test_results test_results-1.json"]),
    );
    expect(of("verifier")).toContain("verification_report verification_report.json");
    for (const row of rows) expect(row.sha256).toMatch(/^[0-9a-f]{64}$/);
    const lineage = tenuto(
      ["artifacts", "lineage", ended.id, "planner/task_plan.json", "--home", join(bench.folder, "home")],
      bench.folder,
    );
    expect(lineage).toContain(`${ended.id}/dev`);
    const prompts = await readFile(join(bench.folder, "home", "workspaces", ended.id, "dev", "actions.jsonl"), "utf8");
    expect(JSON.parse(prompts.split("\n")[0]!).prompt).toContain("Crème Brûlée becomes creme-brulee");
  });

  test("a spawned developer is told why, what failed and what was asked first; the run's prompt stays what it was", async () => {
    bench = await openBench();
    const ended = await bench.run("devloop-dev-test");
    const child = ended.job("tester/0-regression");
    expect([child.state, child.parent]).toEqual(["completed", ended.job("tester").seq]);
    const record = await readFile(
      join(bench.folder, "home", "workspaces", ended.id, "tester", "0-regression", "actions.jsonl"),
      "utf8",
    );
    const { prompt } = JSON.parse(record.split("\n")[0]!);
    expect(prompt).toContain(PROMPT);
    expect(prompt).toContain("Job tester sent the work back: tests fail: 2 passed, 1 failed");
    expect(prompt).toContain("FAILED letters with accents become plain letters");
    expect(JSON.parse((await bench.tenuto.client.run(ended.id)).params).originalPrompt).toBe(PROMPT);
  });
});

describe("what a job waits for", () => {
  test("success, failure and always, over an upstream that completed and one that failed", async () => {
    expect(
      await states([
        { id: "good", command: ok, needs: [] },
        { id: "bad", command: bad, needs: [], allowFailure: true },
        ...(["success", "failure", "always"] as const).flatMap((on) => [
          { id: `${on}-after-good`, command: ok, needs: [{ job: "good", on }] },
          { id: `${on}-after-bad`, command: ok, needs: [{ job: "bad", on }] },
        ]),
      ]),
    ).toEqual({
      good: "completed",
      bad: "failed",
      "success-after-good": "completed",
      "success-after-bad": "skipped",
      "failure-after-good": "skipped",
      "failure-after-bad": "completed",
      "always-after-good": "completed",
      "always-after-bad": "completed",
    });
  });

  test("what can no longer run is skipped, through skipped jobs as well, and that is no deadlock", async () => {
    expect(
      await states([
        { id: "a", command: bad, needs: [] },
        { id: "b", command: ok, needs: ["a"] },
        { id: "c", command: ok, needs: ["b"] },
        { id: "d", command: ok, needs: [{ job: "c", on: "always" }] },
        { id: "e", command: ok, needs: [{ job: "c", on: "failure" }] },
      ]),
    ).toEqual({ a: "failed", b: "skipped", c: "skipped", d: "completed", e: "skipped" });
  });

  test("jobs of one stage run side by side, up to the limit; the others queue", async () => {
    bench = await openBench();
    const script = 'echo $$ > "run.$1"; ls run.* | wc -l >> seen; sleep 0.3; rm "run.$1"';
    const jobs = ["1", "2", "3", "4", "5", "6"].map((id) => ({
      id,
      needs: [],
      limits: ["places"],
      command: { argv: ["sh", "-c", script, "sh", id], cwd: bench!.folder },
    }));
    const run = await bench.tenuto.start(
      definePipeline({ name: "wide", limiters: { places: { concurrency: 2 } }, jobs }),
    );
    expect((await run.wait({ timeoutMs: 150_000 })).state).toBe("completed");
    const seen = (await readFile(join(bench.folder, "seen"), "utf8")).trim().split("\n").map(Number);
    expect([seen.length, Math.max(...seen)]).toEqual([6, 2]);
  });
});

describe("retries", () => {
  test("100 retries are 101 attempts; then the job has failed, with the last exit code", async () => {
    bench = await openBench();
    const jobs = [
      {
        id: "never",
        command: bad,
        errors: [{ exitCode: 1, category: "retryable" as const }],
        retry: { maxRetries: 100, baseSeconds: 0.001, capSeconds: 0.001 },
      },
    ];
    const run = await bench.tenuto.start(definePipeline({ name: "again", jobs }));
    const ended = await endedRun(bench.tenuto, run.id, await run.wait({ timeoutMs: 150_000 }));
    expect([ended.end.state, ended.job("never").attempt]).toEqual(["failed", 101]);
    expect(JSON.parse(ended.job("never").error!).details.exitCode).toBe(1);
  });

  test("the prompt of a retry is made from the original; its log goes on after a mark", async () => {
    bench = await openBench({ maxRetries: 1 });
    const ended = await bench.run("devloop-dev-only", { agentCommand: fakeAgent("crash", "plain", "m") });
    const place = join(bench.folder, "home", "workspaces", ended.id, "dev", "actions.jsonl");
    const prompts = (await readFile(place, "utf8"))
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line))
      .filter((entry) => entry.event === "prompt");
    expect(prompts).toHaveLength(2);
    expect(prompts[1].prompt.split(PROMPT)).toHaveLength(2);
    expect(prompts[1].prompt).toContain("Attempt 1 failed. This is attempt 2");
    await bench.tenuto.close();
    const log = tenuto(["logs", ended.id, "dev", "--raw", "--home", join(bench.folder, "home")], bench.folder);
    expect(log).toContain("--- Attempt 2 ---");
  });

  test("delays grow from retry to retry", async () => {
    bench = await openBench();
    const retry = { maxRetries: 3, baseSeconds: 0.1, factor: 3, jitter: 0 };
    const jobs = [{ id: "never", command: bad, errors: [{ exitCode: 1, category: "retryable" as const }], retry }];
    const run = await bench.tenuto.start(definePipeline({ name: "slower", jobs }));
    await run.wait({ timeoutMs: 150_000 });
    const starts = (await bench.tenuto.client.events(run.id))
      .filter((event) => event.name === "job.started")
      .map((event) => event.at);
    const gaps = starts.slice(1).map((at, index) => at - starts[index]!);
    for (const [index, least] of [100, 300, 900].entries()) expect(gaps[index]).toBeGreaterThanOrEqual(least);
  });
});

test("cancelling ends the agent's processes and the run; nothing of it is started afterwards; its worktree is found", async () => {
  bench = await openBench({ timeoutSeconds: 60 });
  const params = {
    originalPrompt: PROMPT,
    workspacePath: bench.repository,
    agent: "command",
    agentCommand: fakeAgent("hang", "plain", "cancel-me"),
  };
  const run = await bench.tenuto.start("devloop-dev-test", params);
  const record = join(bench.folder, "home", "workspaces", run.id, "dev", "actions.jsonl");
  await expect
    .poll(() => existsSync(record) && processesWith("cancel-me").length > 0, { timeout: 30_000, interval: 50 })
    .toBe(true);
  await run.cancel("changed my mind");
  const ended = await endedRun(bench.tenuto, run.id, await run.wait({ timeoutMs: 30_000 }));
  expect(ended.end.state).toBe("cancelled");
  expect(ended.jobs.map((job) => [job.id, job.state])).toEqual([
    ["workspace", "completed"],
    ["dev", "cancelled"],
    ["tester", "cancelled"],
    ["cleanup", "cancelled"],
  ]);
  expect(processesWith("cancel-me")).toEqual([]);
  const { path } = ended.output("workspace");
  await writeFile(join(path, "late.txt"), "not committed");
  await bench.tenuto.close();
  const look = { repositories: [bench.repository], home: join(bench.folder, "home") };
  expect(await tidyWorktrees({ ...look, dryRun: true })).toMatchObject([
    { run: run.id, state: "cancelled", removed: false },
  ]);
  expect(await tidyWorktrees(look)).toMatchObject([{ run: run.id, removed: true }]);
  expect([existsSync(path), await tidyWorktrees(look)]).toEqual([false, []]);
  expect(execFileSync("git", ["show", `tenuto/${run.id}:late.txt`], { cwd: bench.repository, encoding: "utf8" })).toBe(
    "not committed",
  );
});

test("`tenuto run` of a template into a file shows the states of its jobs as the source document does", async () => {
  bench = await openBench();
  await bench.tenuto.close();
  const file = join(bench.folder, "progress.txt");
  const template = fileURLToPath(new URL("../pipeline.ts", import.meta.url));
  const params = join(bench.folder, "params.json");
  await writeFile(
    params,
    JSON.stringify({
      originalPrompt: PROMPT,
      workspacePath: bench.repository,
      agent: "command",
      agentCommand: SCRIPTED,
    }),
  );
  tenuto(
    ["run", `${template}#devloop-dev-test`, "--params", params, "--home", join(bench.folder, "home")],
    bench.folder,
    openSync(file, "w"),
  );
  const lines = (await readFile(file, "utf8")).split("\n");
  expect(lines.some((line) => /^\[\d+s\] Pipeline status: running$/.test(line))).toBe(true);
  for (const line of [
    "  [dev] dev: completed",
    "  [test] tester: pending",
    "  [test] tester: running",
    "  [test] tester: completed",
  ])
    expect(lines).toContain(line);
  const last = lines.findLastIndex((line) => /^\[\d+s\] Pipeline status:/.test(line));
  expect(lines[last]).toMatch(/^\[\d+s\] Pipeline status: completed$/);
});
