/**
 * What must happen once although three engines, each with a home and connections of its own, could do it: decisions, starts,
 * nominal times of schedules, slots of limiters, budgets, turns of a concurrency key.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import {
  type ApprovalRow,
  type Context,
  defineAgent,
  definePipeline,
  openTenuto,
  type Pipeline,
  type Tenuto,
} from "../../src/index.ts";
import { createDatabase, sharedServer, type TestDatabase } from "../postgres/shared.ts";

const server = await sharedServer();

/** The work takes its time, so that others come between. */
const pause = (ms: number) => new Promise<void>((next) => setTimeout(next, ms));

/** How many bodies are at work at once, over all engines of this process. */
const atWork = { now: 0, most: 0, begun: 0 };

const busy = defineAgent({
  name: "once/busy",
  async run(input: { spend?: number } | null, ctx: Context) {
    atWork.begun += 1;
    atWork.now += 1;
    atWork.most = Math.max(atWork.most, atWork.now);
    await pause(15);
    if (input?.spend !== undefined) await ctx.spend("money", input.spend);
    atWork.now -= 1;
    return null;
  },
});

const PIPELINES: Pipeline<any>[] = [
  definePipeline({
    name: "asking",
    jobs: [{ id: "job", agent: busy, approval: { title: "Go on?" } }],
  }),
  definePipeline({ name: "quick", jobs: [{ id: "job", agent: busy }] }),
  definePipeline({
    name: "turns",
    concurrency: { key: "turn", onConflict: "queue" },
    jobs: [{ id: "job", agent: busy }],
  }),
  definePipeline({
    name: "only",
    concurrency: { key: "only", onConflict: "refuse" },
    jobs: [{ id: "job", agent: busy, approval: { title: "Go on?" } }],
  }),
  definePipeline({
    name: "slots",
    limiters: { gate: { concurrency: 2 } },
    jobs: [
      {
        id: "each",
        agent: busy,
        limits: ["gate"],
        forEach: { source: Array.from({ length: 30 }, (_, n) => n), concurrency: 12, window: 3 },
      },
    ],
  }),
  definePipeline({
    name: "spending",
    limiters: { money: { budget: { total: 10 } } },
    defaults: { retry: { maxRetries: 0 } },
    jobs: Array.from({ length: 20 }, (_, n) => ({
      id: `j${n}`,
      agent: busy,
      needs: [],
      input: { spend: 1 },
      allowFailure: true,
    })),
  }),
];

/** Resolves when `look` gives something, asked again whenever anybody has written. */
function seen<T>(tenuto: Tenuto, look: () => Promise<T | null>): Promise<T> {
  const { ledger } = tenuto.engine.parts;
  return new Promise((resolve, reject) => {
    const again = () =>
      void look().then((found) => {
        if (found === null) return;
        for (const off of offs) off();
        resolve(found);
      }, reject);
    const offs = [ledger.onCommit(again), ledger.onForeignWrite(again)];
    again();
  });
}

