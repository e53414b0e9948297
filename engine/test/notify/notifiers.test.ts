/** Notifiers in real engines: what is told, once, by whom, and that no run is harmed. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { describe, expect, it, onTestFinished } from "vitest";
import { DELIVERY_CLAIM_MS, DELIVERY_DELAYS_MS } from "../../src/core/delivery.ts";
import { defineAgent, definePipeline, type Message, type NotifierSpec, type Tenuto } from "../../src/index.ts";
import { FakeClock } from "../../src/testing/clock.ts";
import { asked, place } from "../people/open.ts";
import { seen } from "../seen.ts";

const START = Date.UTC(2026, 2, 1);
const MINUTE = 60_000;

const PIPELINES = [
  definePipeline({ name: "good", jobs: [{ id: "a", agent: defineAgent({ name: "test/good", run: () => 1 }) }] }),
  definePipeline({
    name: "bad",
    jobs: [
      { id: "may", agent: "test/bad", allowFailure: true },
      { id: "must", agent: defineAgent({ name: "test/bad", run: () => Promise.reject(new Error("no\nat all")) }) },
    ],
  }),
  definePipeline({
    name: "asks",
    jobs: [{ id: "a", agent: "test/good", approval: { title: "Go on?", expiresSeconds: 3_600 } }],
  }),
  definePipeline({ name: "long", jobs: [{ id: "a", agent: "test/nobody" }] }),
];

/** A server that keeps what it gets, answering with the statuses in turn, the last one for ever. */
async function receiver(...statuses: number[]) {
  const messages: Message[] = [];
  const waiting: (() => void)[] = [];
  const server = createServer(async (request, response) => {
    let body = "";
    for await (const chunk of request) body += chunk;
    response.writeHead(statuses[Math.min(messages.length, statuses.length - 1)] ?? 200).end();
    messages.push(JSON.parse(body) as Message);
    for (const wake of waiting.splice(0)) wake();
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const spec: NotifierSpec = {
    name: "team",
    webhook: { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`, allowPrivate: true },
  };
  const count = async (wanted: number) => {
    while (messages.length < wanted) await new Promise<void>((wake) => waiting.push(wake));
    return messages;
  };
  return { spec, messages, count };
}

/** Time passes; timers see only that it has. */
function pass(clock: FakeClock, ms: number): void {
  clock.jump(ms);
  clock.advance(0);
}

/** Lets time go on, a little at a time, until something has happened. */
async function going<T>(clock: FakeClock, done: Promise<T>): Promise<T> {
  let over = false;
  const watched = done.finally(() => {
    over = true;
  });
  while (!over) {
    clock.advance(250);
    await new Promise((next) => setImmediate(next));
  }
  return await watched;
}

const settled = (tenuto: Tenuto, state: string, count = 1) =>
  seen(tenuto, async () => {
    const rows = (await tenuto.engine.parts.ledger.deliveries({})).filter(
      (row) => row.state === state && row.attempts > 0,
    );
    return rows.length >= count ? rows : null;
  });

describe("what is told", () => {
  it("to those who answer, while others do not", async () => {
    const { spec, count } = await receiver();
    const silent = createServer(() => {});
    await new Promise<void>((done) => silent.listen(0, "127.0.0.1", done));
    const url = `http://127.0.0.1:${(silent.address() as AddressInfo).port}/`;
    const mute: NotifierSpec = { name: "mute", webhook: { url, allowPrivate: true } };
    const tenuto = await place(PIPELINES).open({ notifiers: [mute, spec] });
    const runs = await Promise.all(Array.from({ length: 20 }, () => tenuto.start("good")));
    await Promise.all(runs.map((run) => run.wait()));
    expect(new Set((await count(20)).map((message) => message.run.id)).size).toBe(20);
    // What is on its way to it need not be waited for.
    silent.close();
    silent.closeAllConnections();
  });

  it("how runs ended, with what to do", async () => {
    const { spec, count } = await receiver();
    const tenuto = await place(PIPELINES).open({ notifiers: [spec] });
    await (await tenuto.start("good")).wait();
    await count(1);
    await (await tenuto.start("bad")).wait();
    const [good, bad] = await count(2);
    expect(good).toMatchObject({
      occasion: "completed",
      title: expect.stringMatching(/^Run good-1 of good completed in \d+ s$/),
      run: { id: "good-1", state: "completed", jobs: { total: 1, ended: 1, failed: 0 } },
      failure: null,
    });
    expect(bad).toMatchObject({
      occasion: "failed",
      failure: { job: "must", message: "no" },
      text: expect.stringContaining("tenuto runs retry bad-2"),
    });
    const rows = await settled(tenuto, "delivered", 2);
    expect(rows.map((row) => row.attempts)).toEqual([1, 1]);
  });

  it("a retry that ends again is told again", async () => {
    const { spec, count } = await receiver();
    const tenuto = await place(PIPELINES).open({ notifiers: [spec] });
    const run = await tenuto.start("bad");
    await run.wait();
    await count(1);
    await tenuto.client.retry(run.id);
    const messages = await count(2);
    expect(messages.map((message) => message.occasion)).toEqual(["failed", "failed"]);
    expect(new Set(messages.map((message) => message.id)).size).toBe(2);
  });

  it("that a run waits for a decision", async () => {
    const clock = new FakeClock(START);
    const { spec, count } = await receiver();
    const tenuto = await place(PIPELINES).open({ notifiers: [spec], clock });
    const run = await tenuto.start("asks");
    const approval = await asked(tenuto, run.id);
    const [message] = await going(clock, count(1));
    expect(message).toMatchObject({
      occasion: "approval",
      title: `Run ${run.id} of asks waits for a decision: Go on?`,
      approval: { id: approval.id, hash: approval.hash, expiresAt: new Date(START + 3_600_000).toISOString() },
    });
    expect(message!.text).toContain(`tenuto approve ${approval.id}`);
  });

  it("how far a run is, every quarter of an hour; what nobody could tell is left out", async () => {
    const clock = new FakeClock(START);
    const { spec, count, messages } = await receiver();
    const home = place(PIPELINES);
    const tenuto = await home.open({ notifiers: [spec], clock });
    const run = await tenuto.start("long");
    for (const [quarter, text] of [
      [1, "15 min"],
      [2, "30 min"],
    ] as const) {
      pass(clock, 15 * MINUTE);
      await going(clock, count(quarter));
      expect(messages[quarter - 1]).toMatchObject({
        occasion: "progress",
        title: `Run ${run.id} of long has been running for ${text}: 0 of 1 jobs in stage main`,
      });
      await settled(tenuto, "delivered", quarter);
    }
    await tenuto.close();
    pass(clock, 100 * MINUTE);
    const again = await home.open({ notifiers: [spec], clock });
    await going(clock, count(3));
    expect(messages[2]!.title).toContain("2 h 10 min");
    await again.client.cancel(run.id);
    expect(messages.length).toBe(3);
  });

  it("only what was asked for", async () => {
    const { spec, count, messages } = await receiver();
    const only: NotifierSpec = { ...spec, on: ["failed"], pipelines: ["bad"] };
    const tenuto = await place(PIPELINES).open({ notifiers: [only] });
    await (await tenuto.start("good")).wait();
    await (await tenuto.start("bad")).wait();
    await count(1);
    await tenuto.close();
    expect(messages.map((message) => message.run.pipeline)).toEqual(["bad"]);
  });

  it("on standard error, by a notifier of kind log", async () => {
    const lines: string[] = [];
    const tenuto = await place(PIPELINES).open({
      notifiers: [{ name: "here", log: true }],
      onNotice: (text) => lines.push(text),
    });
    await (await tenuto.start("good")).wait();
    await settled(tenuto, "delivered");
    expect(lines).toEqual([expect.stringMatching(/^Run good-1 of good completed in \d+ s\n1 of 1 jobs$/)]);
  });
});

describe("at least once, by one sender", () => {
  it("several engines tell each thing once", async () => {
    const { spec, count, messages } = await receiver();
    const home = place(PIPELINES);
    const engines = await Promise.all([1, 2, 3].map(() => home.open({ notifiers: [spec] })));
    const runs = await Promise.all(
      Array.from({ length: 10 }, (_, i) => engines[i % 3]!.start(i % 2 === 0 ? "good" : "bad")),
    );
    await Promise.all(runs.map((run) => run.wait()));
    await count(10);
    await Promise.all(engines.map((tenuto) => tenuto.close()));
    expect(messages.length).toBe(10);
    expect(new Set(messages.map((message) => message.id)).size).toBe(10);
  });

  it("what ended while no notifier was there is told when one comes back, but nothing from before its time", async () => {
    const { spec, count, messages } = await receiver();
    const home = place(PIPELINES);
    const without = await home.open();
    await (await without.start("good")).wait();
    const first = await home.open({ notifiers: [spec] });
    await first.close();
    const missed = await without.start("bad");
    await missed.wait();
    const later = await home.open({ notifiers: [spec] });
    await count(1);
    await later.close();
    expect(messages.map((message) => message.run.id)).toEqual([missed.id]);
  });

  it("a sender that died is succeeded when its claim runs out", async () => {
    const clock = new FakeClock(START);
    const { spec, count } = await receiver();
    const home = place(PIPELINES);
    const hangs = createServer(() => {});
    await new Promise<void>((done) => hangs.listen(0, "127.0.0.1", done));
    onTestFinished(() => {
      hangs.closeAllConnections();
      hangs.close();
    });
    const url = `http://127.0.0.1:${(hangs.address() as AddressInfo).port}/`;
    const first = await home.open({ clock, notifiers: [{ ...spec, webhook: { url, allowPrivate: true } }] });
    await (await first.start("good")).wait();
    await settled(first, "sending");
    // The first never reports: its server never answers, and its time never passes.
    const second = await home.open({ clock, notifiers: [spec] });
    expect((await second.engine.parts.ledger.deliveries({}))[0]).toMatchObject({ state: "sending", attempts: 1 });
    clock.jump(DELIVERY_CLAIM_MS + MINUTE);
    const third = await home.open({ clock, notifiers: [spec] });
    await going(clock, count(1));
    expect((await settled(third, "delivered"))[0]).toMatchObject({ attempts: 2 });
  });
});

describe("trouble with a notifier", () => {
  it("is tried again after longer and longer, and the run ends as it would", async () => {
    const clock = new FakeClock(START);
    const { spec, count } = await receiver(503, 500, 200);
    const tenuto = await place(PIPELINES).open({ notifiers: [spec], clock });
    expect((await (await tenuto.start("good")).wait()).state).toBe("completed");
    for (const [attempt, delay] of DELIVERY_DELAYS_MS.slice(0, 2).entries()) {
      const messages = await going(clock, count(attempt + 1));
      expect(messages[attempt]).toEqual(messages[0]);
      const [row] = await settled(tenuto, "pending");
      expect(row).toMatchObject({ attempts: attempt + 1, error: expect.stringContaining("answered 50") });
      expect(row!.dueAt).toBeGreaterThan(clock.now() + delay - 1_000);
      pass(clock, delay);
    }
    const [row] = await going(clock, settled(tenuto, "delivered"));
    expect(row).toMatchObject({ attempts: 3, error: null });
  });

  it("that no attempt can mend is recorded at once", async () => {
    const { spec } = await receiver(404);
    const tenuto = await place(PIPELINES).open({ notifiers: [spec] });
    expect((await (await tenuto.start("good")).wait()).state).toBe("completed");
    expect((await settled(tenuto, "failed"))[0]).toMatchObject({ attempts: 1, error: expect.stringContaining("404") });
  });

  it("a program that fails harms nobody", async () => {
    const faults: unknown[] = [];
    const tenuto = await place(PIPELINES).open({
      notifiers: [{ name: "mail", command: [process.execPath, "-e", "process.exit(9)"] }],
      onFault: (error) => faults.push(error),
    });
    expect((await (await tenuto.start("good")).wait()).state).toBe("completed");
    expect((await settled(tenuto, "pending"))[0]).toMatchObject({ error: expect.stringContaining("ended with 9") });
    expect(faults).toEqual([]);
  });

  it("a wrong configuration is told when the engine opens", async () => {
    const opening = place(PIPELINES).open({ notifiers: [{ name: "team" }] });
    await expect(opening).rejects.toMatchObject({ code: "invalid_config" });
  });
});
