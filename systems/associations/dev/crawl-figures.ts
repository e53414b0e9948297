/**
 * Figures of the crawl on the made-up site of 1,134 members: what kills cost, how well a rate is kept, how near a bare loop it comes.
 *
 *   node --conditions=source systems/associations/dev/crawl-figures.ts [--kills 20] [--rates 40,100] [--seed 1] [--only kills|rates|speed]
 *
 * kills: the engine, a process of its own, is ended with SIGKILL at random moments and started again each time; no page may be fetched
 * twice except those in flight, and records.jsonl must be the one of an undisturbed run. Times are of this machine at this moment.
 */
import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { openTenuto } from "tenuto";
import { Agent, fetch } from "undici";
import { randomness } from "../fixtures/members.ts";
import type { FixtureSite } from "../fixtures/site.ts";
import { FIXTURE_CODE, startSite, writeSiteConfig } from "../fixtures/site.ts";
import { associationsPipeline } from "../pipeline.ts";

const { values: options } = parseArgs({
  options: {
    kills: { type: "string", default: "20" },
    rates: { type: "string", default: "20,60" },
    seed: { type: "string", default: "1" },
    only: { type: "string", default: "" },
    /** Set for the child: folder and rate. */
    child: { type: "string" },
    rate: { type: "string", default: "100000" },
  },
});

/** What was asked for so long before a kill is complete, whatever the ledger says. */
const LONG_AGO_MS = 3_000;

if (options.child !== undefined) await extract(options.child, Number(options.rate));
else await main();

async function main(): Promise<void> {
  const wanted = (name: string) => options.only === "" || options.only === name;
  if (wanted("kills")) await measureKills(Number(options.kills), Number(options.seed));
  if (wanted("rates")) for (const rate of options.rates.split(",")) await measureRate(Number(rate));
  if (wanted("speed")) await measureSpeed();
}

/** Starts the run below `folder`, or goes on with it. */
async function extract(folder: string, ratePerSecond: number): Promise<void> {
  const tenuto = await openTenuto({ home: join(folder, "home"), pipelines: [associationsPipeline({ ratePerSecond })] });
  try {
    const params = { association: FIXTURE_CODE, configDir: join(folder, "config"), dataDir: join(folder, "data") };
    const { state, error } = await (await tenuto.start("associations", params, { idempotencyKey: "figures" })).wait();
    if (state !== "completed") throw new Error(`the run ${state}: ${error?.message}`);
  } finally {
    await tenuto.close();
  }
}

async function prepared(site: FixtureSite, name: string, ratePerSecond = 100_000): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), `figures-${name}-`));
  await writeSiteConfig(join(folder, "config"), site.url, { ratePerSecond, members: site.members.length });
  return folder;
}

