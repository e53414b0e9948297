/**
 * A browser and a server for one file of tests, and a page of its own for each test.
 *
 * Invariants: (1) a page that throws, also where it is caught, that asks anybody but its own server, or that its own policy refuses something, fails its test; (2) skipped, with its reason,
 * where no Chromium or Chrome is installed; (3) bounds of time are for what hangs, never for what is slow.
 */
import { existsSync, mkdtempSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Browser, BrowserContext, Locator, Page } from "playwright-core";
import { build } from "vite";
import { afterAll, afterEach, beforeAll, beforeEach, expect } from "vitest";
import { installedBrowser, openBrowser } from "./browser.ts";
import { Served } from "./server.ts";
import { enter } from "./shots.ts";

export const UI = fileURLToPath(new URL("..", import.meta.url));
export const DIST = join(UI, "dist");
export const TIMEOUT = 180_000;
export const ENDS = ["completed", "failed", "cancelled"];
export const place = installedBrowser();
if (place === null) console.warn("skipped: no Chromium or Chrome is installed; name one with TENUTO_CHROMIUM");

export interface Opened {
  readonly server: Served;
  readonly context: BrowserContext;
  readonly page: Page;
  /** Opens an address of the dashboard and waits for its heading. */
  open(path: string): Promise<void>;
  button(name: string | RegExp): Locator;
  /** A page beside that of the test, for instance of another person. */
  another(): Promise<Page>;
}

/** Builds the page where there is none. Files of tests run side by side: who is late leaves what the first one has built. */
export async function builtUi(): Promise<void> {
  if (existsSync(join(DIST, "index.html"))) return;
  const outDir = mkdtempSync(join(UI, ".dist-"));
  try {
    await build({ root: UI, configFile: join(UI, "vite.config.ts"), logLevel: "error", build: { outDir } });
    renameSync(outDir, DIST);
  } catch (error) {
    if (!existsSync(join(DIST, "index.html"))) throw error;
  } finally {
    rmSync(outDir, { recursive: true, force: true });
  }
}

/** To be called within `describe`. */
export function opened(config?: string): Opened {
  const server = new Served(config === undefined ? {} : { config });
  let browser: Browser;
  let context: BrowserContext;
  let page: Page;
  let faults: string[] = [];
  let session: Awaited<ReturnType<BrowserContext["storageState"]>>;

  beforeAll(async () => {
    await builtUi();
    const { login } = await server.start();
    await server.openSession(login);
    browser = await openBrowser(place as string);
    // One login for all: more than five a minute are refused.
    const first = await browser.newContext();
    await enter(await first.newPage(), server);
    session = await first.storageState();
    await first.close();
  }, TIMEOUT);
  afterAll(async () => {
    await browser?.close();
    await server.close();
  }, TIMEOUT);
  const watched = async () => {
    const made = await context.newPage();
    made.setDefaultTimeout(TIMEOUT / 2);
    made.on("request", (request) => {
      const { host } = new URL(request.url());
      if (host !== "" && host !== new URL(server.url).host) faults.push(`asked ${request.url()}`);
    });
    made.on("pageerror", (error) => faults.push(error.message));
    made.on("console", (message) => {
      // What is caught and shown in the place of a screen is a fault too; an answer that is not 200 is none.
      if (message.type() === "error" && !/^Failed to load resource|WebSocket connection to/.test(message.text()))
        faults.push(message.text());
    });
    return made;
  };
  beforeEach(async () => {
    context = await browser.newContext({ viewport: { width: 1440, height: 900 }, storageState: session });
    faults = [];
    page = await watched();
  }, TIMEOUT);
  afterEach(async () => {
    await context.close();
    expect(faults).toEqual([]);
  }, TIMEOUT);
  return {
    server,
    get context() {
      return context;
    },
    get page() {
      return page;
    },
    open: async (path) => {
      await page.goto(`${server.url}${path}`);
      await page.waitForSelector("h1");
    },
    button: (name) => page.getByRole("button", { name, exact: typeof name === "string" }),
    another: watched,
  };
}
