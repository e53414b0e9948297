/**
 * engines that are killed with SIGKILL again and again while a schedule fires every second: each second has one run,
 * none has two, and each end is told at least once.
 */
import { type ChildProcess, fork } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, expect, test } from "vitest";
import { type Message, openTenuto } from "../../src/index.ts";
import { between, figure, SEED, seeded } from "../crash/seeded.ts";
import { place } from "../people/open.ts";
import { seen } from "../seen.ts";
import { PIPELINES } from "./apps/tick.ts";

const KILLS = figure("KILLS", 4);
const CHILD = fileURLToPath(new URL("./apps/scheduler.child.ts", import.meta.url));
const running = new Set<ChildProcess>();
afterAll(() => {
  for (const child of running) child.kill("SIGKILL");
});

/** One engine after the other, each killed after a while. */
async function killed(times: number, home: string, told: string, random: () => number): Promise<void> {
  for (let kill = 0; kill < times; kill++) {
    const child = fork(CHILD, [home, told], {
      execArgv: ["--conditions=source"],
      stdio: ["ignore", "ignore", "pipe", "ipc"],
    });
    running.add(child);
    let said = "";
    child.stderr?.on("data", (chunk) => {
      said += chunk;
    });
    const exited = new Promise<"exited">((done) => child.once("exit", () => done("exited")));
    const opened = new Promise<"open">((done) => child.once("message", () => done("open")));
    expect(await Promise.race([opened, exited]), said).toBe("open");
    const timer = setTimeout(() => child.kill("SIGKILL"), between(random, 50, 1_500));
    await exited;
    clearTimeout(timer);
    running.delete(child);
  }
}

test(`${2 * KILLS} kills of two engines`, { timeout: 120_000 + KILLS * 12_000 }, async () => {
  const random = seeded(SEED);
  const { home, open } = place(PIPELINES);
  const told = join(home, "told.jsonl");
  const first = await openTenuto({ home, cwd: home, pipelines: PIPELINES, work: false });
  await first.schedules.add({ name: "tick", pipeline: "tick", cron: "* * * * * *", missed: "all", cap: 1_000 });
  const begun = (await first.schedules.show("tick")).cursor;
  await first.close();
  await Promise.all([killed(KILLS, home, told, random), killed(KILLS, home, told, random)]);

  const append = `require("fs").appendFileSync(${JSON.stringify(told)}, require("fs").readFileSync(0, "utf8"))`;
  const last = await open({
    notifiers: [{ name: "file", on: ["completed"], command: [process.execPath, "-e", append] }],
  });
  const now = Date.now();
  await seen(last, async () => ((await last.schedules.show("tick")).cursor >= now - 1_000 ? true : null));
  await last.schedules.disable("tick");
  const row = await last.schedules.show("tick");
  const runs = await last.schedules.runs("tick", 10_000);
  for (const run of runs) await (await last.client.attach(run.id)).wait();
  // Whatever was claimed by an engine that died is told again when its claim runs out: not waited for here.
  await last.close();

  const seconds = runs.map((run) => Date.parse(run.nominal)).reverse();
  const expected: number[] = [];
  for (let at = Math.floor(begun / 1_000) * 1_000 + 1_000; at <= row.cursor; at += 1_000) expected.push(at);
  expect(seconds).toEqual(expected);
  expect([row.fired, row.passed]).toEqual([expected.length, 0]);

  const lines = existsSync(told) ? readFileSync(told, "utf8").trim().split("\n") : [];
  const heard = new Set(lines.map((line) => (JSON.parse(line) as Message).run.id));
  const ledger = await openTenuto({ home, cwd: home, pipelines: PIPELINES, work: false });
  const deliveries = await ledger.engine.parts.ledger.deliveries({ limit: 10_000 });
  await ledger.close();
  expect(new Set(deliveries.map((one) => one.run)).size).toBe(runs.length);
  expect(deliveries.length).toBe(runs.length);
  const untold = runs.filter((run) => !heard.has(run.id));
  const open_ = deliveries.filter((one) => one.state !== "delivered");
  expect(untold.length).toBeLessThanOrEqual(open_.length);
  console.log(
    `R-19: ${2 * KILLS} kills, ${runs.length} seconds with one run each; ${lines.length} messages about ${heard.size} runs, ${open_.length} still claimed by dead engines`,
  );
});
