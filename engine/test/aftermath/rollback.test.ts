/** Rollback through the engine: order, values, refusals, partial ends, and what may not happen afterwards. */
import { expect, it } from "vitest";
import type { Tenuto } from "../../src/index.ts";
import { TenutoError } from "../../src/index.ts";
import { defineAgent, definePipeline } from "../people/forms.ts";
import { place } from "../people/open.ts";

function world() {
  const journal: string[] = [];
  const failing = new Set<string>();
  const act = defineAgent({
    name: "test/act",
    run: async (input: { what: string; fail?: boolean }, ctx) => {
      if (input.fail === true && failing.has(input.what)) throw new Error("cannot");
      journal.push(`do ${input.what}`);
      return { id: `${input.what}-id`, key: ctx.idempotencyKey };
    },
  });
  const undo = defineAgent({
    name: "test/undo",
    run: async (input: { what: string; id: string; run: string; other?: string; skip?: boolean }, ctx) => {
      if (failing.has(`undo ${input.what}`)) throw new Error("cannot undo");
      if (failing.has(`skip ${input.what}`)) ctx.skip("not today");
      if (failing.has(`skippable ${input.what}`)) throw Object.assign(new Error("gone"), { category: "skippable" });
      journal.push(
        `undo ${input.what} ${input.id} of ${input.run}${input.other === undefined ? "" : ` beside ${input.other}`}`,
      );
      return { key: ctx.idempotencyKey };
    },
  });
  return { journal, failing, act, undo };
}

const compensate = (what: string, more: object = {}) => ({
  agent: "test/undo",
  input: { what, id: "{{ output.id }}", run: "{{ run.id }}", ...more },
});

function release(act: never, undo: never) {
  const job = (id: string, more: object = {}) => ({
    id,
    agent: act,
    input: { what: `{{ params.prefix }}-${id}`, fail: true },
    compensate: compensate(`{{ params.prefix }}-${id}`),
    ...more,
  });
  return definePipeline<any>({
    name: "release",
    params: { type: "object", properties: { prefix: { type: "string" } } } as never,
    agents: [undo],
    stages: [
      { name: "one", jobs: [job("a"), { ...job("plain"), compensate: undefined }] },
      {
        name: "two",
        jobs: [job("b"), job("c", { needs: ["b"], compensate: compensate("c", { other: "{{ jobs.a.output.id }}" }) })],
      },
      { name: "three", jobs: [job("last")] },
    ] as never,
  });
}

async function ended(tenuto: Tenuto, name: string, params: object) {
  const run = await tenuto.start(name, params);
  const end = await run.wait({ timeoutMs: 60_000 });
  return { run, end };
}

const refusal = async (promise: Promise<unknown>) => {
  const error = await promise.then(
    () => null,
    (thrown: unknown) => thrown,
  );
  return error instanceof TenutoError ? { code: error.code, text: `${error.message} ${error.hint}` } : error;
};

it("undoes what completed, in reverse order of completion, with the values of the origin", async () => {
  const { journal, failing, act, undo } = world();
  const tenuto = await place([release(act as never, undo as never)]).open({ concurrency: 1 });
  failing.add("x-last");
  const { run, end } = await ended(tenuto, "release", { prefix: "x" });
  expect(end.state).toBe("failed");
  const done = journal.splice(0).filter((line) => line !== "do x-plain");
  expect(await tenuto.client.rollbackOf(run.id)).toBeNull();
  const rollback = await tenuto.client.rollback(run.id);
  expect([rollback.id, rollback.order, rollback.left]).toEqual([`${run.id}-rollback`, ["c", "b", "a"], ["last"]]);
  expect((await rollback.wait({ timeoutMs: 60_000 })).state).toBe("completed");
  expect(done).toEqual(["do x-a", "do x-b", "do x-c"]);
  expect(journal).toEqual([
    `undo c x-c-id of ${run.id} beside x-a-id`,
    `undo x-b x-b-id of ${run.id}`,
    `undo x-a x-a-id of ${run.id}`,
  ]);
  const status = { run: rollback.id, state: "rolled back", done: 3, of: 3 };
  expect(await tenuto.client.rollbackOf(run.id)).toEqual(status);
  expect(await refusal(tenuto.client.retry(run.id))).toMatchObject({
    code: "cannot_resume",
    text: expect.stringContaining(`is rolled back by run ${rollback.id}`),
  });
  expect(await refusal(tenuto.client.rollback(run.id))).toMatchObject({ code: "conflict" });
  expect(await refusal(tenuto.client.rollback(rollback.id))).toMatchObject({ code: "illegal_transition" });
  const jobs = await tenuto.client.jobs(rollback.id);
  expect(jobs.map((job) => job.id)).toEqual(["undo-01-c", "undo-02-b", "undo-03-a"]);
  expect(JSON.parse(jobs[0]?.output ?? "")).toEqual({ key: `${rollback.id}/undo-01-c` });
});

