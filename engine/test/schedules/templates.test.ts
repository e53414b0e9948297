/** Templates in real engines: pushed, started without a file, with jobs left out, removed. */
import { expect, it } from "vitest";
import * as z from "zod";
import { defineAgent, definePipeline, type Json, loadYamlPipeline, type Tenuto } from "../../src/index.ts";
import { FakeClock } from "../../src/testing/clock.ts";
import { place } from "../people/open.ts";
import { seen } from "../seen.ts";

const echo = defineAgent({ name: "test/echo", run: (input: Json) => input });
const flow = definePipeline({
  name: "flow",
  description: "Plan, build, test, ship.",
  params: z.object({ what: z.string() }),
  stages: [
    { name: "plan", jobs: [{ id: "plan", agent: "test/echo", input: "{{ params.what }}" }] },
    {
      name: "build",
      jobs: [
        { id: "build", agent: "test/echo", input: "built" },
        { id: "check", agent: "test/echo", needs: ["build"], input: "checked" },
        { id: "alarm", agent: "test/echo", needs: [{ job: "check", on: "failure" }] },
      ],
    },
    { name: "ship", jobs: [{ id: "ship", agent: "test/echo", needs: ["check"], input: "{{ jobs.plan.output }}" }] },
  ],
}).document;

/** Time passes; timers see only that it has, as they would see it on a busy machine. */
function pass(clock: FakeClock, ms: number): void {
  clock.jump(ms);
  clock.advance(0);
}

const order = async (tenuto: Tenuto, run: string) => {
  const jobs = await tenuto.client.jobs(run);
  return jobs
    .filter((job) => job.state === "completed")
    .sort((a, b) => a.firstStartedAt! - b.firstStartedAt! || a.seq - b.seq)
    .map((job) => job.id);
};

it("a worker without the file carries out what another process pushed and started", async () => {
  const home = place([], [echo]);
  const writer = await home.open({ work: false, agents: [] });
  const pushed = await writer.templates.push(flow, { note: "first" });
  expect(pushed).toMatchObject({ name: "flow", number: 1, changed: true });
  expect((await writer.templates.push(flow)).changed).toBe(false);
  const run = await writer.start("flow", { what: "tea" });
  const worker = await home.open();
  expect(await (await worker.client.attach(run.id)).wait()).toMatchObject({ state: "completed", output: "tea" });
  expect((await worker.templates.list()).map((one) => [one.id, one.number, one.stages, one.jobs])).toEqual([
    ["flow", 1, 3, 5],
  ]);
});

it("a run keeps the version that it began with", async () => {
  const home = place([], [echo]);
  const writer = await home.open({ work: false, agents: [] });
  await writer.templates.push(flow);
  const before = await writer.start("flow", { what: "one" });
  const changed = structuredClone(flow);
  changed.stages[2]!.jobs[0]!.input = "new: {{ jobs.plan.output }}";
  expect((await writer.templates.push(changed, { note: "says new" })).number).toBe(2);
  const after = await writer.start("flow", { what: "two" });
  const worker = await home.open();
  const end = async (id: string) => (await (await worker.client.attach(id)).wait()).output;
  expect([await end(before.id), await end(after.id)]).toEqual(["one", "new: two"]);
  expect((await worker.templates.versions("flow")).map(({ number, note }) => [number, note])).toEqual([
    [2, "says new"],
    [1, null],
  ]);
  expect(await worker.templates.show("flow", 1)).toMatchObject({ number: 1, present: false, document: flow });
  expect(await worker.templates.show("flow")).toMatchObject({ number: 2, present: true });
  await expect(worker.templates.show("flow", 3)).rejects.toMatchObject({
    code: "not_found",
    hint: "It has versions 1 to 2.",
  });
});

it("starts with jobs left out: followers go by what those depended on, and the run says what is missing", async () => {
  const tenuto = await place([], [echo]).open();
  await tenuto.templates.push(flow);
  const run = await tenuto.start("flow", { what: "tea" }, { exclude: { jobs: ["check"] } });
  expect(await run.wait()).toMatchObject({ state: "completed", output: "tea" });
  expect(await order(tenuto, run.id)).toEqual(["plan", "build", "ship"]);
  const record = await tenuto.client.run(run.id);
  expect(JSON.parse(record.variant!)).toEqual({ excluded: ["check", "alarm"] });
  const whole = await tenuto.start("flow", { what: "tea" });
  expect((await tenuto.client.run(whole.id)).variant).toBeNull();
  expect((await tenuto.client.run(whole.id)).version).not.toBe(record.version);
});

it("a reference to what is left out is an error before anything is written", async () => {
  const tenuto = await place([], [echo]).open();
  await tenuto.templates.push(flow);
  await expect(tenuto.start("flow", { what: "tea" }, { exclude: { stages: ["plan"] } })).rejects.toMatchObject({
    code: "invalid_input",
    message: expect.stringContaining(
      'job "ship" refers to {{ jobs.plan.output }} in input, but job "plan" is left out',
    ),
  });
  expect(await tenuto.client.runs()).toEqual([]);
});

it("the same key with other exclusions is another start", async () => {
  const tenuto = await place([], [echo]).open({ work: false });
  await tenuto.templates.push(flow);
  const start = (...jobs: string[]) =>
    tenuto.start("flow", { what: "tea" }, { idempotencyKey: "k", exclude: { jobs } });
  const first = await start("check", "alarm");
  expect((await start("alarm", "check")).id).toBe(first.id);
  await expect(start("alarm")).rejects.toMatchObject({ code: "idempotency_mismatch" });
});