describe.skipIf(server === null)("once, by three engines", () => {
  let test: TestDatabase;
  let root: string;
  let engines: Tenuto[] = [];
  beforeAll(async () => {
    test = await createDatabase(server as string);
    root = mkdtempSync(join(tmpdir(), "tenuto-once-"));
  }, 60_000);
  afterEach(async () => {
    for (const engine of engines) await engine.close();
    engines = [];
    Object.assign(atWork, { now: 0, most: 0, begun: 0 });
  });
  afterAll(async () => {
    await test?.drop();
    rmSync(root, { recursive: true, force: true });
  });

  async function open(work = true): Promise<[Tenuto, Tenuto, Tenuto]> {
    const one = (n: number) =>
      openTenuto({
        home: join(root, `home-${n}`),
        cwd: root,
        database: test.url,
        pipelines: PIPELINES,
        concurrency: 6,
        work,
        onFault: (error) => console.error(error),
      });
    engines = await Promise.all([one(0), one(1), one(2)]);
    return engines as [Tenuto, Tenuto, Tenuto];
  }
  const spread = <T>(count: number, make: (tenuto: Tenuto, n: number) => Promise<T>) =>
    Promise.allSettled(Array.from({ length: count }, (_, n) => make(engines[n % 3] as Tenuto, n)));

  it("R-17: of 50 decisions from several machines exactly one is taken", async () => {
    const [first] = await open();
    const run = await first.start("asking");
    const approval = await seen(first, async () => (await first.client.approvals({ run: run.id }))[0] ?? null);
    const decisions = await spread(50, (tenuto, n) =>
      tenuto.client.decide(approval.id, { approve: n % 2 === 0, by: `person-${n}` }),
    );
    const taken = decisions.filter((one) => one.status === "fulfilled");
    expect(taken).toHaveLength(1);
    for (const one of decisions)
      if (one.status === "rejected") expect(one.reason).toMatchObject({ code: "approval_decided" });
    const winner = taken[0] as PromiseFulfilledResult<ApprovalRow>;
    expect((await first.client.approval(approval.id)).decidedBy).toBe(winner.value.decidedBy);
    expect((await run.wait()).state).toBe(winner.value.state === "approved" ? "completed" : "failed");
  });

  it("of 60 starts under one idempotency key there is one run, and it is carried out once", async () => {
    const [first] = await open();
    const starts = await spread(60, (tenuto) => tenuto.start("quick", {}, { idempotencyKey: "the-one" }));
    const ids = starts.map((one) => (one as PromiseFulfilledResult<{ id: string }>).value.id);
    expect(new Set(ids).size).toBe(1);
    expect((await (await first.client.attach(ids[0] as string)).wait()).state).toBe("completed");
    expect(atWork.begun).toBe(1);
  });

  it("runs of one concurrency key are at work one after the other, wherever they are", async () => {
    const [first] = await open();
    const starts = await spread(15, (tenuto) => tenuto.start("turns"));
    for (const one of starts) {
      const { id } = (one as PromiseFulfilledResult<{ id: string }>).value;
      expect((await (await first.client.attach(id)).wait()).state).toBe("completed");
    }
    expect(atWork).toMatchObject({ begun: 15, most: 1 });
    const refused = await spread(20, (tenuto) => tenuto.start("only"));
    expect(refused.filter((one) => one.status === "fulfilled")).toHaveLength(1);
    for (const one of refused)
      if (one.status === "rejected") expect(one.reason).toMatchObject({ code: "concurrency_refused" });
  });

  it("what a process has written that came and went between two looks is noticed", async () => {
    const [first] = await open();
    for (let n = 0; n < 5; n++) {
      const short = await openTenuto({
        home: join(root, "short"),
        cwd: root,
        database: test.url,
        pipelines: PIPELINES,
        work: false,
      });
      const { id } = await short.start("quick");
      await short.close();
      expect((await (await first.client.attach(id)).wait({ timeoutMs: 30_000 })).state).toBe("completed");
    }
  });

  it("a limiter's slots are those of all machines together", async () => {
    const [first, second] = await open();
    const runs = await Promise.all([first.start("slots"), second.start("slots")]);
    for (const run of runs) expect((await run.wait()).state).toBe("completed");
    expect(atWork.begun).toBe(60);
    expect(atWork.most).toBeLessThanOrEqual(2);
    expect(atWork.most).toBeGreaterThan(0);
  });

  it("a budget is spent once", async () => {
    const [first] = await open();
    const run = await first.start("spending");
    await run.wait();
    const jobs = await first.engine.parts.ledger.jobs(run.seq);
    expect(jobs.filter((job) => job.state === "completed")).toHaveLength(10);
    for (const job of jobs.filter((one) => one.state !== "completed"))
      expect(JSON.parse(job.error as string).code).toBe("budget_exhausted");
  });

  it("R-19: three engines fire each nominal time of a schedule once", async () => {
    const [first] = await open();
    await first.schedules.add({ name: "tick", pipeline: "quick", cron: "* * * * * *", missed: "all", cap: 1_000 });
    const begun = (await first.schedules.show("tick")).cursor;
    await seen(first, async () => ((await first.schedules.show("tick")).fired >= 3 ? true : null));
    await first.schedules.disable("tick");
    const row = await first.schedules.show("tick");
    const runs = await first.schedules.runs("tick", 1_000);
    const nominal = runs.map((run) => Date.parse(run.nominal)).sort((a, b) => a - b);
    const expected = [];
    for (let at = Math.floor(begun / 1_000) * 1_000 + 1_000; at <= row.cursor; at += 1_000) expected.push(at);
    // What another engine was just starting when the schedule was disabled has its run, and is not counted.
    expect(nominal.slice(0, expected.length)).toEqual(expected);
    expect(nominal.length - expected.length).toBeLessThanOrEqual(1);
    expect(new Set(nominal).size).toBe(nominal.length);
    expect(row.fired).toBe(expected.length);
    for (const run of runs) await (await first.client.attach(run.id)).wait();
    expect(atWork.begun).toBe(nominal.length);
  });
});
