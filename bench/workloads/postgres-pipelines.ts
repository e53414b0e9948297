/** Pipelines of the PostgreSQL workloads, for the measuring process and for the workers beside it. */
import { defineAgent, definePipeline } from "tenuto";

const noop = defineAgent({
  name: "bench/noop",
  run: (input: { n: number } | null) => ({ n: (input?.n ?? 0) + 1 }),
});
const double = defineAgent({ name: "bench/double", run: (item: number) => item * 2 });
const names = ["a", "b", "c", "d", "e"];
export const STEPS = 1_000;

export const chain = definePipeline({
  name: "chain",
  agents: [noop],
  jobs: names.map((id, index) =>
    index === 0
      ? { id, agent: "bench/noop" }
      : {
          id,
          agent: "bench/noop",
          needs: [names[index - 1]!],
          input: { n: `{{ jobs.${names[index - 1]}.output.n }}` },
        },
  ),
});

export const single = definePipeline({ name: "single", agents: [noop], jobs: [{ id: "a", agent: "bench/noop" }] });

export const steps = definePipeline({
  name: "steps",
  run: async (ctx) => {
    const startedAt = performance.now();
    for (let i = 0; i < STEPS; i++) await ctx.step(["step", i], () => ({ i }));
    return (performance.now() - startedAt) / 1_000;
  },
});

/** A fan-out whose windows any worker may take. */
export const items = (size: number) =>
  definePipeline({
    name: `items-${size}`,
    agents: [double],
    jobs: [
      {
        id: "items",
        agent: "bench/double",
        forEach: { source: Array.from({ length: size }, (_, at) => at), concurrency: 100 },
      },
    ],
  });
