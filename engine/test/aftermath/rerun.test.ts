/** Rerun from a job: what is reused, what runs again, and why; artifacts and fan-out results included. */
import { expect, it } from "vitest";
import type { Pipeline, Tenuto } from "../../src/index.ts";
import type { RerunRequest } from "../../src/runtime/rerun.ts";
import { defineAgent, definePipeline, type JobForm } from "../people/forms.ts";
import { place } from "../people/open.ts";

const did: string[] = [];
const work = (version?: string) =>
  defineAgent({
    name: "test/work",
    ...(version === undefined ? {} : { version }),
    run: async (input: { n?: number }, ctx) => {
      did.push(ctx.jobId);
      await ctx.artifact("note", `${ctx.jobId} ${JSON.stringify(input)}`);
      return { n: (input.n ?? 0) + 1 };
    },
  });
const reading = defineAgent({
  name: "test/reading",
  run: async (_input, ctx) => {
    did.push(ctx.jobId);
    return (await ctx.artifacts()).map((entry) => `${entry.job}/${entry.name}`);
  },
});
const each = defineAgent({ name: "test/each", run: (input: number) => input * 10 });

function pipelineOf(change: { version?: string; b?: Partial<JobForm>; name?: string } = {}): Pipeline<any> {
  const agent = work(change.version);
  return definePipeline<any>({
    name: change.name ?? "again",
    params: { type: "object", properties: { n: { type: "number" } } } as never,
    stages: [
      { name: "one", jobs: [{ id: "a", agent, input: { n: "{{ params.n }}" } }] },
      {
        name: "two",
        jobs: [
          { id: "b", agent, input: { n: "{{ jobs.a.output.n }}" }, ...change.b },
          { id: "items", agent: each, forEach: [1, 2, 3] },
          { id: "side", agent, needs: [], input: { n: 100 } },
        ],
      },
      {
        name: "three",
        jobs: [
          { id: "c", needs: ["b"], agent, input: { n: "{{ jobs.b.output.n }}" } },
          { id: "d", needs: ["items"], agent, input: { n: "{{ jobs.items.output.count }}" } },
          { id: "reads", needs: ["c", "side"], agent: reading },
        ],
      },
    ],
  } as never);
}

async function run(tenuto: Tenuto, options: { n?: number; rerun?: RerunRequest } = {}) {
  did.length = 0;
  const started = await tenuto.start(
    "again",
    { n: options.n ?? 1 },
    options.rerun === undefined ? {} : { rerun: options.rerun },
  );
  const end = await started.wait({ timeoutMs: 60_000 });
  expect(end).toMatchObject({ state: "completed", error: null });
  const jobs = await tenuto.client.jobs(started.id);
  const events = await tenuto.client.events(started.id);
  const why = new Map(
    events.filter((event) => event.name === "job.again").map((event) => [event.job, event.data?.["why"]]),
  );
  const list = Object.fromEntries(jobs.map((job) => [job.id, job.reason ?? why.get(job.id) ?? job.state]));
  return {
    id: started.id,
    list,
    end,
    did: did.toSorted(),
    output: (id: string) => JSON.parse(jobs.find((job) => job.id === id)?.output ?? "null"),
  };
}

it("runs a job and what is downstream of it; everything else is answered, with its artifacts and datasets", async () => {
  const tenuto = await place([pipelineOf()]).open();
  const first = await run(tenuto);
  const again = await run(tenuto, { rerun: { run: first.id, from: "b" } });
  expect(again.list).toEqual({
    a: `reused:${first.id}/a`,
    b: "the rerun begins with it",
    items: `reused:${first.id}/items`,
    side: `reused:${first.id}/side`,
    c: "downstream of b",
    d: `reused:${first.id}/d`,
    reads: "downstream of b",
  });
  expect(again.did).toEqual(["b", "c", "reads"]);
  // `a` and `side` wait for nothing: either may have written first.
  expect(again.output("reads").toSorted()).toEqual(["a/note", "b/note", "c/note", "side/note"]);
  expect(again.output("items")).toEqual(first.output("items"));
  // The old run may go: what was taken over stays.
  const { ledger } = tenuto.engine.parts;
  const boundary = (await tenuto.client.run(again.id)).createdAt;
  expect((await ledger.prune(boundary, 10)).ids).toEqual([first.id]);
  const kept = await ledger.artifactsOfRun((await tenuto.client.run(again.id)).seq);
  expect(
    kept
      .filter((record) => record.source !== null)
      .map((record) => `${record.jobId}/${record.name}`)
      .sort(),
  ).toEqual(["a/note", "d/note", "items/items.items", "items/items.results", "side/note"]);
  for (const record of kept) expect(await tenuto.store.verify(record.sha256)).toMatchObject({ ok: true });
});

