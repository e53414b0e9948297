/** One run of one job on an idle engine, against three bare idle commits. */
import { defineAgent, definePipeline, openTenuto } from "tenuto";
import { bareDatabase, inFolder } from "../place.ts";
import { type Figure, percentile } from "../report.ts";

const SAMPLES = 500;

const agent = defineAgent({ name: "bench/noop", run: () => 1 });
const single = definePipeline({ name: "single", agents: [agent], jobs: [{ id: "a", agent: "bench/noop" }] });
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

export async function idle(): Promise<Figure[]> {
  return await inFolder(async (folder) => {
    await using tenuto = await openTenuto({ home: folder, pipelines: [single] });
    const db = bareDatabase(folder);
    db.exec("CREATE TABLE t (id INTEGER PRIMARY KEY, data TEXT) STRICT");
    const insert = db.prepare("INSERT INTO t (data) VALUES (?)");
    const ours: number[] = [];
    const bare: number[] = [];
    for (let sample = -50; sample < SAMPLES; sample++) {
      await pause(2);
      const startedAt = performance.now();
      await (await tenuto.start("single")).wait();
      const took = performance.now() - startedAt;
      await pause(2);
      const bareAt = performance.now();
      for (let i = 0; i < 3; i++) {
        insert.run("x".repeat(200));
        await new Promise((resolve) => setImmediate(resolve));
      }
      if (sample < 0) continue;
      ours.push(took);
      bare.push(performance.now() - bareAt);
    }
    db.close();
    return [
      [0.5, 1.6, "p50"],
      [0.99, 2, "p99"],
    ].map(([share, limit, name]): Figure => {
      const value = percentile(ours, share as number);
      const reference = percentile(bare, share as number);
      return {
        workload: "idle",
        what: `one run of one job, ${name}`,
        value,
        unit: "ms",
        reference: { what: "three bare idle commits", value: reference },
        target: {
          text: `at most ${limit} ×, is ${(value / reference).toFixed(2)} ×`,
          met: value <= (limit as number) * reference,
        },
      };
    });
  });
}
