/** Each template in a whole run. */
import { spawnSync } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { definePipeline } from "tenuto";
import { afterEach, expect, test } from "vitest";
import { devloopAgents } from "../agents.ts";
import { PROMPT } from "../fixtures/repository.ts";
import { git } from "../harness/git.ts";
import { devloopPipelines } from "../pipeline.ts";
import { type Bench, openBench, SCRIPTED } from "./bench.ts";

let bench: Bench | null = null;
afterEach(async () => {
  await bench?.close();
  bench = null;
});

test("there are the templates of the dossier, each with its stages and jobs", () => {
  const shape = devloopPipelines().map(
    ({ document }) =>
      `${document.name}: ${document.stages.map(({ name, jobs }) => `${name} ${jobs.length}`).join(", ")}`,
  );
  expect(shape).toEqual([
    "devloop-full: prepare 1, plan 1, dev 1, test 1, verify 1, cleanup 1",
    "devloop-dev-test: prepare 1, dev 1, test 1, cleanup 1",
    "devloop-dev-only: prepare 1, dev 1, cleanup 1",
    "devloop-test-only: prepare 1, test 1, verify 1, cleanup 1",
    "devloop-plan-only: prepare 1, plan 1, cleanup 1",
    "devloop-plan-code-verify: prepare 1, plan 1, code 1, verify 1, cleanup 1",
    "devloop-four-tasks: prepare 1, tasks 9, join 3, cleanup 1",
    "devloop-mock: planner 1, dev 1, verifier 1",
  ]);
});

test("plan only: a checked plan, and no branch left, since nothing changed", async () => {
  bench = await openBench();
  const ended = await bench.run("devloop-plan-only");
  expect([ended.end.state, ended.output("planner").plan.execution_order]).toEqual(["completed", ["slugify"]]);
  expect(ended.output("cleanup")).toEqual({ branch: null });
});

test("test only, without an agent: the tests decide", async () => {
  bench = await openBench();
  const ended = await bench.run("devloop-test-only", { agent: "none" });
  expect([ended.end.state, ended.output("tester").gate.verdict, ended.output("verifier").decided_by]).toEqual([
    "completed",
    "PASSED",
    "tests",
  ]);
});

test("plan, code, verify: one developer for each task of the plan, in its order; dependants wait for all of them", async () => {
  bench = await openBench();
  const agent = join(bench.folder, "agent.sh");
  const task = (id: string, dependencies: string[]) => ({
    id,
    description: `Write ${id}`,
    type: "dev",
    dependencies,
    acceptance_criteria: ["it is there"],
  });
  const plan = JSON.stringify({ tasks: [task("second", ["first"]), task("first", []), task("third", ["second"])] });
  await writeFile(
    agent,
    `prompt=$(cat)
case "$prompt" in
  *"the planner of a team"*) echo '${plan}' ;;
  *"the dev of a team"*) name=$(echo "$prompt" | sed -n 's/^Write \\([a-z]*\\)$/\\1/p'); date +%s%N > "$name.txt"; ls *.txt; echo "wrote $name" ;;
  *) echo '{"verification_result": "pass", "findings": []}' ;;
esac
`,
  );
  const ended = await bench.run("devloop-plan-code-verify", { agentCommand: ["sh", agent] });
  expect(ended.end.state).toBe("completed");
  const children = ended.jobs.filter((job) => job.id.startsWith("code/"));
  expect(children.map((job) => [job.id, job.state])).toEqual([0, 1, 2].map((at) => [`code/${at}`, "completed"]));
  const files = ended
    .output("code")
    .map((child: { output: { files: { path: string }[] } }) => child.output.files.map((file) => file.path));
  expect(files).toEqual([["first.txt"], ["second.txt"], ["third.txt"]]);
  expect(ended.job("verifier").firstStartedAt).toBeGreaterThanOrEqual(Math.max(...children.map((job) => job.endedAt!)));
  expect(await git(bench.repository, ["log", "--format=%s", `main..tenuto/${ended.id}`])).toBe(
    "dev: code/2\ndev: code/1\ndev: code/0",
  );
});

