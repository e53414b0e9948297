/**
 * Processes ended with SIGKILL at random moments: what is done stays done, and nothing is lost.
 *
 * Figures for `npm run test:long`: ASSOCIATIONS_KILLS, ASSOCIATIONS_MEMBERS.
 */
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { readJsonl } from "../adapters/files.ts";
import { exited, startChild } from "../fixtures/child.ts";
import { killAndGoOn } from "../fixtures/kills.ts";
import { randomness } from "../fixtures/members.ts";
import { FIXTURE_CODE, startSite, writeSiteConfig } from "../fixtures/site.ts";
import { startProviders } from "./provider-server.ts";

const KILLS = Number(process.env.ASSOCIATIONS_KILLS ?? 1);
const MEMBERS = Number(process.env.ASSOCIATIONS_MEMBERS ?? 150);
const SYSTEM = join(import.meta.dirname, "..");
const TIMEOUT_MS = 240_000 + KILLS * 60_000;

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function folderFor(name: string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), `${name}-`));
  cleanups.push(() => rm(folder, { recursive: true, force: true, maxRetries: 5 }));
  return folder;
}

test(
  "a crawl: only pages in flight are asked for again, no more than are at work at a time, and the records are the same",
  async () => {
    const site = await startSite({ members: MEMBERS, pageSize: 25, retryAfterSeconds: 0 });
    cleanups.push(() => site.close());
    const folders = [await folderFor("calm"), await folderFor("kills")] as const;
    const start = (folder: string) => {
      const places = [
        "--config",
        join(folder, "config"),
        "--data",
        join(folder, "data"),
        "--home",
        join(folder, "home"),
      ];
      return startChild(join(SYSTEM, "main.ts"), [
        "-a",
        FIXTURE_CODE,
        "--rate",
        "100000",
        "--job-id",
        "one",
        ...places,
      ]);
    };
    for (const folder of folders)
      await writeSiteConfig(join(folder, "config"), site.url, { ratePerSecond: 100_000, members: MEMBERS });
    expect(await exited(start(folders[0]))).toBe(0);
    site.requests.clear();
    const found = await killAndGoOn(site, { folders, kills: KILLS, seed: 5, start: () => start(folders[1]) });
    expect(found).toMatchObject({ complete: 0, identical: true, records: MEMBERS - 2 });
    expect(found.kills).toBeGreaterThan(0);
    expect(found.mostAgain).toBeLessThanOrEqual(found.slots);
    expect(found.requests).toBeLessThanOrEqual(site.requests.size + found.kills * (found.slots + 1) + 1);
  },
  TIMEOUT_MS,
);

test(
  "enrichment: every record once and in order, no provider asked beyond its quota, no answer paid twice but those in flight",
  async () => {
    const count = 160;
    const quota = 90;
    const random = randomness(9);
    const server = await startProviders(({ path }) =>
      path === "/v2/companies/find"
        ? { body: { foundedYear: 1950, category: { industry: "Metal" } } }
        : { body: { data: { result: [{ data: [{ yearFounded: 1988 }] }] } } },
    );
    cleanups.push(server.close);
    const folder = await folderFor("enrich-kills");
    const fast = { rate: { count: 100_000, perSeconds: 1 } };
    await writeFile(
      join(folder, "limits.json"),
      JSON.stringify({ clearbit: { ...fast, requestsPerDay: quota }, zoominfo: fast }),
    );
    await mkdir(join(folder, "data/raw/PMA"), { recursive: true });
    const ids = Array.from({ length: count }, (_, id) => id);
    const lines = ids.map((id) =>
      JSON.stringify({ id, company_name: `Zorbel ${id}`, website: `https://c${id}.invalid` }),
    );
    await writeFile(join(folder, "data/raw/PMA/records.jsonl"), `${lines.join("\n")}\n`);
    const env = { ...server.env, APOLLO_API_KEY: "" };
    const start = () => startChild(join(SYSTEM, "fixtures/enrich-program.ts"), [folder], env);
    const points = ids.slice(0, KILLS).map(() => Math.floor(random() * (count - 20)));
    for (const point of points.sort((left, right) => left - right)) {
      const child = start();
      const ended = exited(child);
      server.whenAsked(point, () => child.kill("SIGKILL"));
      await ended;
    }
    expect(await exited(start())).toBe(0);
    const { records } = await readJsonl(join(folder, "data/processed/PMA/enriched.jsonl"));
    expect(records.map(({ id }) => id)).toEqual(ids);
    const [clearbit, zoominfo] = ["/v2/companies/find", "/enrich/company"].map((wanted) =>
      server.asked.filter(({ path }) => path === wanted),
    );
    expect(clearbit!.length).toBeLessThanOrEqual(quota);
    const enriched = records.filter(({ firmographic_source }) => firmographic_source !== undefined);
    expect(enriched).toHaveLength(count);
    // What was asked for again was in flight: at most as many as are asked at a time, for each kill.
    const again = clearbit!.length + zoominfo!.length - count;
    expect(again).toBeGreaterThanOrEqual(0);
    expect(again).toBeLessThanOrEqual(KILLS * IN_FLIGHT);
  },
  TIMEOUT_MS,
);

/** Two batches at work at a time, four companies of each. */
const IN_FLIGHT = 8;
