/**
 * The optional implementation of enriching and validating agents: a language model that works by `skills/<layer>/SKILL.md`.
 *
 * It takes the place of the code under the same name, with the same input, and gives the same kind of result. Code checks what comes back:
 * the next job refuses a batch with fewer or more records than went in. It may use nothing but the tools and hosts named here.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Agent } from "tenuto";
import { defineAgent } from "tenuto";
import { z } from "zod";

/** Agents for which a model may stand in. */
export const MODEL_AGENTS = [
  "enrichment/firmographic",
  "enrichment/tech_stack",
  "enrichment/contact_finder",
  "validation/crossref",
] as const;
export type ModelAgent = (typeof MODEL_AGENTS)[number];

type Definition = Extract<Parameters<typeof defineAgent>[0], { kind: "llm" }>;

export interface ModelOptions {
  /** `anthropic/<model>` or `openai-compatible/<model>`, or with address and price. */
  model: Definition["model"];
  /** Hosts that it may read from. Default none. */
  hosts?: readonly string[];
  /** Calls and money of one batch. Default 30 calls. */
  budget?: { calls?: number; cost?: number };
}

const DEFAULT_CALLS = 30;
const SKILLS = join(import.meta.dirname, "..", "skills");

/** The form that a batch must have when it comes back. */
const batchResult = z.object({
  success: z.literal(true),
  batch: z.number().int(),
  records: z.array(z.looseObject({})),
  records_processed: z.number().int(),
});

/** An agent of this name that is a model. */
export function modelAgent(name: ModelAgent, { model, hosts = [], budget = {} }: ModelOptions): Agent {
  const layer = name.split("/")[0] as string;
  return defineAgent({
    kind: "llm",
    name,
    version: "model-1",
    description: `As ${name}, by a model that follows skills/${layer}/SKILL.md`,
    skill: `You were called as ${name}.\n\n${readFileSync(join(SKILLS, layer, "SKILL.md"), "utf8")}`,
    model,
    output: batchResult,
    budget: { calls: DEFAULT_CALLS, ...budget },
    timeoutSeconds: 3600,
    ...(hosts.length === 0 ? {} : { tools: ["http_request"], http: { hosts: [...hosts] } }),
  });
}

/** `agents`, with models in the place of those named. */
export function withModels(agents: readonly Agent[], models: Partial<Record<ModelAgent, ModelOptions>>): Agent[] {
  const chosen = new Map(
    Object.entries(models).map(([name, options]) => [name, modelAgent(name as ModelAgent, options)]),
  );
  return agents.map((agent) => chosen.get(agent.name) ?? agent);
}
