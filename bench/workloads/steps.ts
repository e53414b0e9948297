/** 1,000 durable steps in sequence, against a bare loop that writes one row per commit. */
import { definePipeline, openTenuto } from "tenuto";
import { bareDatabase, elapsed, inFolder } from "../place.ts";
import { type Figure, median } from "../report.ts";

const STEPS = 1_000;
const ROUNDS = 7;

export async function steps(): Promise<Figure[]> {
  return await inFolder(async (folder) => {
    const pipeline = definePipeline({
      name: "steps",
      run: async (ctx) => {
        const startedAt = performance.now();
        for (let i = 0; i < STEPS; i++) await ctx.step(["step", i], () => ({ i }));
        return elapsed(startedAt);
      },
    });
    await using tenuto = await openTenuto({ home: folder, pipelines: [pipeline] });
    const db = bareDatabase(folder);
    db.exec(
      "CREATE TABLE step (job INTEGER, key TEXT, output TEXT, at INTEGER, PRIMARY KEY (job, key)) STRICT, WITHOUT ROWID",
    );
    const insert = db.prepare("INSERT INTO step VALUES (?, ?, ?, ?)");
    const ours: number[] = [];
    const bare: number[] = [];
    for (let round = 0; round < ROUNDS + 2; round++) {
      const run = await tenuto.start("steps");
      const seconds = Number((await run.wait()).output);
      const startedAt = performance.now();
      for (let i = 0; i < STEPS; i++) insert.run(round, `step/${i}`, JSON.stringify({ i }), Date.now());
      if (round < 2) continue;
      ours.push(STEPS / seconds);
      bare.push(STEPS / elapsed(startedAt));
    }
    db.close();
    const ratio = median(ours.map((value, index) => value / bare[index]!));
    return [
      {
        workload: "steps",
        what: "1,000 durable steps in sequence",
        value: median(ours),
        unit: "steps/s",
        reference: { what: "bare one-row commits", value: median(bare) },
        target: { text: `at least 75 % of bare, is ${(ratio * 100).toFixed(0)} %`, met: ratio >= 0.75 },
      },
    ];
  });
}
