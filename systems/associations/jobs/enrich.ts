/** Enrichment as a pipeline takes it: its agents, its limiters, and the jobs of one association. */
import { defineAgent } from "tenuto";
import { batches } from "./enrich-batches.ts";
import { contactFinder } from "./enrich-contacts.ts";
import { firmographic } from "./enrich-firmographic.ts";
import type { TechServices } from "./enrich-tech-stack.ts";
import { techStack } from "./enrich-tech-stack.ts";
import { enrichWriter } from "./enrich-writer.ts";
import { realServices } from "./web.ts";

export { providerLimiters } from "../adapters/providers/settings.ts";

/** The agents of enrichment. */
export function enrichmentAgents(services: TechServices = realServices) {
  return [
    defineAgent(batches()),
    defineAgent(firmographic(services)),
    defineAgent(techStack(services)),
    defineAgent(contactFinder(services)),
    defineAgent(enrichWriter()),
  ];
}

/** All but the first two may be placeholders. */
export interface EnrichmentOptions {
  /** Where the records are: input of `enrichment/batches`, `{path}` or `{records}`. */
  source: { path: string } | { records: string };
  /** Jobs that these wait for; default: the stage before. */
  needs?: readonly string[];
  association?: string;
  dataDir?: string;
  configDir?: string;
  /** all, firmographic, techstack or contacts. */
  enrichment?: string;
  /** Before each job's name, where one pipeline has several. Default none. */
  prefix?: string;
  allowPrivateSites?: boolean;
}

/**
 * The jobs: batches → firmographic → tech_stack → contacts → write_enriched. Each step works on the batches that the one before gave; a batch
 * that a step loses goes out as the step before left it.
 */
export function enrichmentJobs(options: EnrichmentOptions) {
  const { source, needs, prefix = "", allowPrivateSites = false } = options;
  const {
    association = "{{ params.association }}",
    dataDir = "{{ params.dataDir }}",
    configDir = "{{ params.configDir }}",
    enrichment = "all",
  } = options;
  const id = (name: string) => `${prefix}${name}`;
  const output = (name: string) => `{{ jobs.${id(name)}.output }}`;
  const step = (name: string, agent: string, before: string, input: object = {}) => ({
    id: id(name),
    agent,
    needs: [before === "batches" ? id("batches") : id(before)],
    onExhausted: "skip" as const,
    effects: "outside" as const,
    // What is lost here is not lost: the writer takes the batch as it was.
    forEach: {
      source: before === "batches" ? `{{ jobs.${id("batches")}.output.batches }}` : output(before),
      concurrency: 2,
      errorRate: 1,
    },
    input: { records: "{{ item.records }}", batch: "{{ item.batch }}", enrichment, ...input },
  });
  return [
    {
      id: id("batches"),
      agent: "enrichment/batches",
      summary: `Batches of ${association}`,
      ...(needs === undefined ? {} : { needs: [...needs] }),
      input: source,
    },
    step("firmographic", "enrichment/firmographic", "batches"),
    step("tech_stack", "enrichment/tech_stack", "firmographic", { configDir, allow_private_sites: allowPrivateSites }),
    step("contacts", "enrichment/contact_finder", "tech_stack"),
    {
      id: id("write_enriched"),
      agent: "enrichment/writer",
      summary: `Write enriched.jsonl of ${association}`,
      needs: ["batches", "firmographic", "tech_stack", "contacts"].map(id),
      input: {
        association,
        dataDir,
        batches: `{{ jobs.${id("batches")}.output.batches }}`,
        results: [output("firmographic"), output("tech_stack"), output("contacts")],
      },
    },
  ];
}
