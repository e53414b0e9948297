/** What a model may do and what not, end to end: spawning, approvals, budgets over several jobs, secrets, artifacts. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { defineAgent, definePipeline, defineTool } from "tenuto";
import { afterEach, expect, it } from "vitest";
import { z } from "zod";
import type { Asked, Script } from "./fixtures/model-server.ts";
import { agentOn, FAST, type LlmWorld, openLlmWorld, turns } from "./fixtures/world.ts";

let world: LlmWorld;
const open = async (script: Script) => {
  world = await openLlmWorld(script);
  return world;
};
afterEach(() => world.close());

const double = defineAgent({ name: "math/double", run: (input: { n: number }) => ({ doubled: input.n * 2 }) });
const failing = defineAgent({
  name: "math/failing",
  run: () => {
    throw new Error("no luck");
  },
});

const spawned = (agent: string, input: unknown = null) => ({
  name: "spawn_job",
  args: { agent, input, reason: "a test" },
});

it("spawns allowed agents, together, and sees how each ended", async () => {
  const { server, run, tenuto } = await open(
    turns(
      { calls: [spawned("math/double", { n: 21 }), spawned("math/failing"), spawned("math/secret")] },
      { say: "done" },
    ),
  );
  const worker = agentOn(server, { tools: ["spawn_job"], spawns: { agents: ["math/double", "math/failing"] } });
  const outcome = await run(worker, "go", { agents: [double, failing] });
  expect(outcome.state).toBe("completed");
  const [doubled, failed, refused] = server.asked[1]!.results;
  expect(doubled).toContain('"doubled": 42');
  expect(failed).toContain("no luck");
  expect(refused).toBe("this job may not spawn math/secret; it may spawn: math/double, math/failing");
  const jobs = await tenuto.engine.parts.ledger.jobs(outcome.runSeq);
  expect(jobs.map(({ agent, state }) => [agent, state])).toEqual([
    ["llm/worker", "completed"],
    ["math/double", "completed"],
    ["math/failing", "failed"],
  ]);
});

it("the job's own spec narrows what its agent declares", async () => {
  const { server, run } = await open(turns({ calls: [spawned("math/failing")] }, { say: "done" }));
  const worker = agentOn(server, { tools: ["spawn_job"], spawns: { agents: ["math/double", "math/failing"] } });
  const job = { spawns: { agents: ["math/double"] } };
  await run(worker, "go", { agents: [double, failing], job });
  expect(server.asked[1]?.results[0]).toContain("may not spawn math/failing");
});

it("children and depth have caps; the model is told", async () => {
  const { server, run, tenuto } = await open((asked) => {
    if (asked.turn > 2) return { say: "done" };
    return asked.turn === 1
      ? { calls: Array.from({ length: 4 }, (_, n) => spawned("llm/worker", { prompt: `again ${asked.task} ${n}` })) }
      : { say: asked.results.join("\n") };
  });
  const spawns = { agents: ["llm/worker"], children: 2, depth: 2 };
  const outcome = await run(agentOn(server, { tools: ["spawn_job"], spawns }));
  expect(outcome.state).toBe("completed");
  expect(outcome.output).toContain("has spawned 2 jobs already");
  const jobs = await tenuto.engine.parts.ledger.jobs(outcome.runSeq);
  // 1 + 2 + 4: at depth 2 nothing more is spawned.
  expect(jobs).toHaveLength(7);
  expect(Math.max(...jobs.map(({ depth }) => depth))).toBe(2);
});

it("a child has at most the budget and the hosts of its parent", async () => {
  const script = (asked: Asked) =>
    asked.task.startsWith("child")
      ? { calls: [{ name: "http_request", args: { url: "http://127.0.0.1:9/" } }] }
      : asked.turn === 1
        ? { calls: [spawned("llm/child", "child")] }
        : { say: asked.results.join("\n") };
  const { server, run } = await open(script);
  const http = { hosts: ["127.0.0.1:9"], privateAddresses: true };
  const child = agentOn(server, { name: "llm/child", tools: ["http_request"], http, budget: { calls: 100 } });
  const parent = agentOn(server, { tools: ["spawn_job"], spawns: { agents: ["llm/child"] }, budget: { calls: 3 } });
  const outcome = await run(parent, "go", { agents: [child] });
  const asked = server.asked.filter(({ task }) => task.startsWith("child"));
  expect(asked[0]?.tools).toEqual([]);
  expect(asked[1]?.results[0]).toContain("there is no tool http_request");
  expect(asked).toHaveLength(2);
  expect(outcome.error).toMatchObject({ code: "budget_exhausted", details: { budget: "calls", limit: 3 } });
});

it("a call that needs approval waits for a person, who sees its arguments", async () => {
  const sent: string[] = [];
  const mail = defineTool({
    name: "send_mail",
    description: "Sends a mail.",
    input: z.object({ to: z.string(), text: z.string() }),
    run: ({ to }) => {
      sent.push(to);
      return "sent";
    },
  });
  const call = (to: string) => ({ calls: [{ name: "send_mail", args: { to, text: "hi" } }] });
  const { server, tenuto } = await open(turns(call("ann"), call("bob"), { say: "done" }));
  const worker = agentOn(server, { tools: [mail], approve: ["send_mail"] });
  const pipeline = definePipeline({ name: "mailing", jobs: [{ id: "work", agent: worker, input: "go" }] });
  const run = await tenuto.start(pipeline, {});
  const { ledger } = tenuto.engine.parts;
  const asked = async (key: string) => {
    for (;;) {
      const committed = new Promise<void>((resolve) => {
        const off = ledger.onCommit(() => {
          off();
          resolve();
        });
      });
      const row = (await ledger.approvals({ run: run.seq, state: "open" })).find((each) => each.key === key);
      if (row !== undefined) return row;
      await committed;
    }
  };
  const first = await asked("approve/1/0");
  expect(JSON.parse(first.shown)).toEqual({ tool: "send_mail", arguments: { to: "ann", text: "hi" } });
  expect(sent).toEqual([]);
  await tenuto.client.decide(first.id, { approve: true, by: "eve" });
  const second = await asked("approve/2/0");
  await tenuto.client.decide(second.id, { approve: false, by: "eve", reason: "not him" });
  expect(await run.wait({ timeoutMs: 20_000 })).toMatchObject({ state: "completed" });
  expect(sent).toEqual(["ann"]);
  expect(server.asked[2]?.results[0]).toContain("not him");
});

it("two jobs at once can't both take the rest of the run's budget", async () => {
  const { server, tenuto } = await open((asked) => ({
    calls: [{ name: "todo", args: { items: [{ text: `${asked.task} ${asked.turn}`, state: "open" }] } }],
    usage: { input: 100, output: 10 },
  }));
  const worker = agentOn(server, { tools: ["todo"], budget: { calls: 25 }, maxTurns: 1_000 });
  const jobs = Array.from({ length: 6 }, (_, n) => ({
    id: `j${n}`,
    agent: worker,
    input: `job ${n}`,
    allowFailure: true,
  }));
  const run = await tenuto.start(definePipeline({ name: "many", jobs }), {});
  await run.wait({ timeoutMs: 30_000 });
  expect(server.asked).toHaveLength(25);
  const rows = await tenuto.engine.parts.ledger.jobs(run.seq);
  for (const row of rows) expect(JSON.parse(row.error ?? "{}")).toMatchObject({ code: "budget_exhausted" });
  const { runUsage, usage } = tenuto.engine.parts.ledger;
  const ledger = tenuto.engine.parts.ledger;
  expect(await runUsage.call(ledger, run.seq)).toMatchObject({ calls: 25, inputTokens: 2_500, openCalls: 0 });
  expect(await usage.call(ledger, run.seq)).toHaveLength(25);
});

it("a pipeline bounds what all its models use together; the smaller limit holds", async () => {
  const { server, tenuto } = await open((asked) => ({
    calls: [{ name: "todo", args: { items: [{ text: `${asked.task} ${asked.turn}`, state: "open" }] } }],
  }));
  const worker = agentOn(server, { tools: ["todo"], budget: { calls: 100 } });
  const jobs = ["a", "b"].map((id) => ({ id, agent: worker, input: id, allowFailure: true }));
  const run = await tenuto.start(definePipeline({ name: "bounded", modelBudget: { calls: 7 }, jobs }), {});
  await run.wait({ timeoutMs: 30_000 });
  expect(server.asked).toHaveLength(7);
  expect(() => definePipeline({ name: "x", modelBudget: { call: 7 } as never, jobs })).toThrow("modelBudget");
});

it("a budget of cost needs a price, and ends the run's calls when it is used up", async () => {
  const { server, run, tenuto } = await open((asked) => ({
    calls: [{ name: "todo", args: { items: [{ text: String(asked.turn), state: "open" }] } }],
    usage: { input: 1_000, output: 100 },
  }));
  const more = { tools: ["todo"], budget: { cost: 0.02 } };
  expect(() => agentOn(server, more)).toThrow("needs a price");
  const price = { input: 3, output: 15 };
  const outcome = await run(agentOn(server, { ...more, model: { price, maxOutputTokens: 200 } }));
  expect(outcome.error).toMatchObject({ code: "budget_exhausted", details: { budget: "cost", limit: 0.02 } });
  const usage = await tenuto.engine.parts.ledger.runUsage(outcome.runSeq);
  expect(usage!.cost).toBeLessThanOrEqual(20_000);
  expect(usage!.cost).toBe(server.asked.length * 4_500);
  // Once there is more money, a retry goes on where the conversation was: no call is made twice.
  expect(server.asked.map(({ turn }) => turn)).toEqual([1, 2, 3, 4].slice(0, server.asked.length));
});

it("secrets are masked in what the model sees, in the transcript and in the logs", async () => {
  process.env["LLM_TEST_SECRET"] = "sk-canary-0123456789";
  try {
    const { server, run } = await open(
      turns(
        { calls: [{ name: "prepare", args: {} }] },
        { calls: [{ name: "read_file", args: { path: "leak.txt" } }] },
        { say: "I saw sk-canary-0123456789" },
      ),
    );
    const worker = agentOn(server, { tools: ["read_file"], model: { keyEnv: "LLM_TEST_SECRET" } });
    const prepare = defineTool({
      name: "prepare",
      description: "Writes the file.",
      input: z.object({}),
      run: (_input, { workspace }) => writeFileSync(join(workspace, "leak.txt"), "key=sk-canary-0123456789"),
    });
    const more = { ...worker, llm: { ...worker.llm, custom: [prepare] } };
    const outcome = await run(more);
    expect(outcome.output).toBe("I saw [LLM_TEST_SECRET]");
    const bodies = server.asked.map(({ body }) => JSON.stringify(body)).join();
    expect(bodies).toContain("key=[LLM_TEST_SECRET]");
    expect(bodies).not.toContain("sk-canary");
    expect(JSON.stringify(await outcome.transcript())).not.toContain("sk-canary");
    const rows = await world.tenuto.engine.parts.ledger.steps(outcome.jobSeq);
    expect(JSON.stringify(rows)).not.toContain("sk-canary");
  } finally {
    delete process.env["LLM_TEST_SECRET"];
  }
});

it("reads artifacts of the jobs before it and saves its own; what is not offered can't be named", async () => {
  const { server, tenuto } = await open(
    turns(
      { calls: [{ name: "list_artifacts", args: {} }] },
      {
        calls: [
          { name: "read_artifact", args: { name: "plan.md" } },
          { name: "read_artifact", args: { name: "hidden.md" } },
          { name: "save_artifact", args: { name: "report.md", content: "# Report", type: "verification_report" } },
        ],
      },
      { say: "done" },
    ),
  );
  const write = (name: string) =>
    defineAgent({
      name: `plan/${name}`,
      run: async (_input: unknown, ctx: { artifact(name: string, text: string): Promise<unknown> }) => {
        await ctx.artifact(`${name}.md`, `text of ${name}`);
      },
    });
  const [plan, hidden] = [write("plan"), write("hidden")];
  const worker = agentOn(server, { tools: ["artifacts"] });
  const pipeline = definePipeline({
    name: "artifacts",
    jobs: [
      { id: "plan", agent: plan },
      { id: "hidden", agent: hidden },
      { id: "work", agent: worker, needs: ["plan"], input: "go" },
    ],
  });
  const run = await tenuto.start(pipeline, {});
  expect(await run.wait({ timeoutMs: 20_000 })).toMatchObject({ state: "completed" });
  expect(server.asked[1]?.results[0]).toMatch(/plan\.md {2}file {2}\d+ bytes {2}from plan/);
  expect(server.asked[1]?.results[0]).not.toContain("hidden.md");
  const [read, refused, saved] = server.asked[2]!.results;
  expect(read).toContain("text of plan");
  expect(refused).toBe("no artifact hidden.md is offered to this job");
  expect(saved).toContain("saved report.md (8 bytes)");
  const rows = await tenuto.engine.parts.ledger.artifacts(run.seq);
  const report = rows.find(({ name }) => name === "report.md");
  expect(report).toMatchObject({ type: "verification_report" });
  expect(readFileSync(await tenuto.store.localPath(report!.sha256), "utf8")).toBe("# Report");
});

it("works as the items of a fan-out as well, with steps and usage of each", async () => {
  const { server, tenuto } = await open(
    turns({ calls: [{ name: "write_file", args: { path: "note.txt", content: "x" } }] }, (asked) => ({
      say: asked.task,
    })),
  );
  const worker = agentOn(server, { tools: ["files"], ...FAST });
  const each = { id: "each", agent: worker, input: "{{ item }}", forEach: { source: ["a", "b", "c"], concurrency: 3 } };
  const run = await tenuto.start(definePipeline({ name: "items", jobs: [each] }), {});
  expect(await run.wait({ timeoutMs: 20_000 })).toMatchObject({ state: "completed" });
  const { ledger } = tenuto.engine.parts;
  expect(await ledger.runUsage(run.seq)).toMatchObject({ calls: 6, openCalls: 0, inputTokens: 600 });
  const [job] = await ledger.jobs(run.seq);
  const items = await ledger.items(job!.seq, { limit: 10 });
  expect(items.map(({ result }) => JSON.parse(result ?? ""))).toEqual(["a", "b", "c"]);
});

it("R-38: a model that spawns itself, calls a thousand tools at once and never ends, ends at every cap", async () => {
  let calls = 0;
  const tick = defineTool({
    name: "tick",
    description: "Counts.",
    input: z.object({ n: z.number() }),
    run: () => ++calls,
  });
  const { server, tenuto } = await open((asked) => ({
    calls: [
      spawned("llm/worker", { prompt: `${asked.task} ${asked.turn}` }),
      ...Array.from({ length: 1_000 }, (_, n) => ({ name: "tick", args: { n: asked.turn * 1_000 + n } })),
    ],
    usage: { input: 1_000, output: 1_000 },
  }));
  const worker = agentOn(server, {
    tools: ["spawn_job", tick],
    spawns: { agents: ["llm/worker"], children: 2, depth: 2 },
    budget: { tokens: 1_000_000, calls: 40 },
    maxTurns: 1_000,
    maxToolCalls: 100,
    model: { maxOutputTokens: 100 },
  });
  const run = await tenuto.start(
    definePipeline({ name: "runaway", jobs: [{ id: "work", agent: worker, input: "go" }] }),
    {},
  );
  const end = await run.wait({ timeoutMs: 50_000 });
  expect(end.state).toBe("failed");
  const jobs = await tenuto.client.jobs(run.id);
  expect(jobs.length).toBeLessThanOrEqual(7);
  expect(server.asked.length).toBeLessThanOrEqual(40);
  // 31 of the first answer, as many of the second and third: then the cap of each conversation.
  expect(calls).toBeLessThanOrEqual(jobs.length * 100);
  expect(server.asked.some(({ results }) => results.at(-1) === "only 32 calls of one answer are carried out")).toBe(
    true,
  );
  for (const { error } of jobs) expect(["loop_limit", "budget_exhausted"]).toContain(JSON.parse(error ?? "{}").code);
});