it("the same key with other labels or another priority is another start", async () => {
  const tenuto = await place([], [echo]).open({ work: false });
  await tenuto.templates.push(flow);
  const start = (labels: Record<string, string>, priority: "high" | "low" = "high") =>
    tenuto.start("flow", { what: "tea" }, { idempotencyKey: "k", labels, priority });
  const first = await start({ a: "1", b: "2" });
  expect((await start({ b: "2", a: "1" })).id).toBe(first.id);
  await expect(start({ a: "1" })).rejects.toMatchObject({ code: "idempotency_mismatch" });
  await expect(start({ a: "1", b: "2" }, "low")).rejects.toMatchObject({ code: "idempotency_mismatch" });
});

it("a pipeline of the process goes before a template of its name", async () => {
  const own = definePipeline({ name: "flow", jobs: [{ id: "own", agent: echo, input: "own" }] });
  const tenuto = await place([own], [echo]).open();
  await tenuto.templates.push(flow);
  expect((await (await tenuto.start("flow")).wait()).output).toBe("own");
});

it("a template that a schedule starts can't be removed; afterwards it is gone", async () => {
  const clock = new FakeClock(Date.UTC(2026, 0, 1));
  const tenuto = await place([], [echo]).open({ clock });
  await tenuto.templates.push(flow);
  const row = await tenuto.schedules.add({
    name: "nightly",
    pipeline: "flow",
    cron: "0 2 * * *",
    params: { what: "tea" },
    exclude: { jobs: ["check"] },
  });
  expect(row.template).toBe(1);
  await expect(tenuto.templates.remove("flow")).rejects.toMatchObject({
    code: "conflict",
    hint: "Remove first: tenuto schedules remove nightly.",
  });
  pass(clock, 2 * 3_600_000);
  const fired = await seen(tenuto, async () => {
    const { lastRun } = await tenuto.schedules.show("nightly");
    return lastRun;
  });
  await (await tenuto.client.attach(fired)).wait();
  expect((await order(tenuto, fired)).sort()).toEqual(["build", "plan", "ship"]);
  await tenuto.schedules.remove("nightly");
  await tenuto.templates.remove("flow");
  await expect(tenuto.start("flow", { what: "tea" })).rejects.toMatchObject({ code: "unknown_pipeline" });
  await expect(tenuto.templates.show("flow")).rejects.toMatchObject({ code: "not_found" });
});

it("what can't be kept or can't run is refused", async () => {
  const tenuto = await place([]).open({ work: false });
  const code = definePipeline({ name: "code", run: () => 1 });
  await expect(tenuto.templates.push(code.document)).rejects.toMatchObject({ code: "invalid_input" });
  const broken = structuredClone(flow);
  broken.stages[2]!.jobs[0]!.needs = [{ job: "chekc", on: "success" }];
  await expect(tenuto.templates.push(broken)).rejects.toMatchObject({
    code: "invalid_definition",
    message: expect.stringContaining('Did you mean "check"?'),
  });
  await expect(tenuto.templates.push({} as never)).rejects.toMatchObject({ code: "invalid_definition" });
  expect(await tenuto.templates.list()).toEqual([]);
  await expect(tenuto.templates.remove("flow")).rejects.toMatchObject({ code: "not_found" });
});

it("a job with needs and `afterStage` waits for both, also when the run is retried", async () => {
  let broken = true;
  const flaky = defineAgent({
    name: "test/flaky",
    run: () => {
      if (broken) throw new Error("not yet");
      return "ok";
    },
  });
  const pipeline = loadYamlPipeline(
    `
name: both
stages:
  - name: one
    jobs:
      - { id: slow, agent: test/flaky }
      - { id: quick, agent: test/echo, input: 1 }
  - name: two
    jobs:
      - { id: free, agent: test/echo, needs: [quick], input: 2 }
      - { id: both, agent: test/echo, needs: [free], afterStage: true, input: 3 }
`,
    { file: "both.yaml" },
  );
  const tenuto = await place([pipeline], [echo, flaky]).open();
  const run = await tenuto.start("both");
  expect((await run.wait()).state).toBe("failed");
  const states = async () => (await tenuto.client.jobs(run.id)).map((job) => `${job.id}:${job.state}`).join(" ");
  expect(await states()).toBe("slow:failed quick:completed free:completed both:skipped");
  broken = false;
  await tenuto.client.retry(run.id);
  expect((await (await tenuto.client.attach(run.id)).wait()).state).toBe("completed");
  expect(await states()).toBe("slow:completed quick:completed free:completed both:completed");
  expect((await order(tenuto, run.id)).at(-1)).toBe("both");
});

it("a barrier that was implied by an excluded job holds in a real run", async () => {
  const tenuto = await place(
    [
      definePipeline({
        name: "implied",
        stages: [
          { name: "one", jobs: [{ id: "a", agent: echo, input: 1 }] },
          {
            name: "two",
            jobs: [
              { id: "b", agent: echo, input: 2 },
              { id: "x", agent: echo, needs: [], input: 3 },
            ],
          },
          { name: "three", jobs: [{ id: "c", agent: echo, input: 4 }] },
        ],
      }),
    ],
    [echo],
  ).open({ concurrency: 1 });
  const run = await tenuto.start("implied", {}, { exclude: { jobs: ["b"] } });
  await run.wait();
  const ended = await order(tenuto, run.id);
  expect(ended.at(-1)).toBe("c");
  expect([...ended].sort()).toEqual(["a", "c", "x"]);
});
