/**
 * Timings of the page against a large ledger, printed as a table: the list of runs, a run of many jobs as table, graph and
 * timeline, a long log.
 *
 *   node --conditions=source ui/test/load.ts [gigabytes of log] [further runs]
 */
import { join } from "node:path";
import Database from "better-sqlite3";
import type { Page } from "playwright-core";
import { openTenuto } from "tenuto";
import { fillLog, logBytes } from "../../bench/server/log.ts";
import { fillWithRuns } from "../../bench/server/million.ts";
import { installedBrowser, openBrowser } from "./browser.ts";
import { Served } from "./server.ts";
import { enter, settled } from "./shots.ts";

const jobs = 10_000;
const [gigabytes = 1, runs = 1_000_000] = process.argv.slice(2).map(Number);
const place = installedBrowser();
if (place === null) throw new Error("no Chromium or Chrome is installed; name one with TENUTO_CHROMIUM");

/** Milliseconds from the request of the address until this can be seen, and the longest task on the way. */
async function timed(page: Page, url: string, selector: string) {
  const from = performance.now();
  await page.goto(url, { waitUntil: "commit" });
  await page.waitForSelector(selector);
  const seen = performance.now() - from;
  await page.waitForTimeout(500);
  const longest = await page.evaluate(
    () =>
      new Promise<number>((resolve) => {
        new PerformanceObserver((list) =>
          resolve(Math.max(0, ...list.getEntries().map((entry) => entry.duration))),
        ).observe({
          type: "longtask",
          buffered: true,
        });
        setTimeout(() => resolve(0), 300);
      }),
  );
  return { seenMs: Math.round(seen), longestTaskMs: Math.round(longest) };
}

async function scrolled(page: Page, selector: string) {
  const box = page.locator(selector);
  const from = performance.now();
  for (let step = 0; step < 20; step++) {
    await box.evaluate((node) => {
      node.scrollTop += 2_000;
    });
    await page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve))));
  }
  return Math.round((performance.now() - from) / 20);
}

/** Frames while the graph is dragged about for some seconds; a mean, and how long the slowest of twenty took. */
async function dragged(page: Page, ms = 4_000) {
  await page.evaluate(() => {
    const seen: number[] = [];
    Object.assign(globalThis, { seen });
    const tick = (at: number) => {
      seen.push(at);
      requestAnimationFrame(tick);
    };
    requestAnimationFrame(tick);
  });
  await page.mouse.move(900, 600);
  await page.mouse.down();
  const from = performance.now();
  for (let i = 0; performance.now() - from < ms; i++)
    await page.mouse.move(900 - 300 * Math.sin(i / 20), 600 - 150 * Math.sin(i / 31));
  await page.mouse.up();
  const seen = await page.evaluate(() => (globalThis as unknown as { seen: number[] }).seen);
  const gaps = seen.slice(1).map((at, i) => at - (seen[i] as number));
  gaps.sort((a, b) => a - b);
  const sum = gaps.reduce((all, gap) => all + gap, 0);
  return `${((1_000 * gaps.length) / sum).toFixed(0)} frames a second, one of twenty took ${(gaps[Math.floor(gaps.length * 0.95)] ?? 0).toFixed(0)} ms or more`;
}

const server = new Served({ config: "load.config.ts" });
const browser = await openBrowser(place);
try {
  const { login } = await server.start();
  await server.openSession(login);
  await settled(server, await server.run("tiny"), ["completed"]);
  await server.kill("SIGTERM");
  const db = new Database(join(server.home, "ledger.db"));
  fillWithRuns({ engine: { parts: { ledger: { db } } } } as never, runs);
  db.close();
  await server.start();
  const many = await server.run("many");
  await settled(server, many, ["completed", "failed"]);
  const single = await server.run("thousand");
  await settled(server, single, ["completed", "failed"]);
  const talk = await server.run("talk", { params: { lines: 10 } });
  await settled(server, talk, ["completed", "failed"]);
  await server.kill("SIGTERM");
  const writer = await openTenuto({ home: server.home, cwd: server.home, pipelines: [], work: false });
  const lines = await fillLog(writer, talk, gigabytes * 1e9);
  await writer.close({ drainMs: 0 });
  await server.start();
  const size = `${(logBytes(server.home, talk) / 1e9).toFixed(2)} GB, ${lines.toLocaleString()} lines`;
  const page = await (await browser.newContext({ viewport: { width: 1440, height: 900 } })).newPage();
  await enter(page, server);
  const at = (path: string) => `${server.url}${path}`;
  const rows = {
    [`${runs} runs, first rows`]: await timed(page, at("/"), ".rows-inner .row"),
    "failed ones, first rows": await timed(page, at("/?state=failed"), ".rows-inner .row"),
    [`table of ${jobs} jobs`]: await timed(page, at(`/runs/${many}`), ".jobs .rows-inner .row"),
    [`graph of ${jobs} jobs, grouped`]: await timed(page, at(`/runs/${many}?view=graph`), ".react-flow__node-job"),
    [`timeline of ${jobs} jobs`]: await timed(page, at(`/runs/${many}?view=timeline`), ".timeline-row"),
    [`log of ${size}, at its end`]: await timed(page, at(`/runs/${talk}?view=logs`), ".log-line"),
    "the same again": await timed(page, at(`/runs/${talk}?view=logs`), ".log-line"),
    "the same in its middle": await timed(
      page,
      at(`/runs/${talk}?view=logs&line=${Math.floor(lines / 2)}`),
      '.log-line[data-marked="true"]',
    ),
  };
  console.table(rows);
  await page.goto(at(`/runs/${many}?view=timeline`));
  await page.waitForSelector(".timeline-row");
  const frames = async (zoomed: number) => {
    await page.goto(at(`/runs/${single}?view=graph&group=0`));
    await page.waitForSelector(".react-flow__node-job");
    await page.mouse.move(700, 500);
    for (let i = 0; i < zoomed; i++) {
      await page.mouse.wheel(0, -200);
      await page.waitForTimeout(100);
    }
    await page.waitForTimeout(1_000);
    return `${await page.locator(".react-flow__node-job").count()} drawn: ${await dragged(page)}`;
  };
  console.log(`graph of 1,000 single jobs, whole, dragged, ${await frames(0)}`);
  console.log(`the same from near, ${await frames(6)}`);
  await page.goto(at(`/runs/${many}?view=timeline`));
  await page.waitForSelector(".timeline-row");
  console.log(`timeline, a step of scrolling: ${await scrolled(page, ".timeline")} ms for two frames`);
  console.log(`home: ${join(server.home, "ledger.db")}`);
} finally {
  await browser.close();
  await server.close();
}
