/**
 * `npm run bench:server [-- PART…]`: figures of the server, as a browser or program sees them. Parts: api, stream, million, log.
 *
 * The server is in this process, the clients in another, so that neither waits for the other's work. Figures are printed and
 * written to `bench/results/server.json`; they are never a test.
 */
import { fork } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { cpus, loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { defineAgent, definePipeline, openTenuto, type Tenuto } from "tenuto";
import { type Server, startServer } from "tenuto/http";
import { fillLog, LOG_BYTES, logBytes } from "./log.ts";
import { fillWithRuns } from "./million.ts";
import { firstRows, PAGES, whyNoPages } from "./page.ts";

export interface Latencies {
  count: number;
  p50: number;
  p99: number;
  max: number;
  perSecond: number;
}

const PARTS = { api, stream, million, log };
const CLIENTS = fileURLToPath(new URL("./clients.ts", import.meta.url));
const RATE = { perSecond: 1_000_000, burst: 1_000_000, inFlight: 1_000, streamsPerToken: 100, stuckMs: 10_000 };
const figures: Record<string, unknown> = {};

function ask<T>(task: object): Promise<T> {
  const child = fork(CLIENTS, [], { execArgv: ["--conditions=source"] });
  return new Promise((resolve, reject) => {
    child.on("message", (answer) => {
      resolve(answer as T);
      child.disconnect();
    });
    child.on("exit", (code) => reject(new Error(`the clients ended with ${code}`)));
    child.send(task);
  });
}

async function serving(use: (place: { tenuto: Tenuto; server: Server; token: string; home: string }) => Promise<void>) {
  const home = mkdtempSync(join(process.env["TENUTO_BENCH_DIR"] ?? tmpdir(), "tenuto-bench-"));
  const small = definePipeline({
    name: "small",
    agents: [defineAgent({ name: "bench/nothing", run: () => null })],
    jobs: [{ id: "a", agent: "bench/nothing" }],
  });
  const ticking = definePipeline({
    name: "ticking",
    agents: [
      defineAgent({
        name: "bench/tick",
        run: async ({ times, everyMs }: { times: number; everyMs: number }, ctx) => {
          for (let n = 0; n < times; n++) {
            ctx.log.info("tick");
            await new Promise((next) => setTimeout(next, everyMs));
          }
        },
      }),
    ],
    jobs: [{ id: "tick", agent: "bench/tick", input: { times: 10, everyMs: 10 } }],
  });
  const tenuto = await openTenuto({ home, cwd: home, pipelines: [small, ticking] });
  const server = await startServer(tenuto, {
    port: 0,
    pages: whyNoPages() === null ? PAGES : null,
    key: new Uint8Array(32).fill(1),
    version: "bench",
    limits: RATE,
    onFault: (error) => console.error(error),
  });
  try {
    const { text } = await server.access.mint({ name: "bench", role: "admin" });
    await use({ tenuto, server, token: text, home });
  } finally {
    await server.close();
    await tenuto.close({ drainMs: 0 });
    rmSync(home, { recursive: true, force: true });
  }
}

function print(name: string, { count, p50, p99, max, perSecond }: Latencies): void {
  const ms = (value: number) => `${value.toFixed(1)} ms`;
  console.log(
    `${name.padEnd(52)} p50 ${ms(p50).padStart(10)}  p99 ${ms(p99).padStart(10)}  max ${ms(max).padStart(10)}  ${perSecond.toFixed(0).padStart(6)}/s  (${count})`,
  );
  figures[name] = { count, p50, p99, max, perSecond };
}

/** Reads and starts by 50 clients at once, each waiting for its answer before it asks again. */
async function api(): Promise<void> {
  await serving(async ({ tenuto, server, token }) => {
    for (let n = 0; n < 200; n++) await (await tenuto.start("small")).wait();
    const run = async (name: string, request: object) =>
      print(
        name,
        await ask<Latencies>({ task: "requests", url: server.url, token, clients: 50, seconds: 4, ...request }),
      );
    await run("api: 50 clients, GET /healthz", { path: "/healthz" });
    await run("api: 50 clients, GET /api/runs?limit=50", { path: "/api/runs?limit=50" });
    await run("api: 50 clients, GET /api/runs/RUN", { path: "/api/runs/small-1" });
    await run("api: 50 clients, GET /api/runs/RUN/graph", { path: "/api/runs/small-1/graph" });
    await run("api: 50 clients, POST /api/runs", { path: "/api/runs", body: { pipeline: "small" } });
  });
}

/** Events to 50 websockets, of which 5 stop reading: how late they come, and what memory does. */
async function stream(): Promise<void> {
  await serving(async ({ tenuto, server, token }) => {
    await (await tenuto.start("small")).wait();
    globalThis.gc?.();
    const before = process.memoryUsage().rss;
    let most = before;
    const watch = setInterval(() => {
      most = Math.max(most, process.memoryUsage().rss);
    }, 100);
    let going = true;
    const clients = ask<Latencies & { events: number }>({
      task: "streams",
      url: server.url,
      token,
      clients: 50,
      stuck: 5,
      seconds: 20,
    }).finally(() => {
      going = false;
    });
    let started = 0;
    // About 200 events a second: each of these runs has five.
    while (going) {
      await tenuto.start("small");
      started += 1;
      await new Promise((next) => setTimeout(next, 25));
    }
    const measured = await clients;
    clearInterval(watch);
    print("stream: 45 of 50 read, from commit to client", measured);
    const { slow } = server.services.metrics.live;
    const grown = (most - before) / 1_048_576;
    console.log(
      `stream: ${started} runs in 20 s; memory grew by ${grown.toFixed(0)} MiB at most; ${slow} let go as slow`,
    );
    figures["stream: memory"] = { grownMiB: grown, slow };
  });
}

/** First pages and counts with 1,000,000 runs in the ledger. */
async function million(): Promise<void> {
  await serving(async ({ tenuto, server, token }) => {
    await (await tenuto.start("small")).wait();
    const from = performance.now();
    fillWithRuns(tenuto, 1_000_000);
    console.log(`million: ledger filled in ${((performance.now() - from) / 1_000).toFixed(0)} s`);
    const paths = {
      "first page": "/api/runs?limit=50",
      counts: "/api/run-counts",
      failed: "/api/runs?state=failed&limit=50",
      "running (few)": "/api/runs?state=running&limit=50",
      "of one pipeline": "/api/runs?pipeline=other&limit=50",
      "text that few have": "/api/runs?q=bench-999999&limit=50",
      "text that none has": "/api/runs?q=nothing&limit=50",
      "a page in the middle": "/api/runs?after=500000&limit=50",
    };
    for (const [name, path] of Object.entries(paths))
      print(
        `million: ${name}`,
        await ask<Latencies>({ task: "requests", url: server.url, token, clients: 1, requests: 30, path }),
      );
    await page(server, "million: runs list, address to first rows");
  });
}

function sorted(values: number[]): Latencies {
  const up = values.sort((a, b) => a - b);
  const at = (share: number) => up[Math.min(up.length - 1, Math.floor(up.length * share))] ?? 0;
  return { count: up.length, p50: at(0.5), p99: at(0.99), max: at(1), perSecond: 1_000 / at(0.5) };
}

/** The dashboard's list in a browser: with an empty cache, and loaded again. */
async function page(server: Server, name: string): Promise<void> {
  const reason = whyNoPages();
  if (reason !== null) return console.log(`${name}: not measured, ${reason}`);
  const { text } = await server.access.mint({ kind: "login", name: "bench", role: "admin" });
  const { cold, warm } = await firstRows(server.url, `${server.url}/login#${text}`, 8);
  print(`${name}, empty cache`, sorted(cold));
  print(`${name}, again`, sorted(warm));
}

/** A log of 1 GB: the first look after a start, and further ones. */
async function log(): Promise<void> {
  await serving(async ({ tenuto, home }) => {
    const run = await tenuto.start("small");
    await run.wait();
    const from = performance.now();
    const lines = await fillLog(tenuto, run.id, LOG_BYTES);
    const gb = (logBytes(home, run.id) / 1e9).toFixed(2);
    console.log(`log: ${lines} lines, ${gb} GB, written in ${((performance.now() - from) / 1_000).toFixed(0)} s`);
    await tenuto.close({ drainMs: 0 });
    const paths = {
      "opened at its end, first look": "tail=500",
      "at its end again": "tail=500",
      "500 lines from the middle": `since=${Math.floor(lines / 2)}&limit=500`,
      "a search in the last 50,000 lines": "tail=500&q=nowhere",
      "errors among the last 50,000 lines": "tail=500&level=ERROR",
    };
    for (const [name, query] of Object.entries(paths)) {
      const again = await openTenuto({ home, cwd: home, pipelines: [], work: false });
      const server = await startServer(again, {
        port: 0,
        key: new Uint8Array(32).fill(1),
        version: "bench",
        limits: RATE,
        onFault: console.error,
      });
      const { text: token } = await server.access.mint({ name: "bench", role: "admin" });
      const path = `/api/runs/${run.id}/logs?${query}`;
      const once = name.includes("first");
      const values: number[] = [];
      for (let n = 0; n < (once ? 1 : 10); n++) {
        const began = performance.now();
        const answer = await fetch(`${server.url}${path}`, { headers: { authorization: `Bearer ${token}` } });
        await answer.arrayBuffer();
        if (!answer.ok) throw new Error(`${path} answered ${answer.status}`);
        values.push(performance.now() - began);
      }
      print(`log of ${gb} GB: ${name}`, sorted(values));
      await server.close();
      await again.close();
    }
  });
}

const wanted = process.argv.slice(2);
const unknown = wanted.filter((name) => !(name in PARTS));
if (unknown.length > 0) {
  console.error(`There is no part ${unknown.join(", ")}. Known: ${Object.keys(PARTS).join(", ")}.`);
  process.exit(2);
}
console.log(`node ${process.version}, ${cpus().length} CPUs, load ${(loadavg()[0] ?? 0).toFixed(1)} at the start`);
for (const [name, part] of Object.entries(PARTS)) if (wanted.length === 0 || wanted.includes(name)) await part();
const folder = fileURLToPath(new URL("../results/", import.meta.url));
mkdirSync(folder, { recursive: true });
writeFileSync(join(folder, "server.json"), `${JSON.stringify(figures, null, 2)}\n`);
