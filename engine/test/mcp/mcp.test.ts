/** `tenuto mcp` as a process, spoken to by the real client over standard input and output. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Client } from "@modelcontextprotocol/client";
import { describe, expect, it, onTestFinished } from "vitest";
import { optional } from "../../src/executors/llm/packages.ts";
import { definePipeline, type Json, type Tenuto } from "../../src/index.ts";
import { asked, place } from "../people/open.ts";

const LAUNCHER = fileURLToPath(new URL("../../bin/tenuto.mjs", import.meta.url));
const JOB_CLIENT = fileURLToPath(new URL("./apps/job-client.ts", import.meta.url));
// Loaded as the engine loads it: one of its packages has source files under the condition `source`.
const sdk = await optional("@modelcontextprotocol/client", () => import("@modelcontextprotocol/client"));
const stdio = await optional("@modelcontextprotocol/client", () => import("@modelcontextprotocol/client/stdio"));
const TIMEOUT = { timeout: 60_000 };

const PIPELINES = `
import { defineAgent, definePipeline } from ${JSON.stringify(new URL("../../src/index.ts", import.meta.url).href)};
const work = defineAgent({
  name: "test/work",
  run: async (input, ctx) => {
    ctx.log.info("working on " + input);
    await ctx.artifact("report.txt", "report about " + input);
    await ctx.artifact("bytes.bin", new Uint8Array([0, 1, 2, 255]));
    if (input === "bad") throw Object.assign(new Error("it is bad"), { code: "BAD" });
    return { made: input };
  },
});
export const demo = definePipeline({
  name: "demo",
  params: { type: "object", properties: { what: { type: "string", description: "What to make." } }, required: ["what"], additionalProperties: false },
  jobs: [
    { id: "work", agent: work, input: "{{ params.what }}" },
    { id: "extra", agent: work, needs: ["work"], input: "more" },
  ],
});
export const asks = definePipeline({
  name: "asks",
  jobs: [{ id: "ship", agent: work, input: "tea", approval: { title: "Ship tea?", show: { to: "all" } } }],
});
`;

interface Spoken {
  client: Client;
  folder: string;
  call(name: string, args?: Record<string, unknown>): Promise<any>;
}

async function open(...argv: string[]): Promise<Spoken> {
  const { home } = place([]);
  writeFileSync(join(home, "pipelines.mts"), PIPELINES);
  return await speak(home, "mcp", "--pipeline", "pipelines.mts", ...argv);
}

async function speak(folder: string, ...argv: string[]): Promise<Spoken> {
  const client = new sdk.Client({ name: "test-client", version: "1" });
  const transport = new stdio.StdioClientTransport({
    command: process.execPath,
    args: [LAUNCHER, "--home", folder, ...argv],
    cwd: folder,
    env: { ...(process.env as Record<string, string>), TENUTO_SOURCE: "1" },
    stderr: "pipe",
  });
  await client.connect(transport);
  onTestFinished(() => client.close());
  const call = async (name: string, args: Record<string, unknown> = {}) => {
    const { structuredContent, isError } = await client.callTool({ name, arguments: args });
    return isError === true ? { isError, ...(structuredContent as object) } : structuredContent;
  };
  return { client, folder, call };
}

describe("a client of the ledger", () => {
  it("starts a run, watches it, reads what came of it", TIMEOUT, async () => {
    const { client, call } = await open("--work");
    expect(client.getServerVersion()?.name).toBe("tenuto");
    const { tools } = await client.listTools();
    expect(tools.map((tool) => tool.name).sort()).toEqual([
      "cancel_run",
      "decide_approval",
      "list_approvals",
      "list_artifacts",
      "list_pipelines",
      "list_runs",
      "read_artifact",
      "read_logs",
      "retry_run",
      "show_run",
      "start_run",
      "watch_run",
    ]);
    const { pipelines } = await call("list_pipelines");
    expect(pipelines.map((one: { name: string }) => one.name)).toEqual(["asks", "demo"]);
    expect(pipelines[1].params.properties.what.description).toBe("What to make.");
    const started = await call("start_run", { pipeline: "demo", params: { what: "tea" }, idempotencyKey: "k" });
    expect(started).toMatchObject({ created: true, note: null });
    const same = await call("start_run", { pipeline: "demo", params: { what: "tea" }, idempotencyKey: "k" });
    expect([same.created, same.run.id]).toEqual([false, started.run.id]);
    const seen = await call("watch_run", { run: started.run.id, seconds: 30 });
    expect(seen).toMatchObject({ because: "ended", run: { state: "completed" } });
    expect(seen.jobs[0]).toMatchObject({ id: "work", state: "completed", output: { made: "tea" } });
    const logs = await call("read_logs", { run: "latest", job: "work" });
    expect(logs.lines.map((line: { message: string }) => line.message)).toContain("working on tea");
    const { artifacts } = await call("list_artifacts", { run: started.run.id });
    expect(artifacts.map((one: { name: string }) => one.name).sort()).toEqual([
      "bytes.bin",
      "bytes.bin",
      "report.txt",
      "report.txt",
    ]);
    const first = await call("read_artifact", { run: started.run.id, artifact: artifacts[0].sha256, limit: 6 });
    expect(first).toMatchObject({ text: "report", next: 6, bytes: 16 });
    const rest = await call("read_artifact", { run: started.run.id, artifact: artifacts[0].sha256, offset: 6 });
    expect(rest).toMatchObject({ text: " about tea", next: null });
    expect(await call("read_artifact", { run: started.run.id, artifact: "bytes.bin" })).toMatchObject({
      base64: "AAEC/w==",
    });
    const short = await call("start_run", { pipeline: "demo", params: { what: "tea" }, excludeJobs: ["extra"] });
    expect((await call("watch_run", { run: short.run.id })).run.jobs.total).toBe(1);
  });

  it("retries what failed, cancels, lists", TIMEOUT, async () => {
    const { call } = await open("--work");
    const { run } = await call("start_run", { pipeline: "demo", params: { what: "bad" } });
    const failed = await call("watch_run", { run: run.id });
    expect(failed.jobs[0]).toMatchObject({ state: "failed", error: { code: "BAD", message: "it is bad" } });
    expect((await call("retry_run", { run: run.id })).run.state).toBe("running");
    expect((await call("watch_run", { run: run.id })).run.state).toBe("failed");
    const asking = await call("start_run", { pipeline: "asks" });
    expect((await call("watch_run", { run: asking.run.id })).because).toBe("approval");
    await call("cancel_run", { run: asking.run.id, reason: "no longer wanted" });
    expect((await call("watch_run", { run: asking.run.id })).run.state).toBe("cancelled");
    const { runs } = await call("list_runs", { states: ["cancelled"] });
    expect(runs.map((one: { id: string }) => one.id)).toEqual([asking.run.id]);
  });

  it("decides on an approval only by the hash of what was shown", TIMEOUT, async () => {
    const { call } = await open("--work");
    const { run } = await call("start_run", { pipeline: "asks" });
    const waiting = await call("watch_run", { run: run.id });
    const [approval] = waiting.approvals;
    expect(approval).toMatchObject({ title: "Ship tea?", shown: { to: "all" }, state: "open" });
    const decide = (hash: string) =>
      call("decide_approval", { approval: approval.id, approve: true, hash, reason: "fine" });
    expect(await decide("0".repeat(64))).toMatchObject({ isError: true, error: { code: "approval_changed" } });
    const decided = await decide(approval.hash);
    expect(decided.approval).toMatchObject({ state: "approved", decidedBy: "mcp:test-client", reason: "fine" });
    expect(await decide(approval.hash)).toMatchObject({ isError: true, error: { code: "approval_decided" } });
    expect((await call("watch_run", { run: run.id })).run.state).toBe("completed");
  });

  it("tells of progress on the way, and ends a watch when its time is over", TIMEOUT, async () => {
    const { client, call } = await open();
    const { run, note } = await call("start_run", { pipeline: "demo", params: { what: "tea" } });
    expect(note).toContain("tenuto worker");
    const told: unknown[] = [];
    const { structuredContent } = await client.callTool(
      { name: "watch_run", arguments: { run: run.id, seconds: 0.5 } },
      { onprogress: (progress: unknown) => told.push(progress) },
    );
    expect(structuredContent).toMatchObject({ because: "time", run: { state: "running" } });
    expect(told).toMatchObject([{ progress: 0, total: 2, message: "running: 0 of 2 jobs" }]);
  });

  it("wrong arguments and errors are answers with what to do", TIMEOUT, async () => {
    const { call, client } = await open();
    expect(await call("start_run", { pipeline: "dmeo" })).toMatchObject({
      isError: true,
      error: { code: "unknown_pipeline", hint: expect.stringContaining("demo") },
    });
    expect(await call("start_run", { pipeline: "demo", params: { waht: "x" } })).toMatchObject({
      isError: true,
      error: { code: "invalid_params" },
    });
    expect(await call("show_run", { run: "nothing" })).toMatchObject({ isError: true, error: { code: "not_found" } });
    const wrong = await client
      .callTool({ name: "list_runs", arguments: { limit: 5_000, colour: "red" } })
      .catch((error: Error) => ({
        isError: true,
        content: [{ text: error.message }],
      }));
    expect(wrong.isError).toBe(true);
    expect(JSON.stringify(wrong.content)).toContain("limit");
    expect((await call("list_runs")).runs).toEqual([]);
  });

  it("read-only, what changes something is not there", TIMEOUT, async () => {
    const { client } = await open("--read-only");
    const { tools } = await client.listTools();
    expect(tools.every((tool) => tool.annotations?.readOnlyHint === true)).toBe(true);
    expect(tools.map((tool) => tool.name)).not.toContain("start_run");
    expect(tools.map((tool) => tool.name)).toContain("watch_run");
  });
});

describe("a program that is a job", () => {
  const flow = (spawns: { jobs: string[] }) =>
    definePipeline({
      name: "flow",
      stages: [
        {
          name: "dev",
          jobs: [
            {
              id: "dev",
              command: [process.execPath, "-e", `require("fs").writeFileSync(process.env.TENUTO_OUTPUT, '"fixed"')`],
            },
          ],
        },
        {
          name: "test",
          jobs: [
            {
              id: "test",
              command: {
                argv: [process.execPath, "--conditions=source", JOB_CLIENT, LAUNCHER],
                env: { NODE_ENV: "test" },
                passEnv: ["NODE_PATH"],
              },
              timeoutSeconds: 50,
              spawns,
            },
          ],
        },
      ],
    });

  const output = async (tenuto: Tenuto): Promise<{ [key: string]: Json }> => {
    const end = await (await tenuto.start("flow")).wait();
    expect(end).toMatchObject({ state: "completed", error: null });
    return end.output as { [key: string]: Json };
  };

  it("spawns within its rights and can do nothing to the ledger", TIMEOUT, async () => {
    const tenuto = await place([flow({ jobs: ["dev"] })]).open();
    const { tools, first, again, refused, saved, unknown } = await output(tenuto);
    expect(tools).toEqual(["spawn_job", "save_artifact", "write_log", "report_progress"]);
    expect(first).toMatchObject({ key: "fix", state: "completed", output: "fixed" });
    expect(again).toEqual(first);
    expect(refused).toMatchObject({ isError: true, error: { message: expect.stringContaining("may not") } });
    expect(saved).toMatchObject({ isError: false, artifact: { bytes: 12 } });
    expect(JSON.stringify(unknown)).toMatch(/cancel_run.*not found|not found.*cancel_run/i);
    const [run] = await tenuto.client.runs();
    const jobs = await tenuto.client.jobs(run!.id);
    expect(jobs.map((job) => [job.id, job.state])).toEqual([
      ["dev", "completed"],
      ["test", "completed"],
      ["test/fix", "completed"],
    ]);
  });
});

it("an open approval of another process is seen", TIMEOUT, async () => {
  const home = place([
    definePipeline({ name: "asks", jobs: [{ id: "a", command: ["true"], approval: { title: "Go?" } }] }),
  ]);
  const tenuto = await home.open();
  const run = await tenuto.start("asks");
  await asked(tenuto, run.id);
  const { call } = await speak(home.home, "mcp");
  const { approvals } = await call("list_approvals");
  expect(approvals).toMatchObject([{ run: run.id, title: "Go?" }]);
  await call("decide_approval", { approval: approvals[0].id, approve: true, hash: approvals[0].hash });
  expect((await run.wait()).state).toBe("completed");
});
