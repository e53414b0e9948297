/** The routes and shapes that the devloop source document names, as aliases; its words are kept as they are there. */
import { z } from "zod";
import { Count, JobId, JsonValue, limitUpTo, text } from "./words.ts";

export const Start = z
  .strictObject({
    prompt: text(1_000_000).min(1),
    workspace_path: text(4_000).optional(),
    params: z.record(z.string(), JsonValue).optional(),
  })
  .meta({ id: "CompatStart" });

export const Job = z.object({
  id: z.string(),
  name: z.string(),
  status: z.string(),
  retries: Count,
  parent_job_id: z.string().nullable(),
  depends_on: z.array(z.string()),
});
export const Pipeline = z
  .object({
    id: z.string(),
    name: z.string().meta({ description: "The first 50 characters of the prompt." }),
    description: z.string().nullable(),
    template: z.string(),
    status: z.string(),
    stages: z.array(z.object({ name: z.string(), status: z.string(), jobs: z.array(Job) })),
    created_at: z.string(),
    completed_at: z.string().nullable(),
  })
  .meta({ id: "CompatPipeline" });
export const PipelineList = z.object({ pipelines: z.array(Pipeline) }).meta({ id: "CompatPipelineList" });
export const TemplateList = z
  .object({ templates: z.array(z.object({ id: z.string(), name: z.string(), description: z.string().nullable() })) })
  .meta({ id: "CompatTemplateList" });
export const Status = z
  .object({ id: z.string(), status: z.string(), completed_at: z.string().nullable() })
  .meta({ id: "CompatStatus" });
export const LogLines = z
  .object({ lines: z.array(z.string()), total: Count, live: z.boolean() })
  .meta({ id: "CompatLogLines" });
export const ListQuery = z.strictObject({ limit: limitUpTo(100, 10) });
export const LogQuery = z.strictObject({ line: z.coerce.number().int().min(0).default(0), job: JobId.optional() });