/** Records without what differs between any two runs: times, run ids. */
async function recordsOf(folder: string): Promise<string[]> {
  const text = await readFile(join(folder, "data/raw", FIXTURE_CODE, "records.jsonl"), "utf8");
  return text
    .trim()
    .split("\n")
    .map((line) => line.replaceAll(/"(extracted_at|job_id)":"[^"]*"/g, '"$1":""'));
}

async function measureKills(kills: number, seed: number): Promise<void> {
  const random = randomness(seed);
  const site = await startSite({ retryAfterSeconds: 0 });
  const calm = await prepared(site, "calm");
  const disturbed = await prepared(site, "kills");
  try {
    await extract(calm, 100_000);
    const expected = await recordsOf(calm);
    site.requests.clear();
    const asked = new Map<string, number>();
    const complete = new Set<string>();
    let again = 0;
    let wrong = 0;
    let total = 0;
    site.onRequest = (_, path) => {
      total++;
      if (complete.has(path) && path !== site.faults.limited) wrong++;
      else if (asked.has(path)) again++;
      asked.set(path, performance.now());
    };
    // Moments spread over the whole work, by what has been asked for so far; the last ones fall into the writing.
    const points = Array.from({ length: kills }, () => Math.floor(random() * 1_150)).sort(
      (left, right) => left - right,
    );
    let done = false;
    for (const [at, point] of points.entries()) {
      if (done) break;
      const child = startChild(disturbed);
      const ended = new Promise<number | null>((resolve) => child.once("exit", resolve));
      const delayMs = random() * 40;
      const killer = setInterval(() => asked.size >= point && setTimeout(() => child.kill("SIGKILL"), delayMs), 5);
      done = (await ended) === 0;
      clearInterval(killer);
      if (!done) for (const path of await completed(disturbed, site.url)) complete.add(path);
      const now = performance.now();
      for (const [path, when] of asked) if (now - when > LONG_AGO_MS) complete.add(path);
      console.log(`  kill ${at + 1}: ${asked.size} addresses, ${total} requests so far`);
    }
    if (!done && (await new Promise((resolve) => startChild(disturbed).once("exit", resolve))) !== 0)
      throw new Error("the last process failed");
    const records = await recordsOf(disturbed);
    const same = records.length === expected.length && records.every((record, at) => record === expected[at]);
    console.log(
      `kills: ${kills}; ${asked.size} addresses, ${again} asked again while in flight, ${wrong} asked again though complete; ${records.length} records, ${same ? "identical to" : "DIFFERENT from"} the undisturbed run`,
    );
  } finally {
    await site.close();
    await Promise.all([calm, disturbed].map((folder) => rm(folder, { recursive: true, force: true })));
  }
}

/** The members whose items the ledger has as completed: what it has is never asked for again. */
async function completed(folder: string, siteUrl: string): Promise<string[]> {
  const tenuto = await openTenuto({ home: join(folder, "home"), pipelines: [associationsPipeline()], work: false });
  try {
    const [run] = await tenuto.client.runs();
    if (run === undefined) return [];
    const items = await tenuto.client.items(run.id, "fetch", { states: ["completed"], limit: 2_000 }).catch(() => []);
    const urls = items.map(({ result }) => (JSON.parse(result ?? "{}") as { url?: string }).url ?? "");
    return urls.filter((url) => url.startsWith(siteUrl)).map((url) => url.slice(siteUrl.length));
  } finally {
    await tenuto.close();
  }
}

function startChild(folder: string) {
  const args = ["--conditions=source", import.meta.filename, "--child", folder, "--rate", options.rate];
  return spawn(process.execPath, args, { stdio: ["ignore", "ignore", "inherit"] });
}

async function measureRate(ratePerSecond: number): Promise<void> {
  const site = await startSite({ members: Math.max(60, ratePerSecond * 20), retryAfterSeconds: 0 });
  const folder = await prepared(site, "rate", ratePerSecond);
  const times: number[] = [];
  // From the first member to the last: between the jobs before, nothing is asked for.
  site.onRequest = (_, path) => void (/^\/members\/\d/.test(path) && times.push(performance.now()));
  try {
    await extract(folder, 100_000);
    const seconds = (times.at(-1)! - times[0]!) / 1000;
    const measured = (times.length - 1) / seconds;
    const off = (100 * (measured - ratePerSecond)) / ratePerSecond;
    console.log(
      `rate: ${ratePerSecond}/s configured, ${measured.toFixed(2)}/s measured over ${seconds.toFixed(1)} s (${off.toFixed(1)} %)`,
    );
  } finally {
    await site.close();
    await rm(folder, { recursive: true, force: true });
  }
}

/** Crawl without a limit, then a bare loop over the same addresses with as many at a time, against the same server. */
async function measureSpeed(): Promise<void> {
  const site = await startSite({ retryAfterSeconds: 0 });
  const agent = new Agent({ connections: 16 });
  const folders: string[] = [];
  try {
    for (let round = 1; round <= 3; round++) {
      const folder = await prepared(site, "speed");
      folders.push(folder);
      const times: number[] = [];
      site.requests.clear();
      site.onRequest = () => void times.push(performance.now());
      await extract(folder, 100_000);
      const crawl = (times.length - 1) / ((times.at(-1)! - times[0]!) / 1000);
      site.onRequest = null;
      const paths = [...site.requests.keys()];
      const startedAt = performance.now();
      let next = 0;
      const loop = async () => {
        for (let at = next++; at < paths.length; at = next++)
          await (await fetch(site.url + paths[at], { dispatcher: agent })).text();
      };
      await Promise.all(Array.from({ length: 5 }, loop));
      const bare = paths.length / ((performance.now() - startedAt) / 1000);
      console.log(
        `speed: crawl and extraction ${crawl.toFixed(0)}/s, bare loop ${bare.toFixed(0)}/s, ${((100 * crawl) / bare).toFixed(0)} %`,
      );
    }
  } finally {
    await agent.close();
    await site.close();
    await Promise.all(folders.map((folder) => rm(folder, { recursive: true, force: true })));
  }
}
