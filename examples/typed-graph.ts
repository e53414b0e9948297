// Shows: a typed graph: zod schemas at both ends of every job, stages, needs, when, allowFailure, error categories.
// Run:   npx tenuto run examples/typed-graph.ts -p city=Oslo
//        npm run example examples/typed-graph.ts
import { defineAgent, definePipeline, openTenuto } from "tenuto";
import { z } from "zod";

const Reading = z.object({ city: z.string(), celsius: z.array(z.number()).min(1) });
const Summary = z.object({ city: z.string(), mean: z.number(), frost: z.boolean() });

/** Input and output are checked at every call; `run` is typed by the schemas. */
const measure = defineAgent({
  name: "weather/measure",
  input: z.object({ city: z.string(), days: z.number().int() }),
  output: Reading,
  run: ({ city, days }, ctx) => {
    ctx.log.info(`measuring ${days} days in ${city}`);
    const base = city.length * 2 - 10;
    return { city, celsius: Array.from({ length: days }, (_, day) => base + (day % 3)) };
  },
});

const summarize = defineAgent({
  name: "weather/summarize",
  input: Reading,
  output: Summary,
  run: ({ city, celsius }) => {
    const mean = celsius.reduce((sum, value) => sum + value, 0) / celsius.length;
    return { city, mean, frost: mean < 0 };
  },
});

/** Sends the forecast to a service that is down. Only one job depends on it, and that one may go without. */
const announce = defineAgent({
  name: "weather/announce",
  input: Summary,
  retry: { maxRetries: 1, baseSeconds: 0.01 },
  run: () => {
    throw Object.assign(new Error("the radio station does not answer"), { code: "ECONNREFUSED" });
  },
});

const warn = defineAgent({
  name: "weather/warn",
  input: Summary,
  run: ({ city }) => `Frost in ${city}: cover the roses.`,
});

const file = defineAgent({
  name: "weather/file",
  input: z.object({ summary: Summary, announced: z.string() }),
  output: z.object({ text: z.string(), artifact: z.string() }),
  run: async ({ summary, announced }, ctx) => {
    const text = `${summary.city}: ${summary.mean.toFixed(1)} degrees, announcement ${announced}`;
    const { $artifact } = await ctx.artifact("forecast.txt", text, { mediaType: "text/plain" });
    return { text, artifact: $artifact };
  },
});

export const typedGraph = definePipeline({
  name: "typed-graph",
  file: import.meta.url,
  params: z.object({
    city: z.string().min(1).default("Rome"),
    days: z.number().int().min(1).max(31).default(7),
  }),
  stages: [
    {
      name: "observe",
      jobs: [
        { id: "measure", agent: measure, input: { city: "{{ params.city }}", days: "{{ params.days }}" } },
        { id: "summarize", agent: summarize, needs: ["measure"], input: "{{ jobs.measure.output }}" },
      ],
    },
    {
      name: "publish",
      jobs: [
        // Runs only where the condition holds; otherwise it is skipped with the reason `when`.
        {
          id: "warn",
          agent: warn,
          when: { eq: ["{{ jobs.summarize.output.frost }}", true] },
          input: "{{ jobs.summarize.output }}",
        },
        // May fail without failing the run.
        { id: "announce", agent: announce, allowFailure: true, input: "{{ jobs.summarize.output }}" },
        // Waits for the end of `announce`, however it ends.
        {
          id: "file",
          agent: file,
          needs: [{ job: "announce", on: "always" }],
          input: { summary: "{{ jobs.summarize.output }}", announced: "{{ jobs.announce.state }}" },
        },
      ],
    },
  ],
});

if (import.meta.main) {
  await using tenuto = await openTenuto({ pipelines: [typedGraph] });
  const run = await tenuto.start(typedGraph, { city: "Oslo" });
  const end = await run.wait();
  console.log(`${end.id} ${end.state}`);
  for (const job of await tenuto.client.jobs(run.id))
    console.log(`  ${job.id}: ${job.state}${job.reason ? ` (${job.reason})` : ""}`);
  console.log(end.output);
}
