/** Programs that spawn, loops with a cap, and jobs that become several. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import * as z from "zod";
import type { JobRecord, Tenuto } from "../../src/index.ts";
import { defineAgent, definePipeline, type JobForm } from "./forms.ts";
import { place } from "./open.ts";

/** Asks for children until `rounds` rounds of them are done, and says what it was told each time. */
const TESTER = `
const fs = require("node:fs");
const read = (path) => (path ? JSON.parse(fs.readFileSync(path, "utf8")) : null);
const input = read(process.env.TENUTO_INPUT);
const context = read(process.env.TENUTO_CONTEXT);
const done = context?.children ?? [];
fs.appendFileSync(input.trace, JSON.stringify({ round: context?.round ?? 0, children: done.map((c) => [c.key, c.state, c.output]) }) + "\\n");
const output = done.length < input.rounds
  ? { $spawn: [{ key: "fix", like: "dev", reason: "gap " + done.length, stage: "dev" }], output: { seen: done.length } }
  : { verdict: "PASSED", rounds: done.length };
fs.writeFileSync(process.env.TENUTO_OUTPUT, JSON.stringify(output));
`;

const dev = defineAgent({
  name: "test/dev",
  run: (input: { reason: string | null; by: string | null; before: unknown }) => ({ fixed: input }),
});
const check = defineAgent({ name: "test/check", run: (input) => input });

function loop(home: string, test: Partial<JobForm>) {
  const script = join(home, "tester.cjs");
  writeFileSync(script, TESTER);
  return definePipeline({
    name: "loop",
    params: z.object({ rounds: z.number(), trace: z.string() }),
    stages: [
      {
        name: "dev",
        jobs: [
          {
            id: "dev",
            agent: dev,
            input: {
              reason: "{{ context.reason }}",
              by: "{{ context.requestedBy }}",
              before: "{{ context.parentOutput }}",
            },
          },
        ],
      },
      {
        name: "test",
        jobs: [
          {
            id: "test",
            command: [process.execPath, script],
            input: { rounds: "{{ params.rounds }}", trace: "{{ params.trace }}" },
            ...test,
          },
        ],
      },
      { name: "verify", jobs: [{ id: "verify", agent: check, input: "{{ jobs.test.output }}" }] },
    ],
  });
}

async function jobsOf(tenuto: Tenuto, run: string): Promise<string[]> {
  const jobs: JobRecord[] = await tenuto.client.jobs(run);
  return jobs.map((job) => `${job.id}:${job.state}`).sort();
}

it("a program ends its round with children, waits, and is run again with their outcomes; downstream waits for the loop", async () => {
  const home = place([]);
  const tenuto = await home.open({ pipelines: [loop(home.home, { spawns: { jobs: ["dev"] } })] });
  const trace = join(home.home, "trace");
  const run = await tenuto.start("loop", { rounds: 2, trace });
  const end = await run.wait();
  expect(end).toMatchObject({ state: "completed", output: { verdict: "PASSED", rounds: 2 } });
  expect(await jobsOf(tenuto, run.id)).toEqual([
    "dev:completed",
    "test/0-fix:completed",
    "test/1-fix:completed",
    "test:completed",
    "verify:completed",
  ]);
  const [first] = (await tenuto.client.jobs(run.id)).filter((job) => job.id === "test/0-fix");
  expect(JSON.parse(first!.output!)).toEqual({ fixed: { reason: "gap 0", by: "test", before: { seen: 0 } } });
  expect(first!.stage).toBe(0);
  const verify = await tenuto.client.job(run.id, "verify");
  const last = await tenuto.client.job(run.id, "test");
  expect(verify.firstStartedAt!).toBeGreaterThanOrEqual(last.endedAt!);
});

it("a loop ends at its cap with a clear error, and a retry by a person goes on", async () => {
  const home = place([]);
  const tenuto = await home.open({ pipelines: [loop(home.home, { spawns: { jobs: ["dev"], rounds: 2 } })] });
  const run = await tenuto.start("loop", { rounds: 4, trace: join(home.home, "trace") });
  expect((await run.wait()).error).toMatchObject({ code: "loop_limit", category: "permanent" });
  await tenuto.client.retry(run.id);
  expect(await (await tenuto.client.attach(run.id)).wait()).toMatchObject({
    state: "completed",
    output: { rounds: 4 },
  });
});

