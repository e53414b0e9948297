/** Schedules in real engines on one ledger file, with a clock that the test moves. R-19 for restarts and several processes. */
import { describe, expect, it } from "vitest";
import * as z from "zod";
import { startRun } from "../../src/core/changes.ts";
import { scheduleKey } from "../../src/core/scheduling.ts";
import { defineAgent, definePipeline, type Tenuto } from "../../src/index.ts";
import { startOf } from "../../src/testing/builders.ts";
import { FakeClock } from "../../src/testing/clock.ts";
import { place } from "../people/open.ts";
import { seen } from "../seen.ts";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const START = Date.UTC(2026, 2, 1, 0, 30);
const iso = (at: number) => new Date(at).toISOString();

const note = defineAgent({ name: "test/note", run: (input: unknown) => input });
const report = definePipeline({
  name: "report",
  params: z.object({ of: z.string().default("all") }),
  jobs: [{ id: "note", agent: note, input: "{{ params.of }}" }],
});
const single = definePipeline({
  name: "single",
  concurrency: { key: "one", onConflict: "refuse" },
  jobs: [{ id: "wait", agent: "test/nobody" }],
});

const PIPELINES = [report, single];

/** Time passes; timers see only that it has, as they would see it on a busy machine. */
function pass(clock: FakeClock, ms: number): void {
  clock.jump(ms);
  clock.advance(0);
}

/** Resolves when the schedule has settled everything up to a time. */
const settled = (tenuto: Tenuto, name: string, at: number) =>
  seen(tenuto, async () => {
    const row = await tenuto.schedules.show(name);
    return row.cursor >= at ? row : null;
  });

const nominals = async (tenuto: Tenuto, name: string) =>
  (await tenuto.schedules.runs(name, 1_000)).map((run) => run.nominal).reverse();

const hours = (from: number, count: number) => Array.from({ length: count }, (_, i) => iso(from + i * HOUR));

describe("firing", () => {
  it("starts the run of each nominal time, with its params and its key", async () => {
    const clock = new FakeClock(START);
    const tenuto = await place(PIPELINES).open({ clock });
    const row = await tenuto.schedules.add({
      name: "hourly",
      pipeline: "report",
      cron: "0 * * * *",
      params: { of: "north" },
      priority: "high",
    });
    expect([row.zone, row.missed, iso(row.nextAt!)]).toEqual(["UTC", "last", iso(START + 30 * MINUTE)]);
    pass(clock, 30 * MINUTE);
    await settled(tenuto, "hourly", START + 30 * MINUTE);
    pass(clock, HOUR);
    const after = await settled(tenuto, "hourly", START + 90 * MINUTE);
    expect([after.fired, after.passed, iso(after.nextAt!)]).toEqual([2, 0, iso(START + 150 * MINUTE)]);
    const runs = await tenuto.schedules.runs("hourly");
    expect(runs.map((run) => run.nominal)).toEqual([iso(START + 90 * MINUTE), iso(START + 30 * MINUTE)]);
    expect(after.lastRun).toBe(runs[0]!.id);
    const run = await tenuto.client.run(runs[0]!.id);
    expect([run.params, run.priority]).toEqual(['{"of":"north"}', "high"]);
    expect(run.idempotencyKey).toBe(`schedule:hourly:${iso(START + 90 * MINUTE)}`);
    expect((await (await tenuto.client.attach(run.id)).wait()).output).toBe("north");
  });

  it("several engines on one ledger start each time once", async () => {
    const clock = new FakeClock(START);
    const home = place(PIPELINES);
    const engines = await Promise.all([1, 2, 3].map(() => home.open({ clock })));
    await engines[0]!.schedules.add({
      name: "often",
      pipeline: "report",
      cron: "*/15 * * * *",
      missed: "all",
      cap: 1_000,
    });
    for (let step = 0; step < 8; step++) {
      pass(clock, 15 * MINUTE);
      await Promise.all(engines.map((tenuto) => settled(tenuto, "often", START + (step + 1) * 15 * MINUTE)));
    }
    const expected = Array.from({ length: 8 }, (_, i) => iso(START + (i + 1) * 15 * MINUTE));
    expect(await nominals(engines[0]!, "often")).toEqual(expected);
    const row = await engines[0]!.schedules.show("often");
    expect([row.fired, row.passed]).toEqual([8, 0]);
    expect((await engines[0]!.client.runs({ limit: 100 })).length).toBe(8);
  });

  it("a process that died between start and settling leaves one run", async () => {
    const clock = new FakeClock(START);
    const home = place(PIPELINES);
    const first = await home.open({ clock, work: false });
    await first.schedules.add({ name: "hourly", pipeline: "report", cron: "0 * * * *" });
    const nominal = START + 30 * MINUTE;
    pass(clock, 31 * MINUTE);
    // Another process got as far as the start; it had other params, too.
    const { ledger } = first.engine.parts;
    const key = scheduleKey("hourly", nominal);
    await ledger.putDefinition("v1", "report", JSON.stringify(report.document));
    const started = await ledger.apply(startRun(startOf("note", { idempotencyKey: key, requestHash: "other" })));
    const second = await home.open({ clock });
    const row = await settled(second, "hourly", nominal);
    expect([row.fired, row.lastRun]).toEqual([1, started.id]);
    expect(await nominals(second, "hourly")).toEqual([iso(nominal)]);
  });
});

