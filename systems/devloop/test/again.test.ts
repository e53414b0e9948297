/** What is done once more: by a person who retries or reruns a run, and by an agent whose answer can't be used. */
import { existsSync } from "node:fs";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { git } from "../harness/git.ts";
import { type Bench, type Ended, endedRun, openBench } from "./bench.ts";

let bench: Bench | null = null;
afterEach(async () => {
  await bench?.close();
  bench = null;
});

const WAIT = { timeoutMs: 150_000 };

/** An agent that writes each prompt down as `prompts/<role>-<n>`, then does what the script of its role says. */
async function scripted(folder: string, roles: Record<string, string>): Promise<string[]> {
  const cases = Object.entries(roles).map(([role, script]) => `*"the ${role} of"*) role=${role}; note\n${script} ;;`);
  const path = join(folder, "agent.sh");
  await writeFile(
    path,
    `prompt=$(cat); mkdir -p ${folder}/prompts
note() { n=$(ls ${folder}/prompts | grep -c "^$role-"); printf '%s' "$prompt" > ${folder}/prompts/$role-$n; }
case "$prompt" in
${cases.join("\n")}
esac
`,
  );
  return ["sh", path];
}

const prompts = async (role: string) =>
  (await readdir(join(bench!.folder, "prompts"))).filter((name) => name.startsWith(`${role}-`)).sort();
const promptOf = (name: string) => readFile(join(bench!.folder, "prompts", name), "utf8");
const worktrees = async () =>
  (await git(bench!.repository, ["worktree", "list", "--porcelain"])).match(/^worktree /gm)!.length;
const log = (id: string) => git(bench!.repository, ["log", "--format=%s", `main..tenuto/${id}`]);

const TESTER = `echo '{"test_scenarios": [], "gaps": []}'`;
const judge = (word: string) => `echo '{"verification_result": "${word}", "findings": []}'`;

async function retried(id: string): Promise<Ended> {
  await bench!.tenuto.client.retry(id);
  const run = await bench!.tenuto.client.attach(id);
  return await endedRun(bench!.tenuto, id, await run.wait(WAIT));
}

async function rerun(id: string, from: string): Promise<Ended> {
  const { pipeline, params } = await bench!.tenuto.client.run(id);
  const run = await bench!.tenuto.start(pipeline, JSON.parse(params), { rerun: { run: id, from } });
  return await endedRun(bench!.tenuto, run.id, await run.wait(WAIT));
}

test("a verifier whose verdict was FAILED is asked anew when a person retries the run; no worktree stays behind", async () => {
  bench = await openBench();
  const verifier = `if [ $n = 0 ]; then ${judge("fail")}; else ${judge("pass")}; fi`;
  const agentCommand = await scripted(bench.folder, { tester: TESTER, verifier });
  const first = await bench.run("devloop-test-only", { agentCommand });
  expect([first.end.state, first.job("verifier").state, first.job("cleanup").state]).toEqual([
    "failed",
    "failed",
    "completed",
  ]);
  expect(await worktrees()).toBe(1);
  const second = await retried(first.id);
  expect([second.end.state, second.output("verifier").gate.verdict]).toEqual(["completed", "PASSED"]);
  expect([await prompts("verifier"), await prompts("tester")]).toEqual([["verifier-0", "verifier-1"], ["tester-0"]]);
  expect([await worktrees(), existsSync(first.output("workspace").path)]).toEqual([1, false]);
});

test("a verifier's answer in the wrong form is named, and asked for once more; then it is a warning, never a pass in silence", async () => {
  bench = await openBench();
  const verifier = `if [ $n = 1 ]; then ${judge("pass")}; else ${judge("perhaps")}; fi`;
  const agentCommand = await scripted(bench.folder, { tester: TESTER, verifier });
  const mended = await bench.run("devloop-test-only", { agentCommand });
  expect([mended.job("verifier").attempt, mended.output("verifier").gate.verdict]).toEqual([1, "PASSED"]);
  expect(await promptOf("verifier-1")).toMatch(/Attempt 1 failed[\s\S]*validation_error: verification_result/);
  const stubborn = await bench.run("devloop-test-only", { agentCommand });
  expect([stubborn.end.state, await prompts("verifier")]).toEqual([
    "completed",
    [0, 1, 2, 3].map((n) => `verifier-${n}`),
  ]);
  expect(stubborn.output("verifier")).toMatchObject({
    gate: {
      verdict: "PASSED_WITH_WARNINGS",
      findings: [{ level: "warning", message: expect.stringContaining("nobody judged the work: validation_error") }],
    },
    decided_by: "tests",
  });
});