test("four tasks: three chains side by side in folders of their own, then one that joins them; twelve jobs", async () => {
  bench = await openBench();
  const agent = join(bench.folder, "agent.sh");
  const testFile =
    'import { test } from "node:test"; import { done } from "./code.ts"; test("done", () => { if (!done) throw new Error("no"); });';
  await writeFile(
    agent,
    `prompt=$(cat)
folder=$(echo "$prompt" | sed -n 's/.* Work in \\(tasks\\/[a-z_]*\\)\\.$/\\1/p' | head -1)
mkdir -p "$folder"
case "$prompt" in
  *"the tester of a team"*) echo '${testFile}' > "$folder/code.test.ts"; echo '{"test_scenarios": [{"name": "done"}]}' ;;
  *"the dev of a team"*) echo 'export const done = true;' > "$folder/code.ts"; echo done ;;
  *) echo '{"verification_result": "pass", "findings": []}' ;;
esac
`,
  );
  const ended = await bench.run("devloop-four-tasks", { agentCommand: ["sh", agent] });
  expect(ended.jobs.filter((job) => job.state !== "completed").map((job) => [job.id, job.error])).toEqual([]);
  const work = ended.jobs.filter((job) => !["workspace", "cleanup"].includes(job.id));
  expect(work).toHaveLength(12);
  for (const chain of ["fibonacci", "binary_sort", "case_converter", "all_join_in"]) {
    const [tests, code, verdict] = ["tester", "dev", "verifier"].map((role) => ended.job(`${chain}-${role}`));
    expect(tests!.endedAt!).toBeLessThanOrEqual(code!.firstStartedAt!);
    expect(code!.endedAt!).toBeLessThanOrEqual(verdict!.firstStartedAt!);
    expect(ended.output(`${chain}-dev`).files).toEqual([{ path: `tasks/${chain}/code.ts`, change: "added" }]);
    expect(ended.output(`${chain}-verifier`).tests.counts).toEqual({ passed: 1, failed: 0, skipped: 0 });
  }
  const others = ["fibonacci", "binary_sort", "case_converter"].map((chain) => ended.job(`${chain}-verifier`).endedAt!);
  expect(ended.job("all_join_in-tester").firstStartedAt).toBeGreaterThanOrEqual(Math.max(...others));
});

test("mock: three jobs that do nothing, and fail at the rate that was asked for", async () => {
  bench = await openBench({ maxRetries: 0 });
  const start = async (failureRate: number) => {
    const run = await bench!.tenuto.start("devloop-mock", { failureRate, duration: 0 });
    return (await run.wait({ timeoutMs: 150_000 })).state;
  };
  expect([await start(0), await start(1)]).toEqual(["completed", "failed"]);
  const [job] = await bench.tenuto.client.jobs("latest");
  expect(JSON.parse(job!.error!).details.stderr).toBe("[planner] failed by chance, at a rate of 1");
});

test("a set-up runs in the new worktree before anything else; what it leaves and Git does not ignore is a commit of its own", async () => {
  bench = await openBench({}, { ".gitignore": "modules/\n" });
  const setupCommand = ["sh", "-c", "mkdir modules && echo ready > modules/ready && echo lock > lock.txt"];
  const agentCommand = ["sh", "-c", "cat > /dev/null; cp modules/ready src/ready.txt; echo done"];
  const ended = await bench.run("devloop-dev-only", { setupCommand, agentCommand });
  expect(ended.output("dev").files).toEqual([{ path: "src/ready.txt", change: "added" }]);
  expect(await git(bench.repository, ["log", "--format=%s", `main..tenuto/${ended.id}`])).toBe("dev: dev\nSet up");
  const failed = await bench.run("devloop-dev-only", { setupCommand: ["sh", "-c", "echo no network; exit 4"] });
  expect(["dev", "cleanup"].map((id) => failed.job(id).state)).toEqual(["skipped", "completed"]);
  expect(await git(bench.repository, ["worktree", "list", "--porcelain"])).not.toContain(failed.id);
  const nowhere = await bench.run("devloop-dev-only", { workspacePath: join(bench.folder, "nowhere") });
  expect(["workspace", "cleanup"].map((id) => nowhere.job(id).state)).toEqual(["failed", "completed"]);
  expect(JSON.parse(failed.job("workspace").error!).details.stderr).toContain(
    "setupCommand exited with code 4: no network",
  );
});

