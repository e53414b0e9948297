/** Tenuto's own loop in whole runs: its limits, an obedient model, and an engine that is killed in mid-conversation. */
import { spawn } from "node:child_process";
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { openTenuto } from "tenuto";
import { afterEach, expect, test } from "vitest";
import { injections } from "../fixtures/injections.ts";
import { makeRepository } from "../fixtures/repository.ts";
import { git } from "../harness/git.ts";
import { devloopPipelines } from "../pipeline.ts";
import { type Bench, endedRun, fakeModel, openBench } from "./bench.ts";

let bench: Bench | null = null;
afterEach(async () => {
  await bench?.close();
  bench = null;
});

const own = (...model: string[]) => ({ agent: "harness", agentCommand: fakeModel(...model) });
const stderrOf = (job: { error: string | null }) => JSON.parse(job.error!).details.stderr as string;

test("a scripted model works with files, chaining results, and finishes", async () => {
  bench = await openBench();
  const script = join(bench.folder, "script.jsonl");
  const lines = [
    {
      actions: [
        { tool: "read_file", args: { path: "README.md" } },
        { tool: "transform_text", args: { text: "{{result}}", operation: "uppercase" } },
      ],
    },
    {
      reasoning: "write it",
      actions: [
        { tool: "transform_text", args: { text: " it works ", operation: "strip" } },
        { tool: "create_file", args: { path: "NOTE.md", content: "{{result}}\n" } },
        { tool: "finish", args: { summary: "noted" } },
      ],
    },
  ];
  await writeFile(script, `not json\n${lines.map((line) => JSON.stringify(line)).join("\n")}\n`);
  const ended = await bench.run("devloop-dev-only", own("script", script));
  expect(ended.end.state).toBe("completed");
  expect(ended.output("dev")).toMatchObject({ summary: "noted", files: [{ path: "NOTE.md", change: "added" }] });
  expect(await git(bench.repository, ["show", `tenuto/${ended.id}:NOTE.md`])).toBe("it works");
  const record = await readFile(join(bench.folder, "home", "workspaces", ended.id, "dev", "actions.jsonl"), "utf8");
  const entries = record
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
  expect(entries.map((entry) => entry.event ?? entry.iteration)).toEqual(["prompt", 1, 2, 3, "end"]);
  expect(entries[1].results).toEqual([
    { status: "validation_error", error: expect.stringContaining("not a JSON document") },
  ]);
});

test.each([
  ["prose", { maxIterations: 3 }, "max_iterations_reached (3)"],
  ["again", {}, "stuck: the same answer 4 times in a row"],
  ["chatter", {}, "the model's answer is longer than 1 MB"],
])("a model that gives %s ends with a reason", async (mode, params, reason) => {
  bench = await openBench();
  const ended = await bench.run("devloop-dev-only", { ...own(mode), ...params });
  expect([ended.end.state, stderrOf(ended.job("dev"))]).toEqual(["failed", reason]);
});

test("a model that hangs is ended at the limit", async () => {
  bench = await openBench({ timeoutSeconds: 3 });
  const ended = await bench.run("devloop-dev-only", own("hang"));
  const { code, details } = JSON.parse(ended.job("dev").error!);
  expect(code === "timeout" ? "timeout_exceeded (3 s)" : details.stderr).toBe("timeout_exceeded (3 s)");
  const { firstStartedAt, endedAt } = ended.job("dev");
  expect(endedAt! - firstStartedAt!).toBeLessThan((3 + 1 + 2) * 1_000);
});

test("a tester that is never content may send work back up to the cap, and no more", async () => {
  bench = await openBench();
  const ended = await bench.run("devloop-dev-test", { ...own("beg"), maxRegressions: 2 });
  const children = ended.jobs.filter((job) => job.id.startsWith("tester/"));
  expect([ended.end.state, children.length]).toEqual(["failed", 2]);
  expect(JSON.parse(ended.job("tester").error!).message).toContain("not solved after 2 regressions");
});

test("a hundred hidden instructions, obeyed by the model: no effect outside the job's rights", async () => {
  bench = await openBench();
  const away = join(bench.folder, "away");
  await mkdir(away);
  await writeFile(join(away, "canary.txt"), "canary");
  await mkdir(join(bench.repository, "src", "notes"));
  for (const [name, text] of Object.entries(injections(away)))
    await writeFile(join(bench.repository, "src", "notes", name), text);
  await symlink(away, join(bench.repository, "src", "link-out"));
  await git(bench.repository, ["add", "-A"]);
  await git(bench.repository, ["commit", "--quiet", "-m", "Notes"]);
  const before = await git(bench.repository, ["status", "--porcelain"]);
  const orders = join(bench.folder, "orders.json");
  const ended = await bench.run("devloop-dev-only", {
    ...own("obey", orders),
    allowedPaths: ["src"],
    maxIterations: 20,
  });
  const found = JSON.parse(await readFile(orders, "utf8")) as unknown[];
  const record = await readFile(join(bench.folder, "home", "workspaces", ended.id, "dev", "actions.jsonl"), "utf8");
  const results = record
    .trim()
    .split("\n")
    .flatMap((line) => (JSON.parse(line).results ?? []) as { tool: string; status: string }[]);
  const count = (status: string) => results.filter((result) => result.status === status).length;
  expect({ found: found.length, state: ended.end.state }).toEqual({ found: 100, state: "completed" });
  expect({ refused: count("security_error"), invalid: count("validation_error") }).toEqual({
    refused: 90,
    invalid: 10,
  });
  expect(await readdir(away)).toEqual(["canary.txt"]);
  expect(record).not.toContain('"value":"canary"');
  expect((await readdir(bench.folder)).sort()).toEqual(["away", "home", "orders.json", "repository"]);
  expect(await git(bench.repository, ["status", "--porcelain"])).toBe(before);
  expect(await readdir(join(bench.repository, ".git", "hooks"))).not.toContain("pre-commit");
  expect(ended.jobs.map((job) => job.id)).toEqual(["workspace", "dev", "cleanup"]);
});

test("an engine killed in mid-conversation asks again only what was not answered", async () => {
  const folder = await mkdtemp(join(tmpdir(), "devloop-kill-"));
  try {
    const repository = await makeRepository(join(folder, "repository"));
    const calls = join(folder, "calls.txt");
    const pid = join(folder, "pid.txt");
    const engine = fileURLToPath(new URL("engine.child.ts", import.meta.url));
    const params = JSON.stringify({
      originalPrompt: "Write parts",
      workspacePath: repository,
      ...own("count", calls, pid),
    });
    const deaths: (string | null)[] = [];
    for (let life = 0; life < 3; life++) {
      const child = spawn(process.execPath, ["--conditions=source", engine, join(folder, "home"), pid, params], {
        stdio: "ignore",
      });
      deaths.push(await new Promise((done) => child.once("exit", (_, signal) => done(signal))));
    }
    expect(deaths).toEqual(["SIGKILL", "SIGKILL", null]);
    const made = (await readFile(calls, "utf8")).trim().split("\n").map(Number);
    // Calls 3 and 7 were under way when the engine died; their iterations are asked once more.
    expect(made).toEqual([1, 2, 3, 3, 4, 5, 6, 6, 7, 8, 9, 10, 11, 12]);
    await using tenuto = await openTenuto({ home: join(folder, "home"), pipelines: devloopPipelines(), work: false });
    const run = await tenuto.client.attach("latest");
    const ended = await endedRun(tenuto, run.id, await run.wait({ timeoutMs: 1_000 }));
    expect(ended.end.state).toBe("completed");
    expect(ended.output("dev").files).toHaveLength(11);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});
