/**
 * Timings of the page against a large ledger, printed as a table: the list of runs, a run of many jobs as table, graph and
 * timeline, a long log.
 *
 *   node --conditions=source ui/test/load.ts [lines] [further runs]
 */
import { join } from "node:path";
import Database from "better-sqlite3";
import type { Page } from "playwright-core";
import { fillWithRuns } from "../../bench/server/million.ts";
import { installedBrowser, openBrowser } from "./browser.ts";
import { Served } from "./server.ts";
import { enter, settled } from "./shots.ts";

const jobs = 10_000;
const [lines = 200_000, runs = 1_000_000] = process.argv.slice(2).map(Number);
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
  const talk = await server.run("talk", { params: { lines } });
  await settled(server, talk, ["completed", "failed"]);
  const page = await (await browser.newContext({ viewport: { width: 1440, height: 900 } })).newPage();
  await enter(page, server);
  const at = (path: string) => `${server.url}${path}`;
  const rows = {
    [`${runs} runs, first rows`]: await timed(page, at("/"), ".rows-inner .row"),
    "failed ones, first rows": await timed(page, at("/?state=failed"), ".rows-inner .row"),
    [`table of ${jobs} jobs`]: await timed(page, at(`/runs/${many}`), ".jobs .rows-inner .row"),
    [`graph of ${jobs} jobs, grouped`]: await timed(page, at(`/runs/${many}?view=graph`), ".react-flow__node-job"),
    [`timeline of ${jobs} jobs`]: await timed(page, at(`/runs/${many}?view=timeline`), ".timeline-row"),
    [`log of ${lines} lines`]: await timed(page, at(`/runs/${talk}?view=logs`), ".log-line"),
  };
  console.table(rows);
  await page.goto(at(`/runs/${many}?view=timeline`));
  await page.waitForSelector(".timeline-row");
  console.log(`timeline, a step of scrolling: ${await scrolled(page, ".timeline")} ms for two frames`);
  console.log(`home: ${join(server.home, "ledger.db")}`);
} finally {
  await browser.close();
  await server.close();
}
