/**
 * Each screen, light and dark, wide and on a phone: no serious fault of accessibility, and nothing wider than the screen.
 * `npm run test:long -- looks` looks at each screen in both sizes; here one of them has its turn.
 */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import type { Page } from "playwright-core";
import { beforeEach, describe, expect, it } from "vitest";
import { ENDS, opened, place, TIMEOUT } from "./opened.ts";
import { settled } from "./shots.ts";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const WIDE = { width: 1440, height: 900 };
const PHONE = { width: 360, height: 740 };
const LONG = process.env["LONG"] === "1";

interface Violation {
  id: string;
  impact: string;
  nodes: { html: string }[];
}

async function faults(page: Page): Promise<string[]> {
  const { violations, passed } = await page.evaluate(async () => {
    const { violations, passes } = await (globalThis as any).axe.run(document, { resultTypes: ["violations"] });
    return { violations: violations as Violation[], passed: (passes as unknown[]).length };
  });
  expect(passed).toBeGreaterThan(0);
  return violations
    .filter(({ impact }) => impact === "serious" || impact === "critical")
    .map(({ id, nodes }) => `${id}: ${nodes[0]?.html.slice(0, 160)}`);
}

/** What could be moved sideways on a phone, but for parts that scroll within themselves. */
async function tooWide(page: Page): Promise<string[]> {
  return await page.evaluate(() =>
    ["html", ".content", ".screen", ".split-main", ".panel", ".decide", ".logs"].filter((name) =>
      [...document.querySelectorAll(name)].some((node) => node.scrollWidth > node.clientWidth + 1),
    ),
  );
}

