/** Graphs of 1,000 and 10,000 jobs: time to create, and the scheduling cost per job, which must not grow with the graph. */
import { defineAgent, definePipeline, openTenuto } from "tenuto";
import { elapsed, inFolder } from "../place.ts";
import type { Figure } from "../report.ts";

const agent = defineAgent({ name: "bench/noop", run: () => null });

type Jobs = { id: string; agent: string; needs?: string[] }[];

const SHAPES: Record<string, (size: number) => { name: string; jobs: Jobs }[]> = {
  wide: (size) => [{ name: "main", jobs: named(size, () => []) }],
  "deep chain": (size) => [{ name: "main", jobs: named(size, (at) => (at === 0 ? [] : [`j${at - 1}`])) }],
  "two stages": (size) => [
    { name: "first", jobs: named(size / 2, undefined, "a") },
    { name: "second", jobs: named(size / 2, undefined, "b") },
  ],
  random: (size) => {
    const random = seeded(42);
    return [
      {
        name: "main",
        jobs: named(size, (at) => [
          ...new Set(Array.from({ length: Math.min(at, 3) }, () => `j${Math.floor(random() * at)}`)),
        ]),
      },
    ];
  },
};

function named(size: number, needs: ((at: number) => string[]) | undefined, prefix = "j"): Jobs {
  return Array.from({ length: size }, (_, at) => ({
    id: `${prefix}${at}`,
    agent: "bench/noop",
    ...(needs === undefined ? {} : { needs: needs(at) }),
  }));
}

/** A small linear congruential generator: the same graph in every run. */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 1_664_525 + 1_013_904_223) % 4_294_967_296;
    return state / 4_294_967_296;
  };
}

export async function graph(): Promise<Figure[]> {
  const figures: Figure[] = [];
  await measure("wide", 1_000);
  for (const shape of Object.keys(SHAPES)) {
    const small = await measure(shape, 1_000);
    const large = await measure(shape, 10_000);
    figures.push({
      workload: "graph",
      what: `${shape}: 10,000 jobs created in`,
      value: large.createMs,
      unit: "ms",
      target: { text: "under 1,000 ms", met: large.createMs < 1_000 },
    });
    figures.push({
      workload: "graph",
      what: `${shape}: cost per job at 10,000`,
      value: large.perJobUs,
      unit: "µs",
      reference: { what: "at 1,000 jobs", value: small.perJobUs },
      target: { text: "flat: at most 1.25 ×", met: large.perJobUs <= 1.25 * small.perJobUs },
    });
  }
  return figures;
}

async function measure(shape: string, size: number): Promise<{ createMs: number; perJobUs: number }> {
  return await inFolder(async (folder) => {
    const pipeline = definePipeline({ name: "graph", agents: [agent], stages: SHAPES[shape]!(size) });
    await using tenuto = await openTenuto({ home: folder, pipelines: [pipeline], concurrency: 100 });
    const startedAt = performance.now();
    const run = await tenuto.start("graph");
    const createMs = elapsed(startedAt) * 1_000;
    const end = await run.wait();
    if (end.state !== "completed") throw new Error(`the ${shape} graph ended ${end.state}`);
    return { createMs, perJobUs: ((elapsed(startedAt) * 1_000 - createMs) * 1_000) / size };
  });
}
