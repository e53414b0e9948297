/** Conversations end to end: an engine, a ledger, a model server that speaks both wire formats. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { definePipeline } from "tenuto";
import { afterEach, describe, expect, it } from "vitest";
import { z } from "zod";
import type { Script } from "./fixtures/model-server.ts";
import { agentOn, type LlmWorld, openLlmWorld, turns } from "./fixtures/world.ts";

let world: LlmWorld;
const open = async (script: Script) => {
  world = await openLlmWorld(script);
  return world;
};
afterEach(() => world.close());

describe.each(["openai", "anthropic"] as const)("over the wire format of %s", (wire) => {
  it("reads, writes and edits files of its workspace, and answers", async () => {
    const { server, run } = await open(
      turns(
        { say: "I begin.", calls: [{ name: "create_file", args: { path: "src/a.txt", content: "one two" } }] },
        {
          calls: [
            { name: "edit_file", args: { path: "src/a.txt", old: "two", new: "three" } },
            { name: "read_file", args: { path: "src/a.txt" } },
          ],
        },
        { say: "Finished." },
      ),
    );
    const outcome = await run(agentOn(server, { tools: ["files"] }, wire));
    expect(outcome.error).toBeNull();
    expect(outcome).toMatchObject({ state: "completed", output: "Finished." });
    expect(readFileSync(join(outcome.workspace, "src/a.txt"), "utf8")).toBe("one three");
    expect(server.asked).toHaveLength(3);
    expect(server.asked[0]).toMatchObject({ wire, model: "scripted", task: "do it" });
    expect(server.asked[0]?.system).toContain("Do the work.");
    expect(server.asked[0]?.tools).toContain("read_file");
    expect(server.asked[2]?.results[0]).toContain("edited src/a.txt (1 place)");
    expect(server.asked[2]?.results[1]).toMatch(/^<data-\w+>\none three\n<\/data-\w+>$/);
    const transcript = await outcome.transcript();
    expect(transcript).toMatchObject({ agent: "llm/worker", result: "Finished.", error: null });
    expect(transcript.usage).toMatchObject({ calls: 3, inputTokens: 300, outputTokens: 30 });
  });

  it("gives a result that matches the schema; a mismatch is told to the model", async () => {
    const { server, run } = await open(
      turns(
        { calls: [{ name: "finish", args: { verdict: "maybe" } }] },
        { calls: [{ name: "finish", args: { verdict: "PASSED", findings: [] } }] },
      ),
    );
    const output = z.object({ verdict: z.enum(["PASSED", "FAILED"]), findings: z.array(z.string()) });
    const outcome = await run(agentOn(server, { output }, wire));
    expect(outcome).toMatchObject({ state: "completed", output: { verdict: "PASSED", findings: [] } });
    expect(server.asked[1]?.results[0]).toMatch(/verdict.*findings/s);
  });
});

it("a result that is no object travels wrapped; JSON as text is taken too", async () => {
  const { server, run } = await open((asked) =>
    asked.task.includes("wrapped")
      ? { calls: [{ name: "finish", args: { result: [1, 2] } }] }
      : { say: "Here:\n```json\n[3]\n```" },
  );
  const output = z.array(z.number());
  expect((await run(agentOn(server, { output }), "wrapped")).output).toEqual([1, 2]);
  expect((await run(agentOn(server, { output }), "as text")).output).toEqual([3]);
});

it("fails when the model was told of its mistake twice, and keeps the transcript", async () => {
  const { server, run } = await open((asked) => ({ calls: [{ name: "finish", args: { n: `no ${asked.turn}` } }] }));
  const outcome = await run(agentOn(server, { output: z.object({ n: z.number() }) }));
  expect(outcome.error).toMatchObject({ code: "contract_violation", category: "permanent" });
  expect(server.asked).toHaveLength(3);
  expect(await outcome.transcript()).toMatchObject({ error: { code: "contract_violation" }, result: null });
});

it("waits as long as Retry-After says, and tries 429, 5xx, garbage and cut answers again", async () => {
  let asked = 0;
  const faults = [
    { status: 429, headers: { "retry-after": "1" } },
    { status: 503 },
    { raw: '{"choices": [{' },
    { cutAfter: 40, of: { say: "never" } },
  ];
  const { server, run } = await open(() => faults[asked++] ?? { say: "at last" });
  const since = performance.now();
  const outcome = await run(agentOn(server, { retry: { maxRetries: 4, baseSeconds: 0.01, factor: 1 } }));
  expect(outcome).toMatchObject({ state: "completed", output: "at last" });
  expect(performance.now() - since).toBeGreaterThan(950);
  expect(server.asked).toHaveLength(5);
  const usage = await world.tenuto.engine.parts.ledger.runUsage(outcome.runSeq);
  // Two were refused by the provider; of two nobody knows what they cost.
  expect(usage).toMatchObject({ calls: 5, lostCalls: 2, openCalls: 0, openTokens: 0 });
});

it("a refused key halts the run and says which variable held it", async () => {
  process.env["LLM_TEST_KEY"] = "sk-not-a-real-key";
  try {
    const { server, run } = await open(() => ({ status: 401, body: { error: { message: "bad sk-not-a-real-key" } } }));
    const outcome = await run(agentOn(server, { model: { keyEnv: "LLM_TEST_KEY" } }));
    expect(outcome.error).toMatchObject({ category: "critical", code: "model_failed" });
    expect(outcome.error?.hint).toContain("LLM_TEST_KEY");
    expect(JSON.stringify(outcome.error)).not.toContain("sk-not-a-real-key");
    expect(server.asked[0]?.key).toBe("Bearer sk-not-a-real-key");
  } finally {
    delete process.env["LLM_TEST_KEY"];
  }
});

it("without a key nothing is sent and the variable is named", async () => {
  const { server, run } = await open(turns({ say: "never" }));
  const outcome = await run(agentOn(server, { model: { keyEnv: "LLM_TEST_MISSING" } }));
  expect(outcome.error).toMatchObject({ code: "missing_prerequisites", category: "critical" });
  expect(outcome.error?.message).toContain("LLM_TEST_MISSING");
  expect(server.asked).toHaveLength(0);
});

it("ends a model that goes round in circles before the fourth time, and a retry begins anew", async () => {
  let stuck = true;
  const { server, run, tenuto } = await open((asked) =>
    stuck ? { calls: [{ name: "todo", args: { items: [] } }] } : { say: `fresh ${asked.turn}` },
  );
  const outcome = await run(agentOn(server, { tools: ["todo"] }));
  expect(outcome.error).toMatchObject({ code: "stuck", details: { times: 4 } });
  expect(outcome.error?.message).toContain("todo");
  expect(server.asked).toHaveLength(4);
  stuck = false;
  const run0 = (await tenuto.engine.parts.ledger.run(outcome.runSeq))!;
  await tenuto.client.retry(run0.id);
  const end = await (await tenuto.client.attach(run0.id)).wait({ timeoutMs: 20_000 });
  expect(end.state).toBe("completed");
  expect(server.asked.at(-1)).toMatchObject({ turn: 1 });
  expect(server.asked.at(-1)?.task).toContain('"code": "stuck"');
});

it("work that a gate refuses is done anew, and the model is told why", async () => {
  const { server, run } = await open((asked) => ({
    calls: [{ name: "finish", args: { verdict: asked.task.includes("not accepted") ? "PASSED" : "FAILED" } }],
  }));
  const output = z.object({ verdict: z.enum(["PASSED", "FAILED"]) });
  const job = { gate: { verdict: "{{ output.verdict }}", onFailed: "retry" } };
  const outcome = await run(agentOn(server, { output }), "judge", { job });
  expect(outcome).toMatchObject({ state: "completed", output: { verdict: "PASSED" } });
  expect(server.asked).toHaveLength(2);
  expect(server.asked[1]?.task).toContain("gate_failed");
});

it("a declared job is run again by a model, which tells it the reason", async () => {
  const { server, tenuto } = await open((asked) =>
    asked.task.startsWith("test")
      ? asked.turn === 1
        ? { calls: [{ name: "spawn_job", args: { job: "dev", input: "mend it", reason: "the sum is wrong" } }] }
        : { say: `tested: ${asked.results.join()}` }
      : { say: asked.task.includes("the sum is wrong") ? "mended" : "developed" },
  );
  const dev = agentOn(server, { name: "dev/dev" });
  const test = agentOn(server, { name: "dev/test", tools: ["spawn_job"] });
  const pipeline = definePipeline({
    name: "loop",
    stages: [
      { name: "dev", jobs: [{ id: "dev", agent: dev, input: "make it" }] },
      { name: "test", jobs: [{ id: "test", agent: test, input: "test it", spawns: { jobs: ["dev"] } }] },
    ],
  });
  const run = await tenuto.start(pipeline, {});
  expect(await run.wait({ timeoutMs: 20_000 })).toMatchObject({ state: "completed" });
  const record = await tenuto.client.job(run.id, "test");
  expect(record.output).toContain("mended");
  const jobs = await tenuto.client.jobs(run.id);
  expect(jobs.map(({ id, agent }) => [id.split("/")[0], agent])).toEqual([
    ["dev", "dev/dev"],
    ["test", "dev/test"],
    ["test", "dev/dev"],
  ]);
});

it("tools outside of the list, broken arguments and wrong ones are refused to the model", async () => {
  const { server, run } = await open(
    turns(
      {
        calls: [
          { name: "write_file", args: { path: "x", content: "y" } },
          { name: "read_file", args: {}, raw: '{"path": ' },
          { name: "read_file", args: { path: "a", mode: "rw" } },
          { name: "read_file", args: { path: 7 } },
        ],
      },
      { say: "understood" },
    ),
  );
  const outcome = await run(agentOn(server, { tools: ["read_file"] }));
  expect(outcome.state).toBe("completed");
  const [unknown, broken, extra, wrong] = server.asked[1]!.results;
  expect(unknown).toContain("there is no tool write_file");
  expect(broken).toContain("not valid JSON");
  expect(extra).toContain('no argument "mode"');
  expect(wrong).toContain('"path" must be a text');
  expect(existsSync(join(outcome.workspace, "x"))).toBe(false);
});
