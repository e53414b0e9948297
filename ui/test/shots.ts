/**
 * Screenshots of all screens into docs/screenshots: light and dark, desktop and phone, from a server with the demo pipelines.
 *
 *   node --conditions=source ui/test/shots.ts [part of a screen's name]
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { BrowserContext, Page } from "playwright-core";
import { installedBrowser, openBrowser } from "./browser.ts";
import { Served } from "./server.ts";

const OUT = process.env["SHOTS"] ?? fileURLToPath(new URL("../../docs/screenshots/", import.meta.url));
const SIZES = {
  desktop: { width: 1440, height: 900 },
  tablet: { width: 1024, height: 768 },
  phone: { width: 360, height: 740 },
};
type Size = keyof typeof SIZES;

/** Waits until a run is in one of these states. */
export async function settled(server: Served, run: string, states: readonly string[]): Promise<void> {
  for (let turn = 0; turn < 600; turn++) {
    const { state } = await server.api<{ state: string }>(`/api/runs/${run}`);
    if (states.includes(state)) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`${run} is not ${states.join(" or ")}`);
}

const ENDS = ["completed", "failed", "cancelled"];

async function fill(server: Served) {
  const names: Record<string, string> = {};
  for (let i = 0; i < 6; i++) {
    const run = await server.run("directory", { params: { pages: 40 + i * 30 }, labels: { site: `chapter-${i + 1}` } });
    await settled(server, run, ENDS);
    names["directory"] = run;
  }
  names["report"] = await server.run("nightly-report", { labels: { team: "finance" } });
  await settled(server, names["report"], ENDS);
  names["release"] = await server.run("release");
  await server.run("release", { params: { tag: "v1.5.0-rc.1" }, priority: "high" });
  await settled(server, names["release"], ["waiting"]);
  names["batch"] = await server.run("batch");
  await settled(server, names["batch"], ENDS);
  const cancelled = await server.run("migration");
  await server.api(`/api/runs/${cancelled}/cancel`, {});
  await settled(server, cancelled, ENDS);
  names["running"] = await server.run("migration", { labels: { district: "north" } });
  names["review"] = await server.run("llm-review");
  await settled(server, names["review"], ENDS);
  names["good"] = await server.run("import", { params: { rows: 60 } });
  await settled(server, names["good"], ENDS);
  names["import"] = await server.run("import", { params: { rows: 480 } });
  await settled(server, names["import"], ENDS);
  for (const rows of [10, 20])
    await server.put("/api/templates/morning-import", {
      note: rows === 10 ? "first" : "twice as many rows",
      document: {
        kind: "graph",
        name: "morning-import",
        description: "Takes the rows of the night before work begins.",
        stages: [
          {
            name: "take",
            jobs: [
              { id: "members", agent: "import/load", input: { rows } },
              { id: "payments", agent: "import/load", input: { rows: 5 }, needs: [{ job: "members", on: "success" }] },
            ],
          },
          { name: "store", jobs: [{ id: "store", agent: "storage/directory", input: { entries: rows } }] },
        ],
      },
    });
  await server.put("/api/webhooks/office", {
    url: "https://chat.example.org/hooks/office",
    occasions: ["failed", "approval"],
  });
  await settled(server, await server.run("nightly-report"), ENDS);
  await server.api("/api/schedules", {
    name: "nightly",
    pipeline: "nightly-report",
    cron: "30 2 * * *",
    zone: "Europe/Berlin",
  });
  await server.api("/api/schedules", {
    name: "weekly-directory",
    pipeline: "directory",
    cron: "0 6 * * 1",
    zone: "UTC",
    enabled: false,
  });
  return names;
}