it.each([
  [{}, "may not run job"],
  [{ spawns: { jobs: ["verify"] } }, "may not run job"],
  [{ spawns: { jobs: ["dev"], children: 0 } }, "spawns.children is 0"],
  [{ spawns: { jobs: ["dev"], depth: 0 } }, "levels below"],
])("a program has only the rights that are declared: %j", async (rights, message) => {
  const home = place([]);
  const tenuto = await home.open({ pipelines: [loop(home.home, rights as Partial<JobForm>)] });
  const run = await tenuto.start("loop", { rounds: 1, trace: join(home.home, "trace") });
  const { error } = await run.wait();
  expect(`${error?.message} ${error?.hint}`).toContain(message);
  expect((await tenuto.client.jobs(run.id)).filter((job) => job.parent !== null)).toEqual([]);
});

const list = defineAgent({ name: "test/list", run: (input) => input });
let worked: unknown[] = [];
let broken = new Set<unknown>();
const work = defineAgent({
  name: "test/work",
  run: (input: { item: unknown; index: number }) => {
    worked.push(input.item);
    if (broken.has(input.item)) throw new Error(`no ${String(input.item)}`);
    return { did: input.item };
  },
});
const multiplied = (multiply: Partial<NonNullable<JobForm["multiply"]>>) =>
  definePipeline({
    name: "multiplied",
    params: z.object({ list: z.any() }),
    stages: [
      { name: "plan", jobs: [{ id: "plan", agent: list, input: "{{ params.list }}" }] },
      {
        name: "work",
        jobs: [
          {
            id: "work",
            agent: work,
            input: { item: "{{ item }}", index: "{{ index }}" },
            multiply: { source: "{{ jobs.plan.output }}", ...multiply },
          },
        ],
      },
      { name: "verify", jobs: [{ id: "verify", agent: check, input: "{{ jobs.work.output }}" }] },
    ],
  });

it.each([
  ["a list", ["a", { b: 1 }], {}, ["a", { b: 1 }]],
  ["lines", "a\n\n  b \n", { parse: "lines" }, ["a", "b"]],
  ["commas", "a, b,,c", { parse: "commas" }, ["a", "b", "c"]],
  ["JSON text", '["x", 2]', {}, ["x", 2]],
  ["any other value", { only: 1 }, {}, [{ only: 1 }]],
  ["nothing", [], {}, []],
  ["empty text", "  ", {}, []],
] as const)("one job per element: %s", async (_what, given, multiply, expected) => {
  worked = [];
  broken = new Set();
  const tenuto = await place([multiplied(multiply as object)]).open();
  const run = await tenuto.start("multiplied", { list: given });
  const end = await run.wait();
  expect(end.state).toBe("completed");
  expect((end.output as { output: { did: unknown } }[]).map((child) => child.output.did)).toEqual(expected);
  expect((await tenuto.client.jobs(run.id)).map((job) => job.id)).toHaveLength(3 + expected.length);
});

it("what can't be read fails the job before it becomes anything", async () => {
  const tenuto = await place([multiplied({})]).open();
  const run = await tenuto.start("multiplied", { list: "[1, 2" });
  expect((await run.wait()).error).toMatchObject({
    code: "invalid_input",
    message: expect.stringContaining("is no JSON"),
  });
  expect(await tenuto.client.jobs(run.id)).toHaveLength(3);
});

it("a failed child fails the job when all have ended; a retry runs only that one", async () => {
  worked = [];
  broken = new Set(["b"]);
  const tenuto = await place([multiplied({ concurrency: 2 })]).open();
  const run = await tenuto.start("multiplied", { list: ["a", "b", "c"] });
  const end = await run.wait();
  expect(end.error).toMatchObject({ code: "job_failed", message: expect.stringContaining("1 of 3") });
  expect(worked).toEqual(["a", "b", "c"]);
  broken = new Set();
  worked = [];
  await tenuto.client.retry(run.id);
  expect((await (await tenuto.client.attach(run.id)).wait()).state).toBe("completed");
  expect(worked).toEqual(["b"]);
});