it.each(["undo x-b", "skip x-b", "skippable x-b"])(
  "stops at a compensation that does not complete (%s): partial until a retry of it completes the rest",
  async (fault) => {
    const { journal, failing, act, undo } = world();
    const tenuto = await place([release(act as never, undo as never)]).open();
    const { run } = await ended(tenuto, "release", { prefix: "x" });
    journal.length = 0;
    failing.add(fault);
    const rollback = await tenuto.client.rollback(run.id);
    expect((await rollback.wait({ timeoutMs: 60_000 })).state).toBe("failed");
    expect(journal.map((line) => line.split(" ")[1])).toEqual(["x-last", "c"]);
    expect(await tenuto.client.rollbackOf(run.id)).toMatchObject({ state: "partially rolled back", done: 2, of: 4 });
    expect(await refusal(tenuto.client.retry(run.id))).toMatchObject({ code: "cannot_resume" });
    expect(await refusal(tenuto.client.rollback(run.id))).toMatchObject({
      code: "conflict",
      text: expect.stringContaining(`tenuto runs retry ${rollback.id}`),
    });
    failing.clear();
    await tenuto.client.retry(rollback.id);
    expect((await rollback.wait({ timeoutMs: 60_000 })).state).toBe("completed");
    expect(journal.map((line) => line.split(" ")[1])).toEqual(["x-last", "c", "x-b", "x-a"]);
    expect(await tenuto.client.rollbackOf(run.id)).toMatchObject({ state: "rolled back", done: 4, of: 4 });
  },
);

it("of fifty rollbacks at once one starts; a retry and a rollback never both do", async () => {
  const { failing, act, undo } = world();
  const tenuto = await place([release(act as never, undo as never)]).open();
  failing.add("x-last");
  const { run } = await ended(tenuto, "release", { prefix: "x" });
  const { ledger } = tenuto.engine.parts;
  const tries = await Promise.allSettled([
    ...Array.from({ length: 50 }, () => tenuto.client.rollback(run.id)),
    tenuto.client.retry(run.id),
  ]);
  const retried = tries.at(-1)?.status === "fulfilled";
  const started = tries.slice(0, -1).filter((one) => one.status === "fulfilled").length;
  expect(started).toBe(retried ? 0 : 1);
  expect((await ledger.successors(run.seq)).length).toBe(started);
});

it("only a run that has ended, that did something, and that did it for real", async () => {
  const { act, undo } = world();
  const pipeline = release(act as never, undo as never);
  const none = definePipeline({ name: "none", jobs: [{ id: "a", agent: act, input: { what: "a" } }] });
  const tenuto = await place([pipeline, none]).open();
  const plain = await ended(tenuto, "none", {});
  expect(await refusal(tenuto.client.rollback(plain.run.id))).toMatchObject({
    code: "invalid_input",
    text: expect.stringContaining("nothing to roll back"),
  });
  const sleeping = definePipeline({
    name: "sleeping",
    run: async (ctx) => void (await ctx.sleep("long", 3_600_000)),
  });
  const open = await tenuto.start(sleeping);
  expect(await refusal(tenuto.client.rollback(open.id))).toMatchObject({ code: "illegal_transition" });
  await open.cancel();
});

