/** Each template in a whole run. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { git } from "../harness/git.ts";
import { devloopPipelines } from "../pipeline.ts";
import { type Bench, openBench } from "./bench.ts";

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
  expect([failed.end.state, failed.job("dev").state]).toEqual(["failed", "skipped"]);
  expect(JSON.parse(failed.job("workspace").error!).details.stderr).toContain(
    "setupCommand exited with code 4: no network",
  );
});
