// Shows: an LLM agent with a skill, tools, a result schema and a budget; its result is a gate's verdict.
// Run:   npx tenuto run examples/llm-review.ts
//        npm run example examples/llm-review.ts
//        MODEL_URL=http://localhost:11434/v1 MODEL=qwen3 npx tenuto run examples/llm-review.ts   (a model of your own)
import { defineAgent, definePipeline, openTenuto } from "tenuto";
import { z } from "zod";
import { standInModel } from "./agents/stand_in_model.ts";

const write = defineAgent({
  name: "notes/write",
  run: async (input: { text: string }, ctx) => {
    await ctx.artifact("notes.md", input.text, { mediaType: "text/markdown" });
    return { bytes: input.text.length };
  },
});

const review = defineAgent({
  kind: "llm",
  name: "review/notes",
  file: import.meta.url,
  skill: "skills/review/SKILL.md",
  model: {
    id: `openai-compatible/${process.env["MODEL"] ?? "stand-in"}`,
    baseURL: process.env["MODEL_URL"] ?? (await standInModel()),
    price: { input: 3, output: 15 },
  },
  // All that it may do: these two tools, 20 calls, 0.50 of whatever the price is in.
  tools: ["list_artifacts", "read_artifact"],
  budget: { calls: 20, cost: 0.5 },
  output: z.object({
    verdict: z.enum(["PASSED", "FAILED"]),
    findings: z.array(z.object({ level: z.enum(["warning", "error"]), message: z.string() })),
  }),
});

export const llmReview = definePipeline({
  name: "llm-review",
  params: z.object({ text: z.string().default("Hold teh note.\nFor its full value.\n") }),
  jobs: [
    { id: "write", agent: write, input: { text: "{{ params.text }}" } },
    {
      id: "review",
      agent: review,
      needs: ["write"],
      input: "Review the notes.",
      gate: { verdict: "{{ output }}", onFailed: "continue" },
    },
  ],
});

if (import.meta.main) {
  await using tenuto = await openTenuto({ pipelines: [llmReview] });
  const run = await tenuto.start(llmReview, {});
  const end = await run.wait();
  const { output } = await tenuto.client.job(run.id, "review");
  const { calls, cost } = await tenuto.client.usage(run.id);
  console.log(`${run.id} ${end.state} after ${calls} calls for ${cost}: ${output}`);
}
