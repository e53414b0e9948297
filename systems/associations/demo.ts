/**
 * The demonstration: a directory of 1,134 members that do not exist is served on loopback and extracted.
 *
 *   npm run demo                 maps, crawls, extracts and writes, and says what failed and why
 *   npm run demo -- --crash      kills the engine with SIGKILL half-way, starts it again, and proves that nothing was fetched twice
 *
 * The site lives in this process, so that its counters survive the kill; with --crash the engine lives in a child.
 */

import type { ChildProcess } from "node:child_process";
import { spawn } from "node:child_process";
import { mkdir } from "node:fs/promises";
import { join, relative, resolve } from "node:path";
import { parseArgs } from "node:util";
import { openTenuto } from "tenuto";
import { readJsonl } from "./adapters/files.ts";
import type { FixtureSite } from "./fixtures/site.ts";
import { FIXTURE_CODE, startSite, writeSiteConfig } from "./fixtures/site.ts";
import { associationsPipeline } from "./pipeline.ts";

// A person watches this: what went wrong and how to mend it, without a stack.
process.once("uncaughtException", (error: Error & { hint?: string }) => {
  process.stderr.write(`error: ${error.message}\n${error.hint === undefined ? "" : `hint:  ${error.hint}\n`}`);
  process.exit(1);
});

const { values: options } = parseArgs({
  options: {
    crash: { type: "boolean", default: false },
    home: { type: "string", default: ".tenuto" },
    port: { type: "string", default: "8137" },
    rate: { type: "string", default: "200" },
    /** Set for the child: the key under which its run is found again. */
    child: { type: "string" },
  },
});

const IN_FLIGHT_MS = 250;
const home = resolve(options.home);
const work = join(home, "demo");
const configDir = join(work, "config");
const dataDir = join(work, "data");

interface RunReport {
  id: string;
  state: string;
  error: string | null;
  /** Why members were left out. */
  reasons: string[];
}

const report: { run: RunReport | null } = { run: null };

if (options.child === undefined) await main();
else await extract(options.child);

/** Starts the run, or finds the one that a killed process began, and waits for its end. */
async function extract(idempotencyKey: string): Promise<void> {
  const tenuto = await openTenuto({
    home,
    pipelines: [associationsPipeline({ ratePerSecond: Number(options.rate) })],
  });
  try {
    const params = { association: FIXTURE_CODE, configDir, dataDir };
    const run = await tenuto.start("associations", params, { idempotencyKey });
    const { id, state, error } = await run.wait();
    const leftOut = (job: string) => tenuto.client.items(id, job, { states: ["failed", "skipped"] }).catch(() => []);
    const items = [...(await leftOut("fetch")), ...(await leftOut("extract"))];
    const reasons = items.map((item) => JSON.parse(item.error ?? "{}").message ?? item.state);
    const end: RunReport = { id, state, error: error?.message ?? null, reasons };
    if (process.send === undefined) report.run = end;
    else process.send(end);
  } finally {
    await tenuto.close();
  }
}

async function main(): Promise<void> {
  const site = await openSite();
  await mkdir(work, { recursive: true });
  await writeSiteConfig(configDir, site.url);
  const key = `demo-${Date.now()}`;
  const startedAt = performance.now();
  say(`${site.members.length} members that do not exist are served at ${site.url}/members`);
  const progress = showProgress(site);
  let crash: Crash | null = null;
  try {
    if (options.crash) {
      crash = await crashHalfWay(site, key);
      report.run = await finishInChild(key);
    } else await extract(key);
  } finally {
    progress.stop();
    await site.close();
  }
  say(`Run ${report.run?.id} ${report.run?.state} after ${((performance.now() - startedAt) / 1000).toFixed(1)} s.`);
  if (report.run?.state !== "completed") {
    say(report.run?.error ?? "The run did not end.");
    sayCommands(commandsAfterTrouble(report.run));
    process.exitCode = 1;
    return;
  }
  await summarise(site);
  if (crash !== null) process.exitCode = prove(site, crash) ? 0 : 1;
}

/** The known port, so that a retry later finds the site again; another one where that is taken. */
async function openSite(): Promise<FixtureSite> {
  try {
    return await startSite({ port: Number(options.port) });
  } catch {
    return await startSite();
  }
}

interface Crash {
  /** Requests by path when the engine died. */
  before: Map<string, number>;
  /** Paths asked for just before that. */
  recent: Set<string>;
}