function screens(names: Record<string, string>, sha: string): Record<string, string> {
  const { directory, report, release, batch, running, review } = names;
  return {
    runs: "/",
    run: `/runs/${directory}?job=-`,
    job: `/runs/${directory}?job=members`,
    items: `/runs/${directory}?job=members&tab=items&items=failed`,
    graph: `/runs/${directory}?view=graph&job=-`,
    "graph-failed": `/runs/${report}?view=graph&job=-&critical=1`,
    "graph-batch": `/runs/${batch}?view=graph`,
    timeline: `/runs/${directory}?view=timeline`,
    "timeline-failed": `/runs/${report}?view=timeline&job=-`,
    failure: `/runs/${report}`,
    logs: `/runs/${directory}?view=logs&times=1`,
    running: `/runs/${running}?job=tables&tab=log`,
    waiting: `/runs/${release}?job=ask`,
    artifacts: `/runs/${directory}?view=artifacts`,
    artifact: `/artifacts/${sha}`,
    lineage: `/artifacts/${sha}?view=lineage`,
    "artifacts-all": "/artifacts",
    attempts: `/runs/${names["import"]}?job=load&tab=attempts&x=1&y=2`,
    since: `/runs/${names["import"]}?job=load`,
    transcript: `/runs/${review}?job=review&tab=talk`,
    approvals: "/approvals",
    templates: "/templates",
    start: "/pipelines/directory",
    template: "/templates/morning-import?view=plan",
    versions: "/templates/morning-import?view=versions",
    webhooks: "/webhooks?hook=office",
    schedules: "/schedules",
    agents: "/agents?agent=review%2Fnotes",
    workers: "/workers",
    compare: `/compare?a=${names["good"]}&b=${names["import"]}&all=1`,
    settings: "/settings",
  };
}

async function shoot(page: Page, url: string, file: string): Promise<void> {
  await page.goto(url, { waitUntil: "load" });
  await page.waitForFunction(
    () => document.querySelector(".loading") === null && document.querySelector("h1") !== null,
  );
  if (url.includes("view=graph")) await page.waitForSelector(".react-flow__node-job");
  await page.evaluate(() => document.fonts.ready.then(() => undefined));
  await page.waitForTimeout(250);
  await page.screenshot({ path: file });
}

async function main(): Promise<void> {
  const place = installedBrowser();
  if (place === null) throw new Error("no Chromium or Chrome is installed; name one with TENUTO_CHROMIUM");
  const server = new Served();
  const browser = await openBrowser(place);
  try {
    const { login } = await server.start();
    await server.openSession(login);
    const names = await fill(server);
    const { items } = await server.api<{ items: { sha256: string; name: string }[] }>(
      `/api/runs/${names["directory"]}/artifacts`,
    );
    const all = screens(names, items.find(({ name }) => name === "members.csv")?.sha256 ?? "");
    const notes = await server.api<{ items: { sha256: string; name: string }[] }>(
      `/api/runs/${names["review"]}/artifacts`,
    );
    all["lineage"] = `/artifacts/${notes.items.find(({ name }) => name === "transcript.json")?.sha256}?view=lineage`;
    const wanted = Object.entries(all).filter(([name]) => name.includes(process.argv[2] ?? ""));
    mkdirSync(OUT, { recursive: true });
    const sizes = (process.env["SIZES"]?.split(",") ?? ["desktop", "phone"]) as Size[];
    let session: Awaited<ReturnType<BrowserContext["storageState"]>> | undefined;
    for (const size of sizes)
      for (const theme of (process.env["THEMES"]?.split(",") ?? ["light", "dark"]) as ("light" | "dark")[]) {
        const context = await browser.newContext({
          ...(session === undefined ? {} : { storageState: session }),
          viewport: SIZES[size],
          colorScheme: theme,
          locale: "en-GB",
        });
        const page = await context.newPage();
        if (session === undefined) {
          await enter(page, server);
          session = await context.storageState();
        }
        for (const [name, path] of wanted)
          await shoot(page, `${server.url}${path}`, join(OUT, `${name}-${size}-${theme}.png`));
        await context.close();
      }
    console.log(`${wanted.length} screens in ${OUT}`);
  } finally {
    await browser.close();
    await server.close();
  }
}

/** A session by the form that people see. */
export async function enter(page: Page, server: Served): Promise<void> {
  await page.goto(`${server.url}/`);
  await page.fill('input[type="password"]', server.token);
  await page.click('button[type="submit"]');
  await page.waitForSelector(".rail");
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main();
