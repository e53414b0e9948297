/**
 * The dashboard in a real browser, against `tenuto serve` as a process of its own: what people do, told by what they see.
 *
 * Skipped with its reason where no Chromium or Chrome is installed.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import type { Page } from "playwright-core";
import { beforeAll, beforeEach, describe, expect, it } from "vitest";
import { builtUi, DIST, ENDS, opened, place, TIMEOUT } from "./opened.ts";
import { settled } from "./shots.ts";

describe.skipIf(place === null)("dashboard", { timeout: TIMEOUT }, () => {
  const ui = opened();
  const { server, open, button } = ui;
  let page: Page;
  beforeEach(() => {
    page = ui.page;
  });

  it("starts a run from its form, follows it to its end and reads its log", async () => {
    await open("/pipelines/directory");
    await page.getByLabel("pages").fill("7");
    await button("Start the run").click();
    await page.waitForURL(/\/runs\/directory-/);
    await page.getByRole("heading", { level: 1 }).getByText("completed").waitFor();
    await page.getByRole("link", { name: /^Logs/ }).click();
    await page.getByText("reading the site map of example.org").waitFor();
    expect(await page.locator(".log .a-green").first().textContent()).toBe("found");
    const params = await server.api<{ params: { pages: number } }>(
      `/api/runs/${page.url().split("/").at(-1)?.split("?")[0]}`,
    );
    expect(params.params.pages).toBe(7);
  });

  it("shows in the list what others start, and opens a failed run on its first failure, with the cause and the last lines", async () => {
    await open("/");
    await page.getByText("Live", { exact: true }).waitFor();
    const run = await server.run("nightly-report");
    const row = page.getByRole("row").filter({ has: page.getByText(run, { exact: true }) });
    await row.getByText("sums: invoices: the sum of the day is").waitFor();
    await row.getByRole("link", { name: run }).click();
    const panel = page.getByRole("complementary");
    await panel.getByText("the ledger says 89,325.25").first().waitFor();
    await panel.getByText("the sum differs from the ledger").waitFor();
    await button("Retry failed").click();
    await page.getByRole("dialog").getByRole("button", { name: "Retry", exact: true }).click();
    await page.getByRole("dialog").waitFor({ state: "detached" });
    await settled(server, run, ENDS);
    const { attempts } = await server.api<{ attempts: unknown[] }>(`/api/runs/${run}/jobs/sums`);
    expect(attempts.length).toBeGreaterThan(1);
  });

  it("approves as edited, and rejects with a comment; the badge counts down", async () => {
    const first = await server.run("release", { params: { tag: "one" } });
    const second = await server.run("release", { params: { tag: "two" } });
    for (const run of [first, second]) await settled(server, run, ["waiting"]);
    await open("/");
    const asking = page.getByRole("row").filter({ has: page.getByText(first, { exact: true }) });
    await asking.getByRole("link", { name: "waits for you" }).click();
    await page.getByRole("heading", { name: "Release one to production" }).waitFor();
    await button("Edit").click();
    const text = page.getByLabel("What is decided on");
    await text.fill((await text.inputValue()).replace('"low"', '"looked at"'));
    await button(/^Approve as edited/).click();
    await page.getByRole("link", { name: /Release one/ }).waitFor({ state: "detached" });
    await settled(server, first, ["completed"]);
    const job = await server.api<{ output: { risk: string } }>(`/api/runs/${first}/jobs/ask`);
    expect(job.output.risk).toBe("looked at");
    await page.getByRole("link", { name: /Release two/ }).click();
    await page.getByLabel("Comment").fill("not on a Friday");
    await button("Reject").click();
    await page.getByText("Nothing waits for you.").waitFor();
    await settled(server, second, ENDS);
    const { items } = await server.api<{ items: { reason: string | null }[] }>(`/api/approvals?run=${second}`);
    expect(items[0]?.reason).toBe("not on a Friday");
    await page.locator(".badge").waitFor({ state: "detached" });
  });

  it("goes on by itself after the server was killed, and says meanwhile that it is gone", async () => {
    const run = await server.run("migration");
    await open(`/runs/${run}?job=tables&tab=log`);
    await page.getByText("still at it, 1", { exact: true }).waitFor();
    await page.waitForFunction(() =>
      performance.getEntriesByType("resource").some(({ name }) => /assets\/workers-/.test(name)),
    );
    await server.kill();
    await page.getByText("Connection lost").waitFor();
    expect(await page.locator(".content").evaluate((node) => getComputedStyle(node).filter)).toContain("grayscale");
    // Other screens open while it is away, and the way back is open too.
    await page.getByRole("link", { name: "Workers" }).click();
    await page.getByRole("heading", { name: "Workers and limits" }).waitFor();
    await page.goBack();
    await page.getByRole("heading", { level: 1 }).getByText("running").waitFor();
    await server.start();
    await page.getByText("Live", { exact: true }).waitFor();
    await page.getByText("still at it, 1", { exact: true }).first().waitFor();
    await server.api(`/api/runs/${run}/cancel`, {});
    await page.getByRole("heading", { level: 1 }).getByText("cancelled").waitFor();
  });

  it("says of a connection that has gone silent, before two seconds are over, that what is seen may be old", async () => {
    let silent = false;
    // The computer's own clock is three hours ahead: times are told by the server's.
    await page.clock.install({ time: Date.now() + 3 * 3_600_000 });
    const run = await server.run("directory", { params: { pages: 1 } });
    await page.routeWebSocket(/\/api\/live/, (socket) => {
      const other = socket.connectToServer();
      other.onMessage((message) => {
        if (!silent) socket.send(message);
      });
    });
    await open("/");
    await page.getByText("Live", { exact: true }).waitFor();
    const row = page.getByRole("row").filter({ has: page.getByText(run, { exact: true }) });
    await row.getByText(/^(just now|now|\d+ s ago|\d min ago)$/).waitFor();
    const grey = () => page.locator(".content").evaluate((node) => getComputedStyle(node).filter);
    expect(await grey()).toBe("none");
    silent = true;
    await page.clock.runFor(2_000);
    await page.getByText("No answer", { exact: true }).waitFor();
    expect(await grey()).toContain("grayscale");
    silent = false;
    await page.clock.runFor(1_000);
    await page.getByText("Live", { exact: true }).waitFor();
    expect(await grey()).toBe("none");
  });

  it("keeps its state in the address: a reload in the middle of a run shows the same", async () => {
    const run = await server.run("directory", { params: { pages: 50 } });
    await settled(server, run, ENDS);
    await open(`/runs/${run}?view=table&find=html&job=members&tab=items&items=failed`);
    const seen = async () => {
      await page.getByText("has no list of members").first().waitFor();
      return [
        await page.getByLabel("Filter by job or agent").inputValue(),
        await page.locator(".item-list > li").count(),
      ];
    };
    const before = await seen();
    expect(before).toEqual(["html", 1]);
    await page.reload();
    expect(await seen()).toEqual(before);
  });

  it("runs again from a job with another input, and compares the two runs by address", async () => {
    const run = await server.run("directory", { params: { pages: 5 } });
    await settled(server, run, ENDS);
    await open(`/runs/${run}?job=write`);
    await button("Run again from here").click();
    await page.getByLabel("Input, in the place of the declared one").fill('{ "entries": 3 }');
    await button("Start the run").click();
    await page.waitForURL((url) => !url.pathname.endsWith(run));
    const other = new URL(page.url()).pathname.split("/").at(-1) as string;
    await settled(server, other, ["completed"]);
    await open(`/compare?a=${run}&b=${other}`);
    await page.locator(".d-added", { hasText: '"entries": 3' }).waitFor();
  });

  it("retries the items that failed, and keeps those that completed", async () => {
    const run = await server.run("strict");
    await settled(server, run, ["failed"]);
    const first = async () => (await server.api<{ endedAt: string }>(`/api/runs/${run}/jobs/each/items/0`)).endedAt;
    const second = async () => (await server.api<{ endedAt: string }>(`/api/runs/${run}/jobs/each/items/1`)).endedAt;
    const before = [await first(), await second()];
    await open(`/runs/${run}?job=each&tab=items&items=failed`);
    await button("Retry what failed").click();
    await page.getByRole("dialog").getByRole("button", { name: "Retry", exact: true }).click();
    await page.getByRole("dialog").waitFor({ state: "detached" });
    await expect.poll(second, { timeout: TIMEOUT / 2 }).not.toBe(before[1]);
    expect(await first()).toBe(before[0]);
  });

  it("cancels several runs after showing what would happen", async () => {
    const older = await server.run("migration");
    const runs = [await server.run("migration"), await server.run("migration")];
    const other = await ui.another();
    await other.goto(`${server.url}/?pipeline=migration&state=cancelled`);
    await other.getByText("Live", { exact: true }).waitFor();
    await open("/?pipeline=migration&state=running");
    for (const run of runs) await page.getByLabel(`Select ${run}`).check();
    await page.getByRole("region", { name: "Selected runs" }).getByRole("button", { name: "Cancel" }).click();
    await button("Cancel 2 runs").click();
    for (const run of runs) await settled(server, run, ["cancelled"]);
    // They leave the list that they no longer fit, and stand in the other one where their numbers belong.
    for (const run of runs) await page.getByLabel(`Select ${run}`).waitFor({ state: "detached" });
    await page.getByLabel(`Select ${older}`).waitFor();
    await server.api(`/api/runs/${older}/cancel`, {});
    await other.getByLabel(`Select ${older}`).waitFor();
    const listed = await other.locator(".runs .cell-run > a:first-child").allTextContents();
    expect(listed.slice(0, 3)).toEqual([...runs].reverse().concat(older));
  });

  it("says of a run that nobody works on that it is so", async () => {
    await server.kill("SIGTERM");
    await server.start("--no-work");
    const run = await server.run("migration");
    await open("/");
    await page.getByText("No worker is alive:").waitFor();
    const row = page.getByRole("row").filter({ has: page.getByText(run, { exact: true }) });
    await row.getByText("no worker", { exact: true }).waitFor();
    await row.getByRole("link", { name: run }).click();
    await page.getByText("nobody works on it").waitFor();
    expect(await page.getByText("It is at work").isVisible()).toBe(false);
  });
});

describe("build", () => {
  beforeAll(builtUi, TIMEOUT);

  it("needs less than 500 KB, compressed, to be seen first", () => {
    const index = readFileSync(join(DIST, "index.html"), "utf8");
    const named = [...index.matchAll(/(?:src|href)="\/(assets\/[^"]+)"/g)].map((match) => match[1] as string);
    const fonts = readdirSync(join(DIST, "assets")).filter((name) => /-latin-wght-normal.*woff2$/.test(name));
    const sizes = [
      ...named.map((name) => gzipSync(readFileSync(join(DIST, name))).length),
      ...fonts.map((name) => readFileSync(join(DIST, "assets", name)).length),
    ];
    expect(named.length).toBeGreaterThan(1);
    expect(fonts.length).toBe(2);
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBeLessThan(500_000);
  });

  it("has no inline script or style, and nothing from elsewhere", () => {
    const index = readFileSync(join(DIST, "index.html"), "utf8");
    expect(index).not.toMatch(/<script(?![^>]*\bsrc=)[^>]*>|<style|\son\w+=|style="|(?:src|href)="(?:https?:)?\/\//);
  });
});
