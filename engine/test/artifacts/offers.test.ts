/** Artifacts from job to job: what is registered, what is offered to whom, and that every use is recorded. */
import { chmodSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import type { Tenuto } from "../../src/index.ts";
import { defineAgent, definePipeline } from "../people/forms.ts";
import { asked, place } from "../people/open.ts";

const node = (code: string) => [process.execPath, "-e", `const fs = require("node:fs"), e = process.env;${code}`];
const context = "JSON.parse(fs.readFileSync(e.TENUTO_CONTEXT, 'utf8'))";
const reply = (value: string) => `fs.writeFileSync(e.TENUTO_OUTPUT, JSON.stringify(${value}));`;

async function finished(tenuto: Tenuto, name: string, params: object = {}) {
  const run = await tenuto.start(name, params);
  const end = await run.wait({ timeoutMs: 60_000 });
  const { ledger } = tenuto.engine.parts;
  const jobs = new Map((await ledger.jobs(run.seq)).map((job) => [job.id, job]));
  const output = (id: string) => JSON.parse(jobs.get(id)?.output ?? "null");
  const artifacts = (await ledger.artifactsOfRun(run.seq)).map(({ jobId, name, type }) => `${jobId}/${name} ${type}`);
  const uses = async (id: string) =>
    (await ledger.consumedBy(jobs.get(id)?.seq as number)).map(
      ({ how, record }) => `${how} ${record?.jobId}/${record?.name}`,
    );
  return { run, end, jobs, output, artifacts, uses };
}

it("are collected by strategy, offered along all dependencies, linked, told and recorded", async () => {
  const read = defineAgent({
    name: "test/read",
    run: async (_input, ctx) => {
      const [offered] = await Promise.all([ctx.artifacts(), ctx.artifacts({ job: "dev" }), ctx.artifacts()]);
      const plan = (await ctx.artifacts({ name: "final_output.txt", job: "plan" }))[0] as (typeof offered)[number];
      let text = "";
      for await (const chunk of ctx.readArtifact(plan)) text += Buffer.from(chunk).toString();
      return {
        names: offered.map((entry) => `${entry.job}/${entry.name}`),
        text,
        file: readFileSync(plan.path as string, "utf8"),
      };
    },
  });
  const pipeline = definePipeline({
    name: "flow",
    stages: [
      {
        name: "plan",
        jobs: [
          { id: "plan", command: node("console.log('the plan')"), artifacts: { strategy: "stdout_final" } },
          { id: "quiet", command: node("console.log('mine')"), artifacts: { strategy: "stdout_final", offer: "none" } },
        ],
      },
      {
        name: "dev",
        jobs: [
          {
            id: "dev",
            command: node(
              `const c = ${context}; fs.writeFileSync('made.txt', fs.readFileSync(c.artifacts[0].path)); ${reply("c.artifacts.map(({path, ...rest}) => rest)")}`,
            ),
            artifacts: { strategy: "files" },
          },
          { id: "aside", needs: [], command: node(reply("e.TENUTO_CONTEXT ?? 'nothing'")) },
        ],
      },
      { name: "test", jobs: [{ id: "read", needs: ["dev"], agent: read }] },
    ],
  });
  const tenuto = await place([pipeline]).open();
  const { end, output, artifacts, uses } = await finished(tenuto, "flow");
  expect(end).toMatchObject({ state: "completed", error: null });
  expect(artifacts.toSorted()).toEqual([
    "dev/changes.json file",
    "dev/made.txt file",
    "plan/final_output.txt model_output",
    "quiet/final_output.txt model_output",
  ]);
  expect(output("dev")).toMatchObject([{ job: "plan", name: "final_output.txt", type: "model_output", bytes: 9 }]);
  expect(output("aside")).toBe("nothing");
  expect(output("read")).toEqual({
    names: ["plan/final_output.txt", "dev/made.txt", "dev/changes.json"],
    text: "the plan\n",
    file: "the plan\n",
  });
  expect(await uses("dev")).toEqual(["offered plan/final_output.txt"]);
  expect(await uses("read")).toEqual([
    "offered plan/final_output.txt",
    "offered dev/made.txt",
    "offered dev/changes.json",
  ]);
  expect(await uses("aside")).toEqual([]);
});

it("flow back from children to their parent; a child sees what is above it, not its siblings", async () => {
  const child = defineAgent({
    name: "test/child",
    run: async (input: { n: number }, ctx) => {
      const seen = (await ctx.artifacts()).map((entry) => `${entry.job}/${entry.name}`);
      await ctx.artifact(`fix-${input.n}.txt`, `fixed ${input.n}`);
      return seen;
    },
  });
  const round = node(
    `const c = ${context}; const done = c.children.length; ${reply(
      "done < 2 ? { $spawn: [{ key: 'fix', agent: 'test/child', input: { n: done }, reason: 'gap' }] } : { names: c.artifacts.map((a) => a.job + '/' + a.name), of: c.children.map((k) => k.artifacts.map((a) => a.name)) }",
    )}`,
  );
  const pipeline = definePipeline({
    name: "family",
    agents: [child],
    jobs: [
      { id: "base", command: node("console.log('base')"), artifacts: { strategy: "stdout_final" } },
      {
        id: "test",
        needs: ["base"],
        command: round,
        spawns: { agents: ["test/child"] },
        artifacts: { strategy: "files" },
      },
      { id: "after", needs: ["test"], command: node(reply(`${context}.artifacts.map((a) => a.job + '/' + a.name)`)) },
    ],
  });
  const tenuto = await place([pipeline]).open();
  const { end, jobs, output, uses, artifacts } = await finished(tenuto, "family");
  expect(end).toMatchObject({ state: "completed", error: null });
  const kids = [...jobs.keys()].filter((id) => id.startsWith("test/"));
  expect(kids).toHaveLength(2);
  for (const kid of kids) expect(output(kid)).toEqual(["base/final_output.txt"]);
  const made = kids.map((id, n) => `${id}/fix-${n}.txt`);
  expect(output("test")).toEqual({
    names: ["base/final_output.txt", ...made],
    of: [["fix-0.txt"], ["fix-1.txt"]],
  });
  expect(await uses("test")).toEqual(["offered base/final_output.txt", ...made.map((name) => `offered ${name}`)]);
  expect(output("after")).toEqual(["base/final_output.txt", ...made, "test/changes.json"]);
  // Inputs and the children's workspaces are no changes of the parent.
  expect(artifacts.filter((text) => text.startsWith("test/") && !text.includes("fix"))).toEqual([
    "test/changes.json file",
  ]);
});

it("an attempt that fails registers nothing; what is registered again under its name takes its place", async () => {
  const flaky = defineAgent({
    name: "test/flaky",
    run: async (_input, ctx) => {
      writeFileSync(join(ctx.workspace, "file.txt"), "the same in both attempts");
      await ctx.artifact("note", `attempt ${ctx.attempt}`);
      await ctx.artifact("fixed", "always the same", { type: "test_results" });
      if (ctx.attempt === 1) throw Object.assign(new Error("once"), { category: "retryable" });
      return "done";
    },
  });
  const pipeline = definePipeline({
    name: "flaky",
    jobs: [
      {
        id: "a",
        agent: flaky,
        retry: { baseSeconds: 0 },
        artifacts: { strategy: "composite", parts: [{ strategy: "files" }, { strategy: "stdout_final" }] },
      },
      {
        id: "b",
        needs: ["a"],
        command: node(reply(`${context}.artifacts.map((a) => [a.name, fs.readFileSync(a.path, 'utf8').slice(0, 30)])`)),
      },
    ],
  });
  const tenuto = await place([pipeline]).open();
  const { run, output, jobs } = await finished(tenuto, "flaky");
  expect(jobs.get("a")?.attempt).toBe(2);
  const all = await tenuto.engine.parts.ledger.artifactsOfRun(run.seq, true);
  expect(
    all.map(({ name, attempt, superseded }) => `${name} ${attempt}${superseded === 1 ? " superseded" : ""}`),
  ).toEqual(["note 1 superseded", "fixed 2", "note 2", "file.txt 2", "changes.json 2", "final_output.txt 2"]);
  expect(output("b")).toEqual([
    ["fixed", "always the same"],
    ["note", "attempt 2"],
    ["file.txt", "the same in both attempts"],
    ["changes.json", expect.any(String)],
    ["final_output.txt", "done"],
  ]);
});

it("are registered with the work, before a gate's approval, and once, whoever goes on with the job", async () => {
  const pipeline = definePipeline<any>({
    name: "gated",
    jobs: [
      {
        id: "a",
        command: node("fs.writeFileSync('made.txt', 'made'); fs.appendFileSync(e.TRACE, 'worked\\n');"),
        env: { TRACE: "{{ params.trace }}" },
        artifacts: { strategy: "files" },
        gate: { checks: [{ when: { eq: [1, 1] }, level: "error", message: "look" }], onFailed: "approve" },
      },
    ],
    params: { type: "object", properties: { trace: { type: "string" } } } as never,
  });
  const here = place([pipeline]);
  const trace = join(here.home, "trace");
  const first = await here.open();
  const run = await first.start("gated", { trace });
  const approval = await asked(first, run.id);
  const names = async (tenuto: Tenuto) =>
    (await tenuto.engine.parts.ledger.artifactsOfRun(run.seq, true)).map((row) => row.name);
  expect(await names(first)).toEqual(["made.txt", "changes.json"]);
  await first.close({ drainMs: 0 });
  const second = await here.open();
  await second.client.decide(approval.id, { approve: true, by: "somebody" });
  const end = await (await second.client.attach(run.id)).wait({ timeoutMs: 60_000 });
  expect(end.state).toBe("completed");
  expect(await names(second)).toEqual(["made.txt", "changes.json"]);
  expect(readFileSync(trace, "utf8")).toBe("worked\n");
});

it("every way to use one is recorded: named in an input, the list of a fan-out, opened, read by an item", async () => {
  const make = defineAgent({
    name: "test/make",
    run: async (_input, ctx) => ({
      list: await ctx.dataset("list", [1, 2, 3]),
      text: await ctx.artifact("text", "hello"),
    }),
  });
  const use = defineAgent({
    name: "test/use",
    run: async (input: { list: never }, ctx) => await ctx.open<number>(input.list).array(),
  });
  const each = defineAgent({
    name: "test/each",
    run: async (input: { text: never }, ctx) => {
      let text = "";
      for await (const chunk of ctx.readArtifact(input.text)) text += Buffer.from(chunk).toString();
      return text;
    },
  });
  const pipeline = definePipeline({
    name: "uses",
    jobs: [
      { id: "make", agent: make, artifacts: { strategy: "stdout_final", offer: "none" } },
      { id: "named", needs: ["make"], command: node(""), input: "{{ jobs.make.output.text }}" },
      { id: "opened", needs: ["make"], agent: use, input: { list: "{{ jobs.make.output.list }}" } },
      {
        id: "each",
        needs: ["make"],
        agent: each,
        forEach: "{{ jobs.make.output.list }}",
        input: { text: "{{ jobs.make.output.text }}" },
      },
    ],
  });
  const tenuto = await place([pipeline]).open();
  const { end, uses, output } = await finished(tenuto, "uses");
  expect(end).toMatchObject({ state: "completed", error: null });
  expect(output("opened")).toEqual([1, 2, 3]);
  expect(await uses("named")).toEqual(["input make/text"]);
  expect(await uses("opened")).toEqual(["read make/list"]);
  expect((await uses("each")).toSorted()).toEqual(["input make/list", "read make/text"]);
});

it("too many are not handed over at all, with a warning; wrong types and specs are refused", async () => {
  const many = defineAgent({
    name: "test/many",
    run: async (_input, ctx) => {
      await Promise.all(Array.from({ length: 1_001 }, (_, n) => ctx.artifact(`a${n}`, String(n))));
      await expect(ctx.artifact("x", "x", { type: "nonsense" })).rejects.toMatchObject({ code: "invalid_input" });
      await expect(ctx.artifact("", "x")).rejects.toMatchObject({ code: "invalid_input" });
    },
  });
  const pipeline = definePipeline({
    name: "many",
    jobs: [
      { id: "many", agent: many },
      { id: "b", needs: ["many"], command: node(reply(`${context}`)) },
    ],
  });
  const here = place([pipeline]);
  const tenuto = await here.open();
  const { run, end, output, uses } = await finished(tenuto, "many");
  expect(end).toMatchObject({ state: "completed", error: null });
  expect(output("b")).toMatchObject({ artifacts: [], artifactsOmitted: true });
  expect(await uses("b")).toEqual([]);
  const lines = [];
  for await (const line of tenuto.engine.parts.logs.read(run.id, { level: "WARNING" })) lines.push(line.message);
  expect(lines.join("\n")).toContain("more than 1000 artifacts are offered to job b");
  const wrong = (job: object) => () => definePipeline({ name: "x", jobs: [{ id: "a", command: ["true"], ...job }] });
  expect(wrong({ artifacts: { strategy: "composite" } })).toThrow(/parts: is missing/);
  expect(wrong({ artifacts: { strategy: "files", parts: [{ strategy: "files" }] } })).toThrow(/goes with composite/);
  expect(wrong({ artifacts: { strategy: "files", ignore: [" "] } })).toThrow(/is no pattern/);
  expect(wrong({ forEach: [1], artifacts: { strategy: "files" } })).toThrow(/forEach/);
});

it("a damaged artifact fails the job that would use it, and says which", async () => {
  const pipeline = definePipeline({
    name: "damage",
    jobs: [
      { id: "a", command: node("console.log('good bytes')"), artifacts: { strategy: "stdout_final" } },
      { id: "wait", needs: ["a"], command: node(""), approval: { title: "go on?" } },
      { id: "b", needs: ["wait"], command: node("") },
    ],
  });
  const here = place([pipeline]);
  const tenuto = await here.open();
  const run = await tenuto.start("damage");
  const approval = await asked(tenuto, run.id);
  const [row] = await tenuto.engine.parts.ledger.artifactsOfRun(run.seq);
  const path = await tenuto.store.localPath(row?.sha256 as string);
  chmodSync(path, 0o644);
  writeFileSync(path, "evil bytes\n");
  await tenuto.client.decide(approval.id, { approve: true, by: "somebody" });
  const end = await run.wait({ timeoutMs: 60_000 });
  expect(end).toMatchObject({ state: "failed", error: { code: "artifact_corrupt" } });
  expect(end.error?.message).toContain(row?.sha256);
});

it("a job that ends as failed leaves its error to what depends on the failure, once", async () => {
  const failing = defineAgent({
    name: "test/failing",
    run: (_input, ctx) => {
      throw Object.assign(new Error(`attempt ${ctx.attempt} failed`), { category: "retryable", details: { line: 7 } });
    },
  });
  const pipeline = definePipeline({
    name: "failing",
    jobs: [
      {
        id: "a",
        agent: failing,
        allowFailure: true,
        retry: { maxRetries: 1, baseSeconds: 0 },
        artifacts: { strategy: "files" },
      },
      {
        id: "fix",
        needs: [{ job: "a", on: "failure" }],
        command: node(reply(`JSON.parse(fs.readFileSync('inputs/a/error_context.json', 'utf8'))`)),
      },
    ],
  });
  const tenuto = await place([pipeline]).open();
  const { run, output, uses } = await finished(tenuto, "failing");
  expect(output("fix")).toMatchObject({
    job: "a",
    attempt: 2,
    failures: 2,
    error: { category: "retryable", message: "attempt 2 failed" },
  });
  expect(output("fix").error.stack).toBeUndefined();
  const all = await tenuto.engine.parts.ledger.artifactsOfRun(run.seq, true);
  expect(all.map(({ name, type }) => `${name} ${type}`)).toEqual(["error_context.json error_context"]);
  expect(await uses("fix")).toEqual(["offered a/error_context.json"]);
});
