/** Approvals: bound to what was shown, decided once, edited, expired, and not forgotten by a crash. */
import { expect, it } from "vitest";
import * as z from "zod";
import { defineAgent, definePipeline } from "../../src/index.ts";
import { FakeClock } from "../../src/testing/clock.ts";
import { asked, place } from "./open.ts";

const deploy = defineAgent({ name: "test/deploy", run: (input: { to: string }) => ({ deployed: input.to }) });
const declared = definePipeline({
  name: "declared",
  params: z.object({ to: z.string() }),
  jobs: [
    {
      id: "deploy",
      agent: deploy,
      input: { to: "{{ params.to }}" },
      approval: { title: "Deploy to {{ params.to }}?", editable: true, expiresSeconds: 60 },
    },
  ],
});

it("a declared job waits without slot, and goes on with what the person made of its input", async () => {
  const tenuto = await place([declared]).open({ concurrency: 1 });
  const run = await tenuto.start("declared", { to: "prod" });
  const approval = await asked(tenuto, run.id);
  expect(approval).toMatchObject({ title: "Deploy to prod?", shown: '{"to":"prod"}', state: "open", editable: 1 });
  const decided = await tenuto.client.decide(run.id, {
    approve: true,
    by: "ann",
    reason: "ok",
    edited: { to: "test" },
  });
  expect(decided).toMatchObject({ state: "approved", decidedBy: "ann", reason: "ok" });
  expect(await run.wait()).toMatchObject({ state: "completed", output: { deployed: "test" } });
});

it("a rejection fails the job with who and why; a retry asks again", async () => {
  const tenuto = await place([declared]).open();
  const run = await tenuto.start("declared", { to: "prod" });
  await asked(tenuto, run.id);
  await tenuto.client.decide(run.id, { approve: false, by: "bob", reason: "friday" });
  const end = await run.wait();
  expect(end.state).toBe("failed");
  expect(end.error).toMatchObject({ code: "approval_rejected", message: expect.stringContaining("bob rejected") });
  await tenuto.client.retry(run.id);
  const again = await asked(tenuto, run.id);
  expect(again.id).toMatch(/#2$/);
  await tenuto.client.decide(again.id, { approve: true, by: "ann" });
  expect((await (await tenuto.client.attach(run.id)).wait()).state).toBe("completed");
});

it("R-17: of 50 decisions at once exactly one is taken", async () => {
  const tenuto = await place([declared]).open();
  const run = await tenuto.start("declared", { to: "prod" });
  const approval = await asked(tenuto, run.id);
  const decisions = await Promise.allSettled(
    Array.from({ length: 50 }, (_, n) =>
      tenuto.client.decide(approval.id, { approve: n % 2 === 0, by: `person-${n}` }),
    ),
  );
  const taken = decisions.filter((decision) => decision.status === "fulfilled");
  expect(taken).toHaveLength(1);
  for (const decision of decisions)
    if (decision.status === "rejected") expect(decision.reason).toMatchObject({ code: "approval_decided" });
  const [row] = await tenuto.client.approvals({ run: run.id });
  expect(row?.decidedBy).toBe((taken[0] as PromiseFulfilledResult<{ decidedBy: string }>).value.decidedBy);
  await run.wait();
});

it("a decision on something else than what is shown is refused, and so are edits of what can't be edited", async () => {
  const fixed = definePipeline({
    name: "fixed",
    jobs: [{ id: "a", agent: deploy, input: { to: "x" }, approval: { title: "x?", show: { rows: 3 } } }],
  });
  const tenuto = await place([fixed]).open();
  const run = await tenuto.start("fixed");
  const { id } = await asked(tenuto, run.id);
  const { decide } = { decide: tenuto.client.decide.bind(tenuto.client, id) };
  await expect(decide({ approve: true, by: "a", hash: "0".repeat(64) })).rejects.toMatchObject({
    code: "approval_changed",
  });
  await expect(decide({ approve: true, by: "a", edited: { rows: 4 } })).rejects.toMatchObject({
    code: "invalid_input",
  });
  await expect(decide({ approve: true, by: " " })).rejects.toMatchObject({ code: "invalid_input" });
  expect((await tenuto.client.approval(id)).state).toBe("open");
  await decide({ approve: true, by: "a", hash: (await tenuto.client.approval(id)).hash });
  expect((await run.wait()).state).toBe("completed");
});

it("an approval that nobody decides expires, and cannot be decided afterwards", async () => {
  const clock = new FakeClock(1_800_000_000_000);
  const tenuto = await place([declared]).open({ clock });
  const run = await tenuto.start("declared", { to: "prod" });
  const approval = await asked(tenuto, run.id);
  expect(approval.expiresAt).toBe(clock.now() + 60_000);
  clock.advance(60_001);
  expect(await run.wait()).toMatchObject({ state: "failed", error: { code: "approval_expired" } });
  await expect(tenuto.client.decide(approval.id, { approve: true, by: "late" })).rejects.toMatchObject({
    code: "approval_decided",
  });
});

it("a cancel of the run cancels what is open", async () => {
  const tenuto = await place([declared]).open();
  const run = await tenuto.start("declared", { to: "prod" });
  const approval = await asked(tenuto, run.id);
  await run.cancel();
  expect((await run.wait()).state).toBe("cancelled");
  expect((await tenuto.client.approval(approval.id)).state).toBe("cancelled");
  await expect(tenuto.client.decide(approval.id, { approve: true, by: "late" })).rejects.toMatchObject({
    code: "approval_decided",
  });
});

it("code asks in the middle, several at once, and finds the decisions after a restart", async () => {
  let begun = 0;
  const code = definePipeline({
    name: "code",
    run: async (ctx) => {
      begun += 1;
      const plan = await ctx.step("plan", () => ["drop", "create"]);
      const [first, second] = await Promise.all([
        ctx.approval("first", { title: "First?", show: plan, editable: true }),
        ctx.approval("second", { title: "Second?" }),
      ]);
      return { first: first.value, by: [first.by, second.by] };
    },
  });
  const home = place([code]);
  const before = await home.open();
  const run = await before.start("code");
  await asked(before, run.id);
  expect(await before.client.approvals({ run: run.id, state: "open" })).toHaveLength(2);
  await before.close({ drainMs: 0 });

  const between = await home.open({ work: false });
  await between.client.decide(`${run.id}:main:first`, { approve: true, by: "ann", edited: ["create"] });
  await between.close();

  const after = await home.open();
  await after.client.decide(`${run.id}:main:second`, { approve: true, by: "bob" });
  const end = await (await after.client.attach(run.id)).wait();
  expect(end).toMatchObject({ state: "completed", output: { first: ["create"], by: ["ann", "bob"] } });
  expect(begun).toBeGreaterThanOrEqual(2);
});

it("shown anew with another content, it is asked anew", async () => {
  let content = 1;
  const code = definePipeline({
    name: "changing",
    run: async (ctx) => (await ctx.approval("it", { title: "It?", show: { content } })).by,
  });
  const home = place([code]);
  const before = await home.open();
  const run = await before.start("changing");
  await asked(before, run.id);
  await before.close({ drainMs: 0 });
  content = 2;
  const between = await home.open({ work: false });
  await between.client.decide(`${run.id}:main:it`, { approve: true, by: "ann" });
  await between.close();
  const after = await home.open();
  const again = await asked(after, run.id);
  expect(again).toMatchObject({ id: `${run.id}:main:it#2`, shown: '{"content":2}' });
  await after.client.decide(again.id, { approve: true, by: "bob" });
  expect(await (await after.client.attach(run.id)).wait()).toMatchObject({ state: "completed", output: "bob" });
});