test("with approvePlan a person agrees to the plan, once, before dev begins; a developer that comes back is not asked for again", async () => {
  bench = await openBench({ approvePlan: true });
  const { tenuto, repository } = bench;
  const params = { originalPrompt: PROMPT, workspacePath: repository, agent: "command", agentCommand: SCRIPTED };
  const run = await tenuto.start("devloop-full", params);
  await expect.poll(async () => (await tenuto.client.approvals({ run: run.id })).length, { timeout: 60_000 }).toBe(1);
  const [approval] = await tenuto.client.approvals({ run: run.id });
  expect(approval).toMatchObject({ state: "open", title: expect.stringContaining("a person must agree to the plan") });
  expect(JSON.parse(approval!.shown).output.plan.execution_order).toEqual(["slugify"]);
  expect((await tenuto.client.job(run.id, "dev")).state).toBe("pending");
  const decisions = await Promise.allSettled(
    Array.from({ length: 50 }, (_, at) =>
      tenuto.client.decide(approval!.id, { approve: true, by: `person-${at}`, hash: approval!.hash }),
    ),
  );
  expect(decisions.filter((decision) => decision.status === "fulfilled")).toHaveLength(1);
  expect((await run.wait({ timeoutMs: 150_000 })).state).toBe("completed");
  expect(await tenuto.client.approvals({ run: run.id })).toHaveLength(1);
});

test("tester/run in a pipeline of one's own: the tests of a repository, with a verdict for a gate", async () => {
  bench = await openBench();
  const place = { repository: bench.repository, worktree: "{{ jobs.workspace.output.path }}" };
  const input = { role: "runner", originalPrompt: "test", agent: { kind: "none" }, ...place };
  const pipeline = definePipeline({
    name: "only-tests",
    agents: devloopAgents,
    stages: [
      {
        name: "prepare",
        jobs: [{ id: "workspace", agent: "workspace/open", input: { repository: bench.repository } }],
      },
      { name: "test", jobs: [{ id: "tests", agent: "tester/run", input, gate: { verdict: "{{ output.gate }}" } }] },
    ],
  });
  const run = await bench.tenuto.start(pipeline);
  expect(await run.wait({ timeoutMs: 150_000 })).toMatchObject({
    state: "completed",
    output: { gate: { verdict: "PASSED" }, tests: { runner: "node", counts: { passed: 1, failed: 0, skipped: 0 } } },
  });
});

test("the mock runs a command or Python, passes its exit code on, and reads what it is told on its command line", () => {
  const program = fileURLToPath(new URL("../programs/mock.ts", import.meta.url));
  const mock = (...args: string[]) =>
    spawnSync(process.execPath, ["--conditions=source", program, "--failure-rate", "0", ...args], { encoding: "utf8" });
  expect(mock("--agent-type", "dev", "--prompt", "hello").stdout).toBe("[dev] attempt 1: hello\n");
  expect(mock("--command", '["sh", "-c", "echo out; exit 7"]')).toMatchObject({
    status: 7,
    stdout: expect.stringContaining("out\n"),
  });
  expect(mock("--python", "print(1 + 1)")).toMatchObject({ status: 0, stdout: expect.stringContaining("2\n") });
  expect(mock("--command", '["no-such-program"]')).toMatchObject({
    status: 1,
    stderr: expect.stringContaining("no such program"),
  });
  expect(mock("--failure-rate", "2")).toMatchObject({ status: 1 });
});
