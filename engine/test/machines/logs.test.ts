/** Logs of a run that several machines work on, read on another one: one PostgreSQL, a sink for each machine. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type Database, openDatabase } from "../../src/ledger/postgres/index.ts";
import { migrate } from "../../src/ledger/postgres/migrate.ts";
import { type DatabaseLogs, type DatabaseLogsOptions, openDatabaseLogs } from "../../src/logs/database.ts";
import { openLogFiles } from "../../src/logs/files.ts";
import type { LogLine } from "../../src/ports/log-sink.ts";
import { FakeClock } from "../../src/testing/clock.ts";
import { Relay } from "../postgres/relay.ts";
import { createDatabase, sharedServer, type TestDatabase } from "../postgres/shared.ts";

const server = await sharedServer();
let test: TestDatabase;
let relay: Relay;
let db: Database;
let root: string;
let sinks: DatabaseLogs[] = [];
const clock = new FakeClock(1_700_000_000_000);

describe.skipIf(server === null)("logs of several machines", () => {
  beforeAll(async () => {
    test = await createDatabase(server as string);
    relay = new Relay(test.url);
    await relay.listen();
    db = openDatabase({ url: relay.url(test.url), writers: 2, readers: 0 });
    await migrate(db);
  }, 60_000);
  afterAll(async () => {
    await db?.close();
    await relay?.close();
    await test?.drop();
  }, 60_000);
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), "tenuto-shared-logs-"));
    sinks = [];
  });
  afterEach(async () => {
    for (const sink of sinks) await sink.close();
    rmSync(root, { recursive: true, force: true });
    for (const table of ["log_head", "log_chunk", "output", "output_chunk"]) await db.query(`DELETE FROM ${table}`);
  });

  function machine(name: string, options: Partial<DatabaseLogsOptions> = {}): DatabaseLogs {
    const sink = openDatabaseLogs(db, openLogFiles(join(root, name), { clock }), { clock, ...options });
    sinks.push(sink);
    return sink;
  }

  const line = (message: string, more: Partial<LogLine> = {}): LogLine => ({
    at: 1_700_000_000_000,
    run: "run-1",
    agent: "a/b",
    level: "INFO",
    message,
    ...more,
  });

  async function read(sink: DatabaseLogs, options = {}, run = "run-1") {
    const found = [];
    for await (const one of sink.read(run, options)) found.push(one);
    return found;
  }

  const count = async (table: string) => (await db.query<{ n: number }>(`SELECT count(*) AS n FROM ${table}`))[0]?.n;

  it("lines of many machines have numbers without gaps, each machine's in its order, from any number on", async () => {
    const writers = [machine("a"), machine("b"), machine("c")];
    const watcher = machine("w");
    for (let round = 0; round < 20; round++) {
      for (const [at, sink] of writers.entries())
        for (let n = 0; n < 50; n++)
          sink.line(line(`${at}:${round * 50 + n}`, { job: `job${at}`, level: n === 7 ? "ERROR" : "INFO" }));
      if (round % 5 === 0) await Promise.all(writers.map((sink) => sink.flush()));
    }
    await Promise.all(writers.map((sink) => sink.flush()));
    const found = await read(watcher);
    expect(found.map((one) => one.number)).toEqual(Array.from({ length: 3_000 }, (_, at) => at + 1));
    for (const at of writers.keys())
      expect(found.filter((one) => one.job === `job${at}`).map((one) => one.message)).toEqual(
        Array.from({ length: 1_000 }, (_, n) => `${at}:${n}`),
      );
    expect(await watcher.lines("run-1")).toBe(3_000);
    for (const after of [0, 1, 49, 50, 1_234, 2_999])
      expect((await read(watcher, { after }))[0], `after ${after}`).toEqual(found[after]);
    expect(await read(watcher, { after: 3_000 })).toEqual([]);
    expect(await read(watcher, { level: "ERROR", job: "job1" })).toHaveLength(20);
    const file = await watcher.logFile("run-1");
    expect(readFileSync(file as string, "utf8").split("\n")).toHaveLength(3_001);
    expect(await watcher.logFile("none")).toBeNull();
  });

  it("whoever watches has never read a number before a smaller one is there", async () => {
    const writers = ["a", "b", "c", "d"].map((name) => machine(name));
    const watcher = machine("w");
    let last = 0;
    let written = 0;
    const watch = async () => {
      while (last < 2_000) {
        for (const one of await read(watcher, { after: last })) {
          expect(one.number).toBe(last + 1);
          last = one.number;
        }
      }
    };
    const write = async (sink: DatabaseLogs) => {
      while (written < 2_000) {
        for (let n = 0; n < 10 && written < 2_000; n++) sink.line(line(`m${written++}`));
        await sink.flush();
      }
    };
    await Promise.all([watch(), ...writers.map(write)]);
    expect(last).toBe(2_000);
  });

  it("whatever a message holds comes back, and a machine reads its own lines at once", async () => {
    const sink = machine("a");
    const messages = ["a\u0000b", "two\nlines", "\ud800 half", 'quote " and \\', "\u2028", "x".repeat(60_000)];
    for (const message of messages) sink.line(line(message));
    const found = await read(sink);
    expect(found.map((one) => one.message)).toEqual(messages);
  });

  it("a log that grows too long keeps its beginning and its end, and tells what is missing", async () => {
    const sink = machine("a", { runChars: 200_000 });
    for (let n = 0; n < 20_000; n++) {
      sink.line(line(`line ${n}`));
      if (n % 100 === 99) await sink.flush();
    }
    const found = await read(machine("w"));
    const chars = (await db.query<{ n: number }>("SELECT sum(length(body)) AS n FROM log_chunk"))[0]?.n as number;
    expect(chars).toBeLessThanOrEqual(220_000);
    expect(found[0]?.message).toBe("line 0");
    expect(found.at(-1)).toMatchObject({ message: "line 19999", number: 20_000 });
    const gaps = found.filter((one) => one.message.includes("are missing here"));
    expect(gaps).toHaveLength(1);
    const missing = Number(gaps[0]?.message.split(" ")[0]);
    expect(found.length - 1 + missing).toBe(20_000);
  });

  it("while the database is away nothing waits, and afterwards each line is there once, or counted as lost", async () => {
    const told: string[] = [];
    const sink = machine("a", { onProblem: (error) => told.push(error.message), bufferChars: 50_000 });
    sink.line(line("before"));
    await sink.flush();
    await relay.close();
    for (let n = 0; n < 1_000; n++) sink.line(line(`during ${n}`));
    await relay.listen();
    await sink.flush();
    sink.line(line("after"));
    await sink.flush();
    const found = (await read(machine("w"))).map((one) => one.message);
    const during = found.filter((message) => message.startsWith("during"));
    expect(during).toEqual(Array.from({ length: during.length }, (_, n) => `during ${n}`));
    expect(during.length).toBeLessThan(1_000);
    expect(found.at(-2)).toBe(
      `${1_000 - during.length} log lines before this one were lost, they could not be written`,
    );
    expect([found[0], found.at(-1)]).toEqual(["before", "after"]);
  });

  const bytes = async (sink: DatabaseLogs, attempt: number) => {
    const path = await sink.outputFile("run-1", "job/x", attempt, null);
    return path === null ? null : readFileSync(path);
  };

  it("raw output is seen elsewhere while the program runs, and whole when it has ended", async () => {
    const here = machine("here");
    const there = machine("there");
    const output = here.output("run-1", "job/x", 1, null, 1_000_000);
    output.write("stdout", Buffer.from("first "));
    await here.flush();
    expect((await bytes(there, 1))?.toString()).toBe("first ");
    output.write("stderr", Buffer.from("second"));
    await output.close();
    expect((await bytes(there, 1))?.toString()).toBe("first second");
    expect((await bytes(here, 1))?.toString()).toBe("first second");
    expect(await bytes(there, 2)).toBeNull();
    expect(await there.outputs("run-1", 10)).toHaveLength(1);
    const silent = here.output("run-1", "job/x", 2, null, 1_000_000);
    await silent.close();
    expect(await bytes(there, 2)).toBeNull();
  });

  it("of long raw output the first and the last part travel; on its own machine there is more", async () => {
    const here = machine("here", { outputBytes: 20_000 });
    const there = machine("there");
    const all = Buffer.from(Array.from({ length: 10_000 }, (_, n) => `${String(n).padStart(9, "0")}\n`).join(""));
    const output = here.output("run-1", "job/x", 1, null, 1_000_000);
    for (let at = 0; at < all.length; at += 777) output.write("stdout", all.subarray(at, at + 777));
    await output.close();
    expect((await bytes(here, 1))?.equals(all)).toBe(true);
    const seen = (await bytes(there, 1)) as Buffer;
    expect(seen.subarray(0, 10_000).equals(all.subarray(0, 10_000))).toBe(true);
    expect(seen.subarray(-10_000).equals(all.subarray(-10_000))).toBe(true);
    expect(seen.toString()).toContain("\n[tenuto: 80000 bytes are missing here, the log is capped]\n");
  });

  it("what belongs to a run goes with it, also when nobody removed it at the time", async () => {
    const sink = machine("a");
    for (const run of ["gone", "left", "kept"]) {
      sink.line(line("x", { run }));
      const output = sink.output(run, "j", 1, null, 100);
      output.write("stdout", Buffer.from("y"));
      await output.close();
    }
    await db.query("INSERT INTO definition (version, name, document, created_at) VALUES ('v', 'p', '{}', 0)");
    await db.query(
      `INSERT INTO run (seq, id, pipeline, version, state, priority, stage_count, job_count, open_jobs, live_jobs, waiting_jobs,
      failed_jobs, spawned_jobs, first_job, propagating, event_seq, created_at, row_version)
     VALUES (1, 'kept', 'p', 'v', 'pending', 'normal', 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0)`,
    );
    await sink.flush();
    await sink.forget(["gone"]);
    expect([await count("log_head"), await count("output")]).toEqual([2, 2]);
    expect(await sink.sweep()).toBe(0);
    expect(await sink.sweep(-1)).toBe(1);
    expect([await count("log_chunk"), await count("output_chunk")]).toEqual([1, 1]);
    expect(await read(sink, {}, "kept")).toHaveLength(1);
  });
});