describe("times at which nobody was there", () => {
  it.each([
    ["skip", undefined, [], 10],
    ["last", undefined, hours(START + 9.5 * HOUR, 1), 9],
    ["all", undefined, hours(START + 0.5 * HOUR, 10), 0],
    ["all", 3, hours(START + 7.5 * HOUR, 3), 7],
  ] as const)("%s, cap %s", async (missed, cap, expected, passed) => {
    const clock = new FakeClock(START);
    const home = place(PIPELINES);
    const before = await home.open({ clock, work: false });
    await before.schedules.add({
      name: "hourly",
      pipeline: "report",
      cron: "0 * * * *",
      missed,
      ...(cap === undefined ? {} : { cap }),
    });
    await before.close();
    pass(clock, 10 * HOUR);
    const tenuto = await home.open({ clock });
    const row = await settled(tenuto, "hourly", START + 9.5 * HOUR);
    expect(await nominals(tenuto, "hourly")).toEqual(expected);
    expect([row.fired, row.passed]).toEqual([expected.length, passed]);
    // Afterwards it goes on as usual.
    pass(clock, 30 * MINUTE);
    expect((await settled(tenuto, "hourly", START + 10.5 * HOUR)).fired).toBe(expected.length + 1);
  });

  it("a machine that slept: the clock has jumped when the timer looks", async () => {
    const clock = new FakeClock(START);
    const tenuto = await place(PIPELINES).open({ clock });
    await tenuto.schedules.add({ name: "hourly", pipeline: "report", cron: "0 * * * *" });
    clock.jump(5 * HOUR);
    pass(clock, MINUTE);
    const row = await settled(tenuto, "hourly", START + 4.5 * HOUR);
    expect([row.fired, row.passed]).toEqual([1, 4]);
  });

  it("what came while it was disabled is not made up for", async () => {
    const clock = new FakeClock(START);
    const tenuto = await place(PIPELINES).open({ clock });
    await tenuto.schedules.add({ name: "hourly", pipeline: "report", cron: "0 * * * *", missed: "all" });
    const off = await tenuto.schedules.disable("hourly");
    expect([off.enabled, off.nextAt]).toEqual([0, null]);
    pass(clock, 5 * HOUR);
    const on = await tenuto.schedules.enable("hourly");
    expect(iso(on.nextAt!)).toBe(iso(START + 5.5 * HOUR));
    pass(clock, 30 * MINUTE);
    const row = await settled(tenuto, "hourly", START + 5.5 * HOUR);
    expect([row.fired, row.passed]).toEqual([1, 0]);
  });
});

describe("R-19: clocks that are put forward or back, across restarts", () => {
  it.each([
    ["2026-03-28T12:00:00Z", ["2026-03-29T01:00:00.000Z", "2026-03-30T00:30:00.000Z"]],
    ["2026-10-24T12:00:00Z", ["2026-10-25T00:30:00.000Z", "2026-10-26T01:30:00.000Z"]],
  ])("02:30 in Berlin from %s on", async (from, expected) => {
    const clock = new FakeClock(Date.parse(from));
    const home = place(PIPELINES);
    let tenuto = await home.open({ clock });
    await tenuto.schedules.add({ name: "daily", pipeline: "report", cron: "30 2 * * *", zone: "Europe/Berlin" });
    for (let step = 0; step < 40; step++) {
      pass(clock, HOUR);
      if (step % 13 === 5) {
        await tenuto.close();
        tenuto = await home.open({ clock });
      }
      await seen(tenuto, async () => {
        const { nextAt } = await tenuto.schedules.show("daily");
        return nextAt! > clock.now() ? true : null;
      });
    }
    expect(await nominals(tenuto, "daily")).toEqual(expected);
    expect((await tenuto.schedules.show("daily")).passed).toBe(0);
  });
});

