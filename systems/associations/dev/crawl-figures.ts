/**
 * Figures of the crawl on the made-up site of 1,134 members: what kills cost, how well a rate is kept, how near a bare loop it comes.
 *
 *   node --conditions=source systems/associations/dev/crawl-figures.ts [--kills 20] [--rates 20,60] [--rounds 5] [--seed 1]
 *     [--only kills|rates|speed]
 *
 * The site lives in this process; the engine and the bare loops live in processes of their own, as a crawler and a site do.
 * Times are of this machine at this moment: what is compared is run in turns. The figures are kept in FIGURES.md.
 */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { openTenuto } from "tenuto";
import { Agent, fetch } from "undici";
import { exited, startChild } from "../fixtures/child.ts";
import { killAndGoOn } from "../fixtures/kills.ts";
import type { FixtureSite } from "../fixtures/site.ts";
import { FIXTURE_CODE, startSite, writeSiteConfig } from "../fixtures/site.ts";
import { associationsPipeline } from "../pipeline.ts";

const { values: options } = parseArgs({
  options: {
    kills: { type: "string", default: "20" },
    rates: { type: "string", default: "20,60" },
    rounds: { type: "string", default: "5" },
    seed: { type: "string", default: "1" },
    only: { type: "string", default: "" },
    /** Set for a child: folder of a crawl, or address of the site for a bare loop over the paths that it is sent. */
    child: { type: "string" },
    bare: { type: "string" },
    at: { type: "string", default: "16" },
  },
});

const UNLIMITED = 100_000;

if (options.child !== undefined) await extract(options.child, UNLIMITED);
else if (options.bare !== undefined) await bareLoop(options.bare, Number(options.at));
else await main();

async function main(): Promise<void> {
  const wanted = (name: string) => options.only === "" || options.only === name;
  if (wanted("kills")) await measureKills(Number(options.kills), Number(options.seed));
  if (wanted("rates")) for (const rate of options.rates.split(",")) await measureRate(Number(rate));
  if (wanted("speed")) await measureSpeed(Number(options.rounds));
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

/** As many at a time as `width`, nothing kept and nothing read. */
async function bareLoop(url: string, width: number): Promise<void> {
  const paths = JSON.parse(await readFile(process.env.PATHS!, "utf8")) as string[];
  const agent = new Agent({ connections: width });
  let next = 0;
  const loop = async () => {
    for (let at = next++; at < paths.length; at = next++)
      await (await fetch(url + paths[at], { dispatcher: agent })).text();
  };
  await Promise.all(Array.from({ length: width }, loop));
  await agent.close();
}

async function prepared(site: FixtureSite, name: string, ratePerSecond = UNLIMITED): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), `figures-${name}-`));
  await writeSiteConfig(join(folder, "config"), site.url, { ratePerSecond, members: site.members.length });
  return folder;
}

async function measureKills(kills: number, seed: number): Promise<void> {
  const site = await startSite({ retryAfterSeconds: 0 });
  const folders = [await prepared(site, "calm"), await prepared(site, "kills")] as const;
  try {
    await extract(folders[0], UNLIMITED);
    site.requests.clear();
    const start = () => startChild(import.meta.filename, ["--child", folders[1]]);
    const found = await killAndGoOn(site, { folders, kills, seed, start, say: (text) => console.log(`  ${text}`) });
    const { again, slots, complete, oldestMs, records, identical, requests } = found;
    console.log(
      `kills: ${found.kills}; ${requests} requests; ${again.length} pages asked again, at most ${found.mostAgain} after one kill (${slots} at a time): ${found.unanswered} not answered when it fell, ${found.answered} answered and not yet on disk, the oldest for ${oldestMs.toFixed(0)} ms; ${complete} that were on disk; ${records} records, ${identical ? "identical to" : "DIFFERENT from"} the undisturbed run`,
    );
  } finally {
    await site.close();
    await Promise.all(folders.map((folder) => rm(folder, { recursive: true, force: true })));
  }
}

async function measureRate(ratePerSecond: number): Promise<void> {
  const site = await startSite({ members: Math.max(60, ratePerSecond * 20), retryAfterSeconds: 0 });
  const folder = await prepared(site, "rate", ratePerSecond);
  const times: number[] = [];
  // From the first member to the last: between the jobs before, nothing is asked for.
  site.onRequest = (_, path) => void (isMember(path) && times.push(performance.now()));
  try {
    await extract(folder, UNLIMITED);
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

function isMember(path: string): boolean {
  return /^\/members\/\d/.test(path);
}

interface Pace {
  members: number;
  all: number;
}

/** Requests a second as the site saw them: the members' pages alone, and everything from the first request to the last. */
async function paceOf(site: FixtureSite, child: () => ReturnType<typeof startChild>): Promise<Pace> {
  const all: number[] = [];
  const members: number[] = [];
  site.onRequest = (_, path) => {
    const now = performance.now();
    all.push(now);
    if (isMember(path)) members.push(now);
  };
  const code = await exited(child());
  site.onRequest = null;
  if (code !== 0) throw new Error(`the process ended with ${code}`);
  const rate = (times: number[]) => (1000 * (times.length - 1)) / (times.at(-1)! - times[0]!);
  return { members: rate(members), all: rate(all) };
}

/** Crawl without a limit, and bare loops over the same addresses, in turns against the same server. */
async function measureSpeed(rounds: number): Promise<void> {
  const site = await startSite({ retryAfterSeconds: 0 });
  const folders: string[] = [];
  const paces = { crawl: [] as Pace[], loop16: [] as Pace[], loop1: [] as Pace[] };
  try {
    for (let round = 0; round < rounds; round++) {
      const folder = await prepared(site, "speed");
      folders.push(folder);
      site.requests.clear();
      paces.crawl.push(await paceOf(site, () => startChild(import.meta.filename, ["--child", folder])));
      const list = join(folder, "paths.json");
      await writeFile(list, JSON.stringify([...site.requests.keys()]));
      for (const [name, width] of [
        ["loop16", "16"],
        ["loop1", "1"],
      ] as const)
        paces[name].push(
          await paceOf(site, () =>
            startChild(import.meta.filename, ["--bare", site.url, "--at", width], { PATHS: list }),
          ),
        );
      report(`round ${round + 1}`, (name) => paces[name].at(-1)!);
    }
    const median = (list: Pace[], part: keyof Pace) =>
      list.map((pace) => pace[part]).sort((a, b) => a - b)[list.length >> 1]!;
    report("median", (name) => ({ members: median(paces[name], "members"), all: median(paces[name], "all") }));
  } finally {
    await site.close();
    await Promise.all(folders.map((folder) => rm(folder, { recursive: true, force: true })));
  }

  function report(title: string, of: (name: keyof typeof paces) => Pace): void {
    const [crawl, loop16, loop1] = [of("crawl"), of("loop16"), of("loop1")];
    const share = (part: number, whole: number) => `${((100 * part) / whole).toFixed(0)} %`;
    console.log(
      `speed, ${title}: members' pages ${crawl.members.toFixed(0)}/s; bare loop, 16 at a time ${loop16.members.toFixed(0)}/s (${share(crawl.members, loop16.members)}), one by one ${loop1.members.toFixed(0)}/s (${share(crawl.members, loop1.members)}); with the directory before them ${crawl.all.toFixed(0)}/s (${share(crawl.all, loop16.all)}, ${share(crawl.all, loop1.all)})`,
    );
  }
}
