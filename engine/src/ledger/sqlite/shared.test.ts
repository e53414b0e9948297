/**
 * several processes with several writers each on one file, a lock held from outside, a long reader: no error reaches
 * anybody, no event loop is held up, the log stays short. R-45: a full disk is said, and forgotten when there is room.
 */
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import Database from "better-sqlite3";
import { afterEach, beforeEach, expect, it } from "vitest";
import * as changes from "../../core/changes.ts";
import { auditFile } from "../../testing/auditor.ts";
import { startOf } from "../../testing/builders.ts";
import { FakeClock } from "../../testing/clock.ts";
import { codeOf, World } from "../../testing/world.ts";
import { openSqliteLedger } from "./index.ts";

const CHILD = fileURLToPath(new URL("./writers.child.ts", import.meta.url));
const LONG = process.env["LONG"] === "1";
const PROCESSES = LONG ? 8 : 4;
const FOR_MS = LONG ? 60_000 : 3_000;

let folder: string;
let path: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "tenuto-shared-"));
  path = join(folder, "ledger.db");
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

interface Report {
  runs: string[];
  errors: string[];
  completed: number;
}

function writers(name: string): Promise<Report> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, ["--conditions=source", CHILD, path, name, String(FOR_MS)]);
    let out = "";
    let errors = "";
    child.stdout.on("data", (chunk) => {
      out += chunk;
    });
    child.stderr.on("data", (chunk) => {
      errors += chunk;
    });
    child.on("close", () => (errors === "" ? resolve(JSON.parse(out) as Report) : reject(new Error(errors))));
  });
}

it(`R-42: ${PROCESSES} processes with 4 writers, a lock from outside, a long reader`, {
  timeout: FOR_MS * 3 + 60_000,
}, async () => {
  const all = Promise.all(Array.from({ length: PROCESSES }, (_, n) => writers(`p${n}`)));
  await waitFor(() => openRuns(path) > 20);
  const outside = new Database(path, { timeout: 20_000 });
  const reader = new Database(path, { readonly: true });
  reader.exec("BEGIN");
  reader.prepare("SELECT count(*) FROM run").get();
  outside.exec("BEGIN EXCLUSIVE");
  await new Promise((next) => setTimeout(next, LONG ? 10_000 : 1_000));
  outside.exec("COMMIT");
  const reports = await all;
  reader.exec("COMMIT");
  reader.close();
  expect(reports.flatMap((report) => report.errors)).toEqual([]);
  const acknowledged = reports.flatMap((report) => report.runs);
  expect(acknowledged.length).toBeGreaterThan(50);
  const audit = await auditFile({ database: path, acknowledged });
  expect(audit.problems).toEqual([]);
  outside.pragma("wal_checkpoint(TRUNCATE)");
  expect(statSync(`${path}-wal`).size).toBeLessThan(64 * 1024 * 1024);
  outside.close();
});

function openRuns(file: string): number {
  try {
    const db = new Database(file, { readonly: true, fileMustExist: true });
    try {
      return db.prepare("SELECT count(*) FROM run").pluck().get() as number;
    } finally {
      db.close();
    }
  } catch {
    return 0;
  }
}

async function waitFor(test: () => boolean): Promise<void> {
  const deadline = performance.now() + 30_000;
  while (!test()) {
    if (performance.now() > deadline) throw new Error("it never came to be");
    await new Promise((next) => setTimeout(next, 20));
  }
}

it("R-42: a foreign lock does not hold up the event loop; what waits for it is committed or refused, never forgotten", async () => {
  const clock = new FakeClock();
  const ledger = openSqliteLedger({ path, clock, lockWaitMs: 400 });
  const world = new World(ledger, clock);
  const boot = await world.boot();
  await world.start("a");
  const outside = new Database(path);
  outside.exec("BEGIN IMMEDIATE");
  let turns = 0;
  const ticker = setInterval(() => {
    turns += 1;
  }, 1);
  const claim = world.claim(boot);
  const start = ledger.apply(changes.startRun(startOf("b", { id: "late" })));
  await waitFor(() => turns > 3);
  outside.exec("COMMIT");
  expect((await start).id).toBe("late");
  expect((await claim).length).toBeGreaterThan(0);
  outside.exec("BEGIN IMMEDIATE");
  expect(await codeOf(ledger.apply(changes.startRun(startOf("c"))))).toBe("ledger_busy");
  const forgotten = codeOf(ledger.apply(changes.startRun(startOf("d"))));
  await ledger.close();
  expect(await forgotten).toBe("ledger_unavailable");
  clearInterval(ticker);
  outside.exec("COMMIT");
  outside.close();
});

it("R-45: without room nothing is accepted and nothing is lost; with room it goes on, put-off work included", async () => {
  const clock = new FakeClock();
  const ledger = openSqliteLedger({ path, clock });
  const world = new World(ledger, clock);
  const boot = await world.boot();
  const wide = Array.from({ length: 1_500 }, (_, n) => `j${n}`).join(" ");
  const run = await world.start(`a | ${wide}`);
  const held = await world.claimJob(boot, run.seq, "a");
  const pages = ledger.db.pragma("page_count", { simple: true }) as number;
  ledger.db.pragma(`max_page_count = ${pages}`);
  const payload = JSON.stringify("x".repeat(100_000));
  expect(await codeOf(world.complete(held, payload))).toBe("disk_full");
  expect(await codeOf(world.complete(held, payload))).toBe("disk_full");
  expect((await world.job(run.seq, "a")).state).toBe("running");
  expect((await auditFile({ database: path, acknowledged: [run.id] })).problems).toEqual([]);
  ledger.db.pragma("max_page_count = 1073741823");
  await world.complete(held, payload);
  await world.finish(boot);
  await waitFor(() => ledger.db.prepare("SELECT count(*) FROM propagation").pluck().get() === 0);
  await world.finish(boot);
  expect((await world.run(run.seq)).state).toBe("completed");
  await ledger.close();
});