test("dev fails, the run is cleaned up, and a person retries it: a worktree without what was half done, and none at the end", async () => {
  bench = await openBench();
  const dev = `if [ $n = 0 ]; then echo half > src/half.ts; echo out of luck >&2; exit 3; else echo done > src/done.ts; echo done; fi`;
  const first = await bench.run("devloop-dev-only", { agentCommand: await scripted(bench.folder, { dev }) });
  expect(JSON.parse(first.job("dev").error!).message).toMatch(/^node exited with code 1: the agent: .*out of luck$/);
  const second = await retried(first.id);
  expect(second.end.state).toBe("completed");
  expect(second.output("dev").files).toEqual([{ path: "src/done.ts", change: "added" }]);
  expect([await log(first.id), await worktrees()]).toEqual(["dev: dev", 1]);
  const refs = await git(bench.repository, ["for-each-ref", "--format=%(refname)", "refs/tenuto/left-over/"]);
  expect(await git(bench.repository, ["show", `${refs.split("\n")[0]}:src/half.ts`])).toBe("half");
});

test("a rerun begins at the work of the jobs before it, on a branch and in a worktree of its own, though the first one is gone", async () => {
  bench = await openBench();
  const dev = `echo "$n" > src/dev.txt; echo done`;
  const tester = `cp src/dev.txt test/seen.txt; ${TESTER}`;
  const agentCommand = await scripted(bench.folder, { dev, tester });
  const first = await bench.run("devloop-dev-test", { agentCommand });
  const tested = await rerun(first.id, "tester");
  expect([tested.end.state, await prompts("dev"), await log(tested.id)]).toEqual([
    "completed",
    ["dev-0"],
    "tester: tester\ndev: dev",
  ]);
  const again = await rerun(tested.id, "dev");
  expect([again.end.state, await prompts("dev"), await log(again.id)]).toEqual([
    "completed",
    ["dev-0", "dev-1"],
    "tester: tester\ndev: dev",
  ]);
  const seen = (id: string) => git(bench!.repository, ["show", `tenuto/${id}:test/seen.txt`]);
  expect(await Promise.all([first, tested, again].map(({ id }) => seen(id)))).toEqual(["0", "0", "1"]);
  expect(await worktrees()).toBe(1);
});

test("a planner whose plan a person refused is asked for another one when the run is retried", async () => {
  bench = await openBench({ approvePlan: true });
  const { client } = bench.tenuto;
  const planner = `echo "{\\"tasks\\": [{\\"id\\": \\"plan-$n\\", \\"description\\": \\"d\\", \\"type\\": \\"dev\\"}]}"`;
  const params = { originalPrompt: "Plan it", workspacePath: bench.repository, agent: "command" };
  const agentCommand = await scripted(bench.folder, { planner });
  const run = await bench.tenuto.start("devloop-full", { ...params, agentCommand });
  const open = async () => (await client.approvals({ run: run.id })).find((approval) => approval.state === "open");
  for (const plan of ["plan-0", "plan-1"]) {
    await expect.poll(async () => await open(), { timeout: 60_000 }).toBeDefined();
    const { id, hash, shown } = (await open())!;
    expect(JSON.parse(shown).output.plan.execution_order).toEqual([plan]);
    await client.decide(id, { approve: false, by: "a person", hash });
    expect((await run.wait(WAIT)).state).toBe("failed");
    if (plan === "plan-0") await client.retry(run.id);
  }
});