it("children and multiplied jobs are undone one by one; commands are expanded with the output", async () => {
  const { journal, act, undo } = world();
  const pipeline = definePipeline<any>({
    name: "many",
    agents: [undo],
    params: { type: "object", properties: { file: { type: "string" } } } as never,
    jobs: [
      {
        id: "each",
        agent: act,
        multiply: { source: ["p", "q"] },
        input: { what: "{{ item }}" },
        compensate: compensate("{{ item }}-{{ index }}"),
      },
      {
        id: "program",
        needs: ["each"],
        command: {
          argv: [
            process.execPath,
            "-e",
            "console.log('{{ literally }}'.slice(1, 4))".replace("{{ literally }}", "abcdef"),
          ],
          output: "stdout-text",
        },
        compensate: {
          command: {
            argv: [
              process.execPath,
              "-e",
              "require('fs').writeFileSync(process.argv[1], process.argv[2])",
              "{{ params.file }}",
              "undone {{ output }}",
            ],
          },
        },
      },
    ],
  });
  const here = place([pipeline]);
  const tenuto = await here.open({ concurrency: 1 });
  const file = `${here.home}/undone`;
  const { run, end } = await ended(tenuto, "many", { file });
  expect(end.error).toBeNull();
  journal.length = 0;
  const rollback = await tenuto.client.rollback(run.id);
  expect(rollback.order).toEqual(["program", "each/1", "each/0"]);
  expect((await rollback.wait({ timeoutMs: 60_000 })).error).toBeNull();
  expect(journal).toEqual([`undo q-1 q-id of ${run.id}`, `undo p-0 p-id of ${run.id}`]);
  const { readFileSync } = await import("node:fs");
  expect(readFileSync(file, "utf8")).toBe("undone bcd\n");
});

it("a compensation finds what the job that it undoes left behind", async () => {
  const node = (code: string) => [process.execPath, "-e", code];
  const pipeline = definePipeline({
    name: "left",
    jobs: [
      {
        id: "make",
        command: node("console.log('made')"),
        artifacts: { strategy: "stdout_final" },
        compensate: {
          command: {
            argv: node(
              "process.stdout.write(require('fs').readFileSync('inputs/make/final_output.txt', 'utf8').trim())",
            ),
            output: "stdout-text",
          },
        },
      },
    ],
  });
  const tenuto = await place([pipeline]).open();
  const { run } = await ended(tenuto, "left", {});
  const rollback = await tenuto.client.rollback(run.id);
  expect((await rollback.wait({ timeoutMs: 60_000 })).output).toBe("made");
  const { ledger } = tenuto.engine.parts;
  const [undo] = await tenuto.client.jobs(rollback.id);
  const used = await ledger.consumedBy(undo?.seq as number);
  expect(used.map(({ record }) => `${record?.runId}/${record?.jobId}/${record?.name}`)).toEqual([
    `${run.id}/make/final_output.txt`,
  ]);
});

it("a run stays in the ledger while its rollback may still need it", async () => {
  const { failing, act, undo } = world();
  const tenuto = await place([release(act as never, undo as never)]).open();
  const { run } = await ended(tenuto, "release", { prefix: "x" });
  failing.add("undo x-b");
  const rollback = await tenuto.client.rollback(run.id);
  await rollback.wait({ timeoutMs: 60_000 });
  const { ledger } = tenuto.engine.parts;
  const later = (await tenuto.client.run(rollback.id)).createdAt;
  expect((await ledger.prune(later, 10)).ids).toEqual([]);
  failing.clear();
  await tenuto.client.retry(rollback.id);
  await rollback.wait({ timeoutMs: 60_000 });
  expect((await ledger.prune(later, 10)).ids).toEqual([run.id]);
});

it("wrong compensations are refused where they are written", () => {
  const wrong = (compensation: object) => () =>
    definePipeline({ name: "x", jobs: [{ id: "a", command: ["true"], compensate: compensation as never }] });
  expect(wrong({})).toThrow(/needs one thing to do/);
  expect(wrong({ command: ["true"], agent: "no/such" })).toThrow(/needs one thing to do/);
  expect(wrong({ command: ["undo", "{{ jobs.b.output }}"] })).toThrow(/no job of this pipeline/);
  expect(wrong({ command: ["undo"], onExhausted: "skip" })).toThrow(/can't be skip/);
  const fanout = { id: "a", command: ["true"], forEach: [1], compensate: { command: ["undo", "{{ item }}"] } };
  expect(() => definePipeline({ name: "x", jobs: [fanout] })).toThrow(/has no item here/);
  expect(wrong({ shell: "undo {{ output }}" })).toThrow(/placeholder inside shell text/);
  expect(() => definePipeline({ name: "x", jobs: [{ id: "a", command: ["x", "{{ output }}"] }] })).toThrow(
    /not known here/,
  );
});