describe("starts that fail", () => {
  it("are recorded, and do not stop the next ones", async () => {
    const clock = new FakeClock(START);
    const home = place(PIPELINES);
    const tenuto = await home.open({ clock });
    await tenuto.schedules.add({ name: "alone", pipeline: "single", cron: "0 * * * *" });
    pass(clock, 30 * MINUTE);
    await settled(tenuto, "alone", START + 30 * MINUTE);
    pass(clock, HOUR);
    const row = await settled(tenuto, "alone", START + 90 * MINUTE);
    expect([row.fired, row.passed]).toEqual([1, 1]);
    expect(JSON.parse(row.lastError!)).toMatchObject({ code: "concurrency_refused" });
    await tenuto.client.cancel(row.lastRun!);
    pass(clock, HOUR);
    const free = await settled(tenuto, "alone", START + 150 * MINUTE);
    expect([free.fired, free.passed, free.lastError]).toEqual([2, 1, null]);
  });

  it("a pipeline that is not known here is left to whoever knows it", async () => {
    const clock = new FakeClock(START);
    const home = place(PIPELINES);
    const knows = await home.open({ clock, work: false });
    await knows.schedules.add({ name: "hourly", pipeline: "report", cron: "0 * * * *" });
    const ignorant = await home.open({ clock, pipelines: [] });
    pass(clock, 30 * MINUTE);
    // Another schedule shows that it has looked.
    await ignorant.templates.push({ ...report.document, name: "stored" });
    await ignorant.schedules.add({ name: "marker", pipeline: "stored", cron: "*/5 * * * *" });
    pass(clock, 5 * MINUTE);
    await settled(ignorant, "marker", START + 35 * MINUTE);
    expect((await knows.schedules.show("hourly")).cursor).toBe(START);
    const late = await home.open({ clock });
    expect((await settled(late, "hourly", START + 30 * MINUTE)).fired).toBe(1);
  });

  it("work on one run starts nothing else", async () => {
    const clock = new FakeClock(START);
    const home = place(PIPELINES);
    const tenuto = await home.open({ clock, work: false });
    await tenuto.schedules.add({ name: "hourly", pipeline: "report", cron: "0 * * * *" });
    pass(clock, HOUR);
    const run = await tenuto.start("report");
    await tenuto.work({ run: run.seq });
    await run.wait();
    pass(clock, MINUTE);
    expect((await tenuto.schedules.show("hourly")).cursor).toBe(START);
    expect((await tenuto.client.runs()).length).toBe(1);
  });
});

describe("what is refused before anything is written", () => {
  it.each([
    [{ name: "a b" }, "invalid_input", "can't be the name of a schedule"],
    [{ cron: "61 * * * *" }, "invalid_input", "Invalid value for minute"],
    [{ zone: "Mars/Olympus" }, "invalid_input", "is no time zone"],
    [{ pipeline: "reprot" }, "unknown_pipeline", "no pipeline or template"],
    [{ params: { fo: "x" } }, "invalid_params", "there is no such param"],
    [{ missed: "some" as "all" }, "invalid_input", "missed must be"],
    [{ cap: 0 }, "invalid_input", "cap must be"],
    [{ exclude: { jobs: ["nothing"] } }, "invalid_input", 'there is no job "nothing"'],
  ])("%j", async (wrong, code, message) => {
    const tenuto = await place(PIPELINES).open({ work: false });
    const input = { name: "s", pipeline: "report", cron: "0 * * * *", ...wrong };
    await expect(tenuto.schedules.add(input)).rejects.toMatchObject({
      code,
      message: expect.stringContaining(message),
    });
    expect(await tenuto.schedules.list()).toEqual([]);
  });

  it("a name that is taken, a schedule that is not there", async () => {
    const tenuto = await place(PIPELINES).open({ work: false });
    const input = { name: "nightly", pipeline: "report", cron: "0 2 * * *" };
    await tenuto.schedules.add(input);
    await expect(tenuto.schedules.add(input)).rejects.toMatchObject({ code: "conflict" });
    await expect(tenuto.schedules.show("nightyl")).rejects.toMatchObject({
      code: "not_found",
      hint: 'Did you mean "nightly"?',
    });
    expect((await tenuto.schedules.next("nightly")).length).toBe(5);
    await tenuto.schedules.remove("nightly");
    await expect(tenuto.schedules.remove("nightly")).rejects.toMatchObject({ code: "not_found" });
  });
});
