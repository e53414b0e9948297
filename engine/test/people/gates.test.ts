/** Gates: the worst finding counts, the policy says what follows, the work is not done again for a person or a crash. */
import { expect, it } from "vitest";
import * as z from "zod";
import { defineAgent, definePipeline, type JobForm } from "./forms.ts";
import { asked, place } from "./open.ts";

let made = 0;
const make = defineAgent({ name: "test/make", run: (input: { rows: number }) => ({ rows: input.rows, made: ++made }) });
const after = defineAgent({ name: "test/after", run: (input) => input });
const judge = defineAgent({
  name: "gate/judge",
  run: ({ output }: { output: { rows: number } }) => ({
    findings: output.rows < 50 ? [{ level: "error", message: `only ${output.rows} rows` }] : [],
  }),
});

const pipeline = (gate: JobForm["gate"], more: Partial<JobForm> = {}) =>
  definePipeline({
    name: "gated",
    params: z.object({ rows: z.number() }),
    agents: [judge],
    stages: [
      { name: "make", jobs: [{ id: "make", agent: make, input: { rows: "{{ params.rows }}" }, gate: gate!, ...more }] },
      { name: "after", jobs: [{ id: "after", agent: after, input: "{{ jobs.make.output }}" }] },
    ],
  });

const CHECKS: JobForm["gate"] = {
  checks: [
    { when: { lt: ["{{ output.rows }}", 95] }, level: "warning", message: "{{ output.rows }} of 100 rows" },
    { when: { lt: ["{{ output.rows }}", 50] }, level: "error", message: "fewer than half" },
  ],
};

it.each([
  [100, "completed", "PASSED", 0],
  [80, "completed", "PASSED_WITH_WARNINGS", 1],
  [20, "failed", "FAILED", 2],
])("checks: %i rows end %s with %s", async (rows, state, verdict, findings) => {
  const tenuto = await place([pipeline(CHECKS)]).open();
  const run = await tenuto.start("gated", { rows });
  const end = await run.wait();
  expect(end.state).toBe(state);
  const [gate] = await tenuto.engine.parts.ledger.gates(run.seq);
  expect(gate).toMatchObject({ verdict, action: state === "failed" ? "fail" : "continue" });
  expect(JSON.parse(gate!.findings)).toHaveLength(findings);
  if (state === "failed") {
    expect(end.error).toMatchObject({ code: "gate_failed", category: "permanent" });
    expect((await tenuto.client.job(run.id, "after")).state).toBe("skipped");
  }
});

it("an agent judges, and its findings come with the error", async () => {
  const tenuto = await place([pipeline({ agent: "gate/judge" })]).open();
  const end = await (await tenuto.start("gated", { rows: 7 })).wait();
  expect(end.error).toMatchObject({ code: "gate_failed", message: expect.stringContaining("only 7 rows") });
});

it("more warnings than allowed are FAILED; onFailed: continue goes on all the same", async () => {
  const tenuto = await place([pipeline({ ...CHECKS, maxWarnings: 0, onFailed: "continue" })]).open();
  const run = await tenuto.start("gated", { rows: 80 });
  expect((await run.wait()).state).toBe("completed");
  expect(await tenuto.engine.parts.ledger.gates(run.seq)).toMatchObject([{ verdict: "FAILED", action: "continue" }]);
});

it("onFailed: retry does the work again", async () => {
  made = 0;
  const until: JobForm["gate"] = {
    checks: [{ when: { lt: ["{{ output.made }}", 3] }, level: "error", message: "made {{ output.made }}" }],
    onFailed: "retry",
  };
  const tenuto = await place([pipeline(until, { retry: { baseSeconds: 0.001 } })]).open();
  const run = await tenuto.start("gated", { rows: 1 });
  expect(await run.wait()).toMatchObject({ state: "completed", output: { made: 3 } });
  const verdicts = (await tenuto.engine.parts.ledger.gates(run.seq)).map((gate) => gate.verdict);
  expect(verdicts).toEqual(["FAILED", "FAILED", "PASSED"]);
});

it("onFailed: halt stops the run", async () => {
  const tenuto = await place([pipeline({ ...CHECKS, onFailed: "halt" })]).open();
  const run = await tenuto.start("gated", { rows: 1 });
  await run.wait();
  expect((await tenuto.client.run(run.id)).haltedAt).not.toBeNull();
});

it("onFailed: approve asks a person, and the work is not done again, not even after a restart", async () => {
  made = 0;
  const home = place([pipeline({ ...CHECKS, onFailed: "approve" })]);
  const before = await home.open();
  const run = await before.start("gated", { rows: 10 });
  const approval = await asked(before, run.id);
  expect(JSON.parse(approval.shown)).toMatchObject({ verdict: "FAILED", output: { rows: 10, made: 1 } });
  await before.close({ drainMs: 0 });
  const next = await home.open();
  await next.client.decide(run.id, { approve: true, by: "ann" });
  const end = await (await next.client.attach(run.id)).wait();
  expect(end).toMatchObject({ state: "completed", output: { rows: 10, made: 1 } });
  expect(made).toBe(1);
});

it("a retry of the run does the work of a failed gate again", async () => {
  made = 0;
  const twice: JobForm["gate"] = {
    checks: [{ when: { lt: ["{{ output.made }}", 2] }, level: "error", message: "too early" }],
  };
  const tenuto = await place([pipeline(twice)]).open();
  const run = await tenuto.start("gated", { rows: 1 });
  expect((await run.wait()).state).toBe("failed");
  await tenuto.client.retry(run.id);
  expect((await (await tenuto.client.attach(run.id)).wait()).state).toBe("completed");
});

it("what is no verdict is an error, never a pass", async () => {
  const tenuto = await place([pipeline({ verdict: "{{ output.rows }}" })]).open();
  const end = await (await tenuto.start("gated", { rows: 100 })).wait();
  expect(end.error).toMatchObject({ code: "contract_violation" });
});

it.each([
  [{ gate: {} }, "judges nothing"],
  [{ gate: { agent: "nolayer" } }, "not the name of an agent"],
  [{ gate: { verdict: "PASSED" }, forEach: ["a"] }, "can't be used on a job with forEach"],
  [{ gate: { checks: [{ when: {}, level: "error", message: "x" }] } }, "has no operator"],
  [{ approval: { title: "x", show: 1, editable: true } }, "edits what is shown"],
  [{ approval: { title: " " } }, "is empty"],
  [{ gate: { verdict: "PASED" } }, "is no verdict"],
  [{ multiply: { source: Array.from({ length: 1_001 }, (_, n) => n) } }, "has 1001 elements"],
  [{ input: "{{ output.x }}" }, "is not known here"],
  [{ spawns: { jobs: ["nobody"] } }, 'there is no job "nobody"'],
  [{ multiply: { source: { job: "b", artifact: "x" } } }, "may not have ended by then"],
  [{ bindings: { index: 1 } }, "bindings"],
])("refused before anything is written: %j", (job, message) => {
  const form = { id: "a", agent: "test/x", ...job } as JobForm;
  expect(() => definePipeline({ name: "bad", jobs: [form, { id: "b", agent: "test/x", needs: [] }] })).toThrow(message);
});