it("another input for the first job; other params are seen where they matter", async () => {
  const tenuto = await place([pipelineOf()]).open();
  const first = await run(tenuto);
  const input = await run(tenuto, { rerun: { run: first.id, from: "b", input: { n: 41 } } });
  expect(input.output("c")).toEqual({ n: 43 });
  const params = await run(tenuto, { n: 5, rerun: { run: first.id, from: "c" } });
  expect(params.list).toMatchObject({
    a: "changed: {{ params.n }}",
    b: "changed: {{ jobs.a.output.n }}",
    c: "the rerun begins with it",
    side: `reused:${first.id}/side`,
    reads: "downstream of c",
  });
  expect(params.output("c")).toEqual({ n: 8 });
  // A rerun of a rerun takes over what that had taken over.
  const third = await run(tenuto, { rerun: { run: input.id, from: "reads" } });
  expect(third.list).toMatchObject({ a: `reused:${input.id}/a`, c: `reused:${input.id}/c` });
  expect(third.output("c")).toEqual({ n: 43 });
});

it("another spec or version of the agent runs again, and says which", async () => {
  const here = place([pipelineOf()]);
  const old = await here.open();
  const first = await run(old);
  await old.close();
  const spec = await here.open({ pipelines: [pipelineOf({ b: { input: { n: 7 } } })] });
  const changed = await run(spec, { rerun: { run: first.id, from: "d" } });
  expect(changed.list).toMatchObject({
    a: `reused:${first.id}/a`,
    b: "changed: input",
    c: "changed: {{ jobs.b.output.n }}",
  });
  await spec.close();
  const version = await here.open({ pipelines: [pipelineOf({ version: "2" })] });
  const newer = await run(version, { rerun: { run: first.id, from: "d" } });
  expect(newer.list.a).toBe("changed: version of its agent (test/work, now test/work@2)");
  expect(newer.list.items).toBe(`reused:${first.id}/items`);
});

it("a program runs again when the artifacts that it is offered are others", async () => {
  let text = "one";
  const make = defineAgent({ name: "test/make", run: async (_input, ctx) => void (await ctx.artifact("text", text)) });
  const pipeline = definePipeline<any>({
    name: "again",
    params: { type: "object", properties: { n: { type: "number" } } } as never,
    jobs: [
      { id: "make", agent: make },
      { id: "program", needs: ["make"], command: ["true"] },
      { id: "last", needs: ["program"], command: ["true"] },
    ],
  });
  const tenuto = await place([pipeline]).open();
  const first = await run(tenuto);
  const same = await run(tenuto, { rerun: { run: first.id, from: "last" } });
  expect(same.list).toMatchObject({ make: `reused:${first.id}/make`, program: `reused:${first.id}/program` });
  text = "two";
  const other = await run(tenuto, { rerun: { run: first.id, from: "make" } });
  expect(other.list).toMatchObject({ program: "downstream of make" });
  // Of that run the program's inputs are others than in the first one.
  const { ledger } = tenuto.engine.parts;
  const [object] = await ledger.artifactsOfRun((await tenuto.client.run(first.id)).seq);
  await tenuto.store.remove(object?.sha256 as string);
  const gone = await run(tenuto, { rerun: { run: first.id, from: "last" } });
  expect(gone.list).toMatchObject({
    make: "an object that its result names is gone",
    program: "changed: the artifacts that it is offered",
  });
});

it("is refused while the origin runs, and for jobs that are not there", async () => {
  const tenuto = await place([pipelineOf()]).open();
  const first = await run(tenuto);
  const start = (rerun: object) => tenuto.start("again", { n: 1 }, { rerun: rerun as never });
  await expect(start({ run: first.id, from: "x" })).rejects.toMatchObject({ code: "not_found" });
  await expect(start({ run: first.id, input: 1 })).rejects.toMatchObject({ code: "invalid_input" });
  await expect(start({ run: "nothing", from: "a" })).rejects.toMatchObject({ code: "not_found" });
  const sleeping = definePipeline({ name: "sleeping", run: (ctx) => ctx.sleep("long", 3_600_000) });
  const open = await tenuto.start(sleeping);
  await expect(start({ run: open.id, from: "a" })).rejects.toMatchObject({ code: "illegal_transition" });
  await open.cancel();
});
