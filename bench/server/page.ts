/** How long until the first rows of the dashboard's list of runs can be seen, in an installed browser. */
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { installedBrowser, openBrowser } from "../../ui/test/browser.ts";

export const PAGES = fileURLToPath(new URL("../../ui/dist/", import.meta.url));

/** Why pages can't be measured here; null if they can. */
export function whyNoPages(): string | null {
  if (installedBrowser() === null) return "no Chromium or Chrome is installed";
  return existsSync(`${PAGES}index.html`) ? null : "the dashboard is not built: npm run build -w ui";
}

/** Milliseconds from the request of the address until a row can be seen: of a fresh browser, and of further loads. */
export async function firstRows(
  url: string,
  login: string,
  loads: number,
): Promise<{ cold: number[]; warm: number[] }> {
  const browser = await openBrowser(installedBrowser() as string);
  const timed = async (page: Awaited<ReturnType<typeof browser.newPage>>, address: string) => {
    const from = performance.now();
    await page.goto(address, { waitUntil: "commit" });
    await page.waitForSelector(".rows-inner .row");
    return performance.now() - from;
  };
  try {
    const context = await browser.newContext({ viewport: { width: 1440, height: 900 } });
    const first = await context.newPage();
    await first.goto(login);
    await first.waitForSelector(".rows-inner .row");
    const { cookies } = await context.storageState();
    const warm: number[] = [];
    for (let n = 0; n < loads; n++) warm.push(await timed(first, url));
    const cold: number[] = [];
    for (let n = 0; n < loads; n++) {
      const fresh = await browser.newContext({ viewport: { width: 1440, height: 900 } });
      await fresh.addCookies(cookies);
      cold.push(await timed(await fresh.newPage(), url));
      await fresh.close();
    }
    return { cold, warm };
  } finally {
    await browser.close();
  }
}