async function crashHalfWay(site: FixtureSite, key: string): Promise<Crash> {
  const child = startChild(key);
  const at = new Map<string, number>();
  const half = Math.floor(site.members.length / 2);
  const died = new Promise<void>((done) => child.once("exit", () => done()));
  site.onRequest = (total, path) => {
    at.set(path, performance.now());
    if (total === half) child.kill("SIGKILL");
  };
  await died;
  site.onRequest = null;
  const killedAt = performance.now();
  const recent = new Set([...at].filter(([, when]) => killedAt - when < IN_FLIGHT_MS).map(([path]) => path));
  say(
    `\nKilled the engine (SIGKILL) after ${[...site.requests.values()].reduce((sum, count) => sum + count, 0)} requests. Starting it again.`,
  );
  return { before: new Map(site.requests), recent };
}

async function finishInChild(key: string): Promise<RunReport | null> {
  const child = startChild(key);
  let run: RunReport | null = null;
  child.on("message", (message) => {
    run = message as RunReport;
  });
  const code = await new Promise<number | null>((done) => child.once("exit", done));
  if (code !== 0) throw new Error(`the second process ended with ${code}`);
  return run;
}

function startChild(key: string): ChildProcess {
  const args = ["--conditions=source", import.meta.filename, "--child", key, "--home", home, "--rate", options.rate];
  return spawn(process.execPath, args, { stdio: ["ignore", "inherit", "inherit", "ipc"] });
}

function showProgress(site: FixtureSite): { stop(): void } {
  const live = process.stderr.isTTY === true;
  const show = () => {
    const fetched = site.members.filter((member) => site.requests.has(site.pathOf(member))).length;
    const done = Math.round((30 * fetched) / site.members.length);
    const text = `${"█".repeat(done)}${"░".repeat(30 - done)} ${fetched} of ${site.members.length} members fetched`;
    process.stderr.write(live ? `\r${text}` : `${text}\n`);
  };
  const timer = setInterval(show, live ? 200 : 2000);
  return {
    stop() {
      clearInterval(timer);
      show();
      if (live) process.stderr.write("\n");
    },
  };
}

async function summarise(site: FixtureSite): Promise<void> {
  const folder = join(dataDir, "raw", FIXTURE_CODE);
  const { records } = await readJsonl(join(folder, "records.jsonl"));
  const errors = (await readJsonl(join(folder, "errors.jsonl"))).records;
  say(`${records.length} records in ${relative(process.cwd(), join(folder, "records.jsonl"))}`);
  say(
    `${errors.length} members were left out (skipped), listed in ${relative(process.cwd(), join(folder, "errors.jsonl"))}:`,
  );
  for (const reason of report.run?.reasons ?? []) say(`  ${reason}`);
  const limited = site.requests.get(site.faults.limited) ?? 0;
  say(`One page answered 429 with Retry-After: 2 and was asked again after that: ${limited} requests.`);
  const id = report.run?.id ?? "latest";
  sayCommands([
    [`runs show ${id}`, "what happened, job by job"],
    [`runs show ${id} --items skipped`, "who was left out, and why"],
    [`runs report ${id}`, "all of it as one document"],
  ]);
}

/** What works on a run that did not complete; the site must be up for it. */
function commandsAfterTrouble(run: RunReport | null): [string, string][] {
  if (run === null) return [["resume", "goes on with what was interrupted"]];
  return [
    [`runs show ${run.id}`, "what happened, job by job"],
    [`runs retry ${run.id}`, "runs again only what did not complete, while the site is up:"],
    ["", "node --conditions=source systems/associations/fixtures/serve.ts"],
  ];
}

function sayCommands(commands: [string, string][]): void {
  const lines = commands.map(([command, text]) => [command === "" ? "" : `npx tenuto ${command}${placeFlag()}`, text]);
  const width = Math.max(...lines.map(([command]) => command!.length));
  say("");
  for (const [command, text] of lines) say(`  ${command!.padEnd(width)}  ${text}`);
}

function placeFlag(): string {
  return options.home === ".tenuto" ? "" : ` --home ${options.home}`;
}

/** True when every page that was fetched before the kill, save those in flight, was not fetched again. */
function prove(site: FixtureSite, { before, recent }: Crash): boolean {
  const again = [...before].filter(([path, count]) => (site.requests.get(path) ?? 0) > count);
  // The page that answers 429 the first time must be asked for again.
  const repeated = again.map(([path]) => path).filter((path) => path !== site.faults.limited);
  const lost = repeated.filter((path) => !recent.has(path));
  say("");
  say(
    `Fetched before the kill: ${before.size} addresses. Fetched again: ${repeated.length}, all in flight when it died: ${lost.length === 0 ? "yes" : "NO"}.`,
  );
  for (const path of repeated) say(`  again: ${path}${lost.includes(path) ? "  (was complete!)" : ""}`);
  return lost.length === 0;
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}
