/**
 * Selectors written once by a model and replayed by code: `extraction/selector_writer` proposes, `extraction/selector_checker` replays the
 * proposal on the pages it was made from, and stores it as the association's schema only when it holds.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Agent, Context } from "tenuto";
import { defineAgent } from "tenuto";
import { z } from "zod";
import { schemaFileIn, writeSchema } from "../../adapters/config.ts";
import { ConfigError, ParseError } from "../../domain/errors.ts";
import { sampleOf } from "../../domain/page-sample.ts";
import { checkProposal, proposalSchema, schemaFileOf } from "../../domain/selector-proposal.ts";
import { configDirOf, readPage, storedPageSchema } from "../web.ts";

const SKILL = join(import.meta.dirname, "../../skills/extraction/SKILL.md");

type Definition = Extract<Parameters<typeof defineAgent>[0], { kind: "llm" }>;

export interface SelectorWriterOptions {
  /** `anthropic/<model>` or `openai-compatible/<model>`, or with address and price. */
  model: Definition["model"];
  budget?: { calls?: number; cost?: number };
}

/** The model that proposes. It has no tools: pages come in, selectors go out. */
export function selectorWriter({ model, budget = {} }: SelectorWriterOptions): Agent {
  return defineAgent({
    kind: "llm",
    name: "extraction/selector_writer",
    version: "1",
    description: "Proposes selectors for a directory, by skills/extraction/SKILL.md",
    skill: readFileSync(SKILL, "utf8"),
    model,
    output: proposalSchema,
    budget: { calls: 4, ...budget },
  });
}

export const selectorSampleInput = z.object({ configDir: z.string(), page: storedPageSchema });
export const selectorSampleOutput = z.object({ pages: z.array(z.object({ url: z.string(), html: z.string() })) });

/** What the model is shown of a page; refused early where the answer could not be kept. */
export function selectorSample() {
  return {
    name: "extraction/selector_sample",
    description: "Cuts a page of a directory down to what selectors are written from",
    version: "1",
    input: selectorSampleInput,
    output: selectorSampleOutput,
    run: async ({ configDir, page }: z.infer<typeof selectorSampleInput>, ctx: Context) => {
      if (configDir === "")
        throw new ConfigError("selectors are stored in a configuration folder, and none was given", {
          hint: "Give -p configDir=FOLDER with an associations.yaml of your own.",
        });
      return { pages: [{ url: page.url, html: sampleOf(await readPage(ctx, page)) }] };
    },
  };
}

export const selectorCheckerInput = z.object({
  association: z.string(),
  configDir: z.string(),
  proposal: z.unknown(),
  pages: z.array(storedPageSchema).min(1),
});

export const selectorCheckerOutput = z.object({
  schema: z.string(),
  path: z.string(),
  records: z.number(),
  filled: z.record(z.string(), z.number()),
});

type Input = z.infer<typeof selectorCheckerInput>;

export function selectorChecker() {
  return {
    name: "extraction/selector_checker",
    description: "Replays proposed selectors on pages of the directory, and stores them when they hold",
    version: "1",
    input: selectorCheckerInput,
    output: selectorCheckerOutput,
    run: check,
  };
}

async function check(input: Input, ctx: Context): Promise<z.infer<typeof selectorCheckerOutput>> {
  const configDir = configDirOf(input.configDir);
  const file = schemaFileOf(input.proposal);
  const pages = await Promise.all(input.pages.map((stored) => readPage(ctx, stored)));
  const { accepted, reasons, records, filled } = checkProposal(file, pages, (name) => schemaFileIn(configDir, name));
  if (!accepted) {
    throw new ParseError(`the proposed selectors do not hold: ${reasons.join("; ")}`, {
      hint: "The directory is read by its structure instead, or write a schema by hand.",
    });
  }
  const schema = input.association.toLowerCase();
  const path = await writeSchema(configDir, schema, file);
  ctx.log.info(`Stored selectors for ${input.association}: ${records} records on ${pages.length} pages`);
  return { schema, path, records, filled };
}
