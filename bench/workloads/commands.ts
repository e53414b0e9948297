/** Command jobs that run /bin/true, against bare detached spawns with pipes at the same concurrency. */
import { spawn } from "node:child_process";
import { definePipeline, openTenuto } from "tenuto";
import { elapsed, inFolder } from "../place.ts";
import { type Figure, median } from "../report.ts";

const JOBS = 1_000;
const CONCURRENCY = 16;
const ROUNDS = 3;

const pipeline = definePipeline({
  name: "commands",
  jobs: Array.from({ length: JOBS }, (_, at) => ({ id: `c${at}`, command: ["/bin/true"], needs: [] })),
});

export async function commands(): Promise<Figure[]> {
  const ours: number[] = [];
  const bare: number[] = [];
  for (let round = 0; round < ROUNDS + 1; round++) {
    const rate = await measure();
    const reference = await bareSpawns();
    if (round === 0) continue;
    ours.push(rate);
    bare.push(reference);
  }
  const ratio = median(ours.map((value, index) => value / bare[index]!));
  return [
    {
      workload: "commands",
      what: `/bin/true at concurrency ${CONCURRENCY}`,
      value: median(ours),
      unit: "jobs/s",
      reference: { what: "bare detached spawns with pipes", value: median(bare) },
      target: { text: `at least 70 % of bare, is ${(ratio * 100).toFixed(0)} %`, met: ratio >= 0.7 },
    },
  ];
}

async function measure(): Promise<number> {
  return await inFolder(async (folder) => {
    await using tenuto = await openTenuto({ home: folder, pipelines: [pipeline], concurrency: CONCURRENCY });
    const startedAt = performance.now();
    const end = await (await tenuto.start("commands")).wait();
    if (end.state !== "completed") throw new Error(`commands ended ${end.state}: ${JSON.stringify(end.error)}`);
    return JOBS / elapsed(startedAt);
  });
}

async function bareSpawns(): Promise<number> {
  let next = 0;
  const startedAt = performance.now();
  const lane = async () => {
    while (next < JOBS) {
      next += 1;
      await new Promise<void>((resolve, reject) => {
        const child = spawn("/bin/true", [], { detached: true, stdio: ["pipe", "pipe", "pipe"] });
        child.stdout.resume();
        child.stderr.resume();
        child.stdin.end();
        child.on("error", reject);
        child.on("close", () => resolve());
      });
    }
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, lane));
  return JOBS / elapsed(startedAt);
}
