/** Fan-out of trivial items at concurrency 100, each result durable, collected in order. */
import { definePipeline, openTenuto } from "tenuto";
import { bareDatabase, elapsed, inFolder } from "../place.ts";
import type { Figure } from "../report.ts";

const CONCURRENCY = 100;

interface Measured {
  rate: number;
  rssMb: number;
}

export async function fanout(sizes: readonly number[] = [10_000, 100_000, 1_000_000]): Promise<Figure[]> {
  const figures: Figure[] = [];
  await measure(10_000, false);
  const measured: Measured[] = [];
  for (const size of sizes) measured.push(await measure(size, false));
  // Last, because what it leaves in memory is not the engine's.
  const reference = await bareGroupCommit(200_000);
  const first: Record<number, number> = {};
  for (const [index, size] of sizes.entries()) {
    const { rate, rssMb } = measured[index]!;
    first[size] = rate;
    const small = first[10_000] ?? rate;
    const met = size <= 100_000 ? rate >= 50_000 : rate >= 0.8 * small;
    figures.push({
      workload: "fan-out",
      what: `${size.toLocaleString("en-US")} items`,
      value: rate,
      unit: "items/s",
      reference: { what: "bare group commit of 100 rows", value: reference },
      target: { text: size <= 100_000 ? "at least 50,000/s" : "within 20 % of 10,000 items", met },
    });
    figures.push({
      workload: "fan-out",
      what: `memory (semi-space 4 MB) at ${size.toLocaleString("en-US")} items`,
      value: rssMb,
      unit: "MB",
      target: { text: "under 200 MB", met: rssMb < 200 },
    });
  }
  const keyed = await measure(100_000, true);
  figures.push({
    workload: "fan-out",
    what: "100,000 items with declared keys",
    value: keyed.rate,
    unit: "items/s",
    target: { text: "at least 25,000/s", met: keyed.rate >= 25_000 },
  });
  return figures;
}

async function measure(size: number, keyed: boolean): Promise<Measured> {
  return await inFolder(async (folder) => {
    let peak = 0;
    const pipeline = definePipeline({
      name: "fanout",
      run: async (ctx) => {
        const watch = setInterval(() => {
          peak = Math.max(peak, process.memoryUsage.rss());
        }, 50);
        const startedAt = performance.now();
        const result = await ctx.map("items", numbers(size), (item: number) => item * 2, {
          concurrency: CONCURRENCY,
          ...(keyed ? { key: (item: number) => `item-${item}` } : {}),
        });
        let expected = 0;
        for await (const value of result) {
          if (value !== expected) throw new Error(`result ${expected / 2} is ${value}`);
          expected += 2;
        }
        clearInterval(watch);
        return { seconds: elapsed(startedAt), count: result.count };
      },
    });
    await using tenuto = await openTenuto({ home: folder, pipelines: [pipeline] });
    globalThis.gc?.();
    const end = await (await tenuto.start("fanout")).wait();
    const output = end.output as { seconds: number; count: number } | null;
    if (output === null || output.count !== size)
      throw new Error(`fan-out of ${size} ended ${end.state}: ${JSON.stringify(end.error)}`);
    return { rate: size / output.seconds, rssMb: peak / 1_048_576 };
  });
}

async function* numbers(size: number): AsyncGenerator<number> {
  for (let item = 0; item < size; item++) yield item;
}

async function bareGroupCommit(rows: number): Promise<number> {
  return await inFolder(async (folder) => {
    const db = bareDatabase(folder);
    db.exec(
      "CREATE TABLE item (job INTEGER, ordinal INTEGER, state TEXT, attempts INTEGER, result TEXT, error TEXT, due_at INTEGER, ended_at INTEGER, PRIMARY KEY (job, ordinal)) STRICT, WITHOUT ROWID",
    );
    const insert = db.prepare("INSERT INTO item VALUES (1, ?, 'completed', 1, ?, NULL, NULL, ?)");
    const begin = db.prepare("BEGIN IMMEDIATE");
    const commit = db.prepare("COMMIT");
    const startedAt = performance.now();
    for (let at = 0; at < rows; at += CONCURRENCY) {
      begin.run();
      for (let i = 0; i < CONCURRENCY; i++) insert.run(at + i, JSON.stringify((at + i) * 2), Date.now());
      commit.run();
    }
    const rate = rows / elapsed(startedAt);
    db.close();
    return rate;
  });
}