describe.skipIf(place === null)("looks", { timeout: 2 * TIMEOUT }, () => {
  const ui = opened();
  const { server, open } = ui;
  let page: Page;
  beforeEach(async () => {
    page = ui.page;
    // Through the debugger: the page's own policy forbids scripts that are added.
    await page.addInitScript(axe);
  });

  /** All rules: light or dark on a wide screen, and the other one on a phone, in turns. */
  const checked = async (paths: readonly string[]) => {
    const found: string[] = [];
    for (const [i, path] of paths.entries()) {
      const [wide, narrow] = i % 2 === 0 ? (["light", "dark"] as const) : (["dark", "light"] as const);
      await page.setViewportSize(WIDE);
      await page.emulateMedia({ colorScheme: wide });
      await open(path);
      await page.waitForFunction(() => document.querySelector(".loading") === null);
      if (path.includes("view=graph")) await page.waitForSelector(".react-flow__node-job");
      const sizes = LONG ? "both" : i % 4 < 2 ? "wide" : "narrow";
      if (sizes !== "narrow") found.push(...(await faults(page)).map((fault) => `${wide} ${path} ${fault}`));
      found.push(...(await tooWide(page)).map((part) => `1440 px ${path} ${part} scrolls sideways`));
      await page.emulateMedia({ colorScheme: narrow });
      await page.setViewportSize(PHONE);
      await page.waitForFunction(
        (theme) => innerWidth === 360 && document.documentElement.dataset["theme"] === theme,
        narrow,
      );
      if (sizes !== "wide") found.push(...(await faults(page)).map((fault) => `360 px ${narrow} ${path} ${fault}`));
      found.push(...(await tooWide(page)).map((part) => `360 px ${path} ${part} scrolls sideways`));
    }
    expect(found).toEqual([]);
  };

  it("of a run and its jobs", async () => {
    const run = await server.run("nightly-report", {
      labels: { a_rather_long_label: "with a rather long value in it" },
    });
    const items = await server.run("tolerant");
    const asked = await server.run("release");
    for (const id of [run, items]) await settled(server, id, ENDS);
    await settled(server, asked, ["waiting"]);
    await checked([
      "/",
      `/runs/${run}`,
      `/runs/${run}?view=graph&job=-`,
      `/runs/${run}?view=timeline`,
      `/runs/${run}?view=logs&times=1`,
      `/runs/${run}?view=about`,
      `/runs/${run}?job=sums&tab=attempts`,
      `/runs/${run}?job=dates&tab=log`,
      `/runs/${items}?job=each&tab=items`,
      `/runs/${asked}?job=ask`,
      "/approvals",
      `/compare?a=${run}&b=${items}&all=1`,
      "/compare",
    ]);
  });

  it("of everything else", async () => {
    const run = await server.run("directory", { params: { pages: 5 } });
    await settled(server, run, ENDS);
    const { items } = await server.api<{ items: { sha256: string; name: string }[] }>(`/api/runs/${run}/artifacts`);
    const sha = (name: string) => items.find((one) => one.name === name)?.sha256;
    const document = {
      kind: "graph",
      name: "greet",
      stages: [{ name: "s", jobs: [{ id: "j", agent: "import/load" }] }],
    };
    await server.put("/api/templates/greet", { document });
    await server.put("/api/webhooks/ops", {
      url: "https://nobody.invalid/a/rather/long/address/of/somebody",
      occasions: ["failed"],
    });
    await server.put("/api/hooks/push", { pipeline: "import", params: { rows: "{{ params.body.rows }}" } });
    await server.api("/api/schedules", {
      name: "nightly",
      pipeline: "import",
      cron: "30 2 * * *",
      zone: "Europe/Berlin",
    });
    await checked([
      `/runs/${run}?view=artifacts`,
      `/artifacts/${sha("members.csv")}`,
      `/artifacts/${sha("summary.md")}`,
      `/artifacts/${sha("directory.json")}?view=lineage`,
      `/artifacts/${sha("map.png")}?view=about`,
      "/templates",
      "/templates/greet?view=plan",
      "/templates/greet?view=versions",
      "/pipelines/directory",
      "/schedules",
      "/agents?agent=review%2Fnotes",
      "/artifacts",
      "/workers",
      "/webhooks?hook=ops",
      "/webhooks?view=in",
      "/settings",
      "/nothing-here",
      "/runs/nothing-here",
    ]);
  });

  it("of dialogs, the palette and the login", async () => {
    const run = await server.run("migration");
    await page.emulateMedia({ colorScheme: "light" });
    const look = async (name: string) => {
      expect({ name, faults: await faults(page) }).toEqual({ name, faults: [] });
    };
    await open(`/runs/${run}`);
    await page.keyboard.press("Control+k");
    await page.getByRole("option", { name: "Settings" }).waitFor();
    await look("palette");
    await page.keyboard.press("Escape");
    await page.setViewportSize(PHONE);
    await ui.button("Cancel").click();
    await look("cancel");
    await ui.button("Cancel the run").click();
    await page.getByRole("heading", { level: 1 }).getByText("cancelled").waitFor();
    await page.getByRole("dialog").waitFor({ state: "detached" });
    await page.getByRole("link", { name: "Workers" }).click();
    await page.getByRole("heading", { name: "Workers and limits" }).waitFor();
    // What is read next, by itself, is refused.
    await ui.context.clearCookies();
    await page.getByRole("heading", { name: "Tenuto" }).waitFor();
    await look("login");
    // A viewer sees everything and is offered nothing that would be refused.
    const viewer = await server.api<{ token: string }>("/api/tokens", { name: "guest", role: "viewer" });
    await page.getByLabel("Token or link").fill(viewer.token);
    await ui.button("Log in").click();
    await page.getByRole("heading", { name: "Workers and limits" }).waitFor();
    await open(`/runs/${run}`);
    await page.getByRole("link", { name: "Report" }).waitFor();
    for (const name of ["Resume", "Run again", "Cancel"]) expect(await ui.button(name).count()).toBe(0);
    await open("/pipelines/migration");
    expect(await ui.button("Start the run").isDisabled()).toBe(true);
  });
});
