/**
 * The pipelines of this system: `associations` for one association, a graph that shows every stage, and `associations-many` for several in
 * one run, each with its own jobs, and one validation over all of them at the end. Why both: docs/decisions/0017.
 *
 * Modes: extract (site → records.jsonl), enrich (→ enriched.jsonl), validate (→ final_dataset.jsonl), full (all three). Stages that a
 * mode leaves out are skipped. A site that two associations or runs share is still asked at one pace.
 */
import { defineAgent, definePipeline } from "tenuto";
import { z } from "zod";
import { ASSOCIATION_CODE } from "./domain/association.ts";
import { rateOf, SPACINGS_MS } from "./domain/pace.ts";
import { linkCrawler } from "./jobs/discovery/link_crawler.ts";
import { pageFetcher } from "./jobs/discovery/page_fetcher.ts";
import { siteMapper } from "./jobs/discovery/site_mapper.ts";
import { enrichmentAgents, providerLimiters } from "./jobs/enrich.ts";
import { htmlParser } from "./jobs/extraction/html_parser.ts";
import { pdfParser } from "./jobs/extraction/pdf_parser.ts";
import type { SelectorWriterOptions } from "./jobs/extraction/selector_writer.ts";
import { selectorChecker, selectorSample, selectorWriter } from "./jobs/extraction/selector_writer.ts";
import { expectedMembers } from "./jobs/gate/expected_members.ts";
import type { AssociationRunnerOptions } from "./jobs/orchestration/association.ts";
import { associationRunner } from "./jobs/orchestration/association.ts";
import { planner } from "./jobs/orchestration/planner.ts";
import { recordsWriter } from "./jobs/output/records_writer.ts";
import { summary } from "./jobs/output/summary.ts";
import { validationAgents } from "./jobs/validate.ts";
import type { Services } from "./jobs/web.ts";
import { realServices } from "./jobs/web.ts";
import { discoveryJobs, enrichStage, extractionJobs, MODES, outputJobs, summaryJobs, validateStage } from "./stages.ts";

export interface AssociationsOptions {
  /**
   * Requests a second to one site, at most. Default 0.5; above 1000 there is no limit. Slower wishes of an association or its
   * robots.txt are kept as well.
   */
  ratePerSecond?: number;
  services?: Services;
  /** A model that writes selectors once for a directory without a schema; it needs a configuration folder of its own to store them. */
  selectors?: SelectorWriterOptions;
}

const shared = {
  mode: z.enum(MODES).default("extract").describe("What to do: extract, enrich, validate, or full for all three"),
  enrichment: z.enum(["all", "firmographic", "techstack", "contacts"]).default("all").describe("Which enrichment"),
  validation: z.enum(["all", "dedupe", "crossref", "score"]).default("all").describe("Which validation"),
  minScore: z.number().min(0).max(100).default(60).describe("Least quality score of the final dataset"),
  configDir: z.string().default("").describe("Folder of associations.yaml and schemas; default: the shipped one"),
  dataDir: z.string().default("data").describe("Folder for raw/<ASSOCIATION>/records.jsonl and the other files"),
};

export const associationsParams = z
  .object({
    ...shared,
    association: z
      .union([z.literal(""), z.string().regex(ASSOCIATION_CODE)])
      .default("")
      .describe("Code in associations.yaml, for example PMA; mode validate needs none"),
    baseUrl: z.string().default("").describe("Site to map instead of the configured one"),
    directoryUrl: z.string().default("").describe("Directory to crawl instead of the configured one"),
    schema: z.string().default("").describe("Extraction schema; default: the association's own, else `default`"),
    maxPages: z.number().int().min(0).default(0).describe("Most directory pages to visit; 0: as configured, else 200"),
  })
  .refine(({ mode, association }) => mode === "validate" || association !== "", {
    path: ["association"],
    message: "name the association, for example -p association=PMA",
  });

export const manyParams = z.object({
  ...shared,
  associations: z
    .array(z.string().regex(ASSOCIATION_CODE))
    .default([])
    .describe("Codes in associations.yaml; none: those of priority high"),
});

/** The agents of this system. */
export function associationsAgents(
  services: Services = realServices,
  ratePerSecond = 0.5,
  runner: AssociationRunnerOptions = {},
) {
  return [
    defineAgent(siteMapper(services)),
    defineAgent(linkCrawler(services)),
    defineAgent(pageFetcher(services)),
    defineAgent(htmlParser(services)),
    defineAgent(pdfParser(services)),
    defineAgent(recordsWriter(services)),
    defineAgent(expectedMembers()),
    defineAgent(summary()),
    defineAgent(planner()),
    defineAgent(associationRunner(ratePerSecond, runner)),
    ...enrichmentAgents(services),
    ...validationAgents(services),
  ];
}

type Frame = ReturnType<typeof frame>;

function frame({ ratePerSecond = 0.5, services = realServices, selectors }: AssociationsOptions) {
  const breaker = { failures: 5, openSeconds: 60 };
  const limiters = Object.fromEntries([
    ["host:*", { rate: rateOf(ratePerSecond), breaker }],
    ...SPACINGS_MS.map((ms) => [`spaced-${ms}:*`, { rate: { count: 1, perSeconds: ms / 1000 } }]),
  ]);
  return {
    limiters: { ...limiters, ...providerLimiters() },
    // Waiting for a slow site's limiter counts as work; the request itself has its own, short limit.
    defaults: { timeoutSeconds: 3600 },
    agents: [
      ...associationsAgents(services, ratePerSecond, { selectors: selectors !== undefined }),
      ...(selectors === undefined
        ? []
        : [defineAgent(selectorSample()), selectorWriter(selectors), defineAgent(selectorChecker())]),
    ],
  };
}

/** Both pipelines, with one set of agents: for a configuration that lists them. */
export function associationsPipelines(options: AssociationsOptions = {}) {
  const parts = frame(options);
  return [associationsPipeline(options, parts), associationsManyPipeline(options, parts)] as const;
}

/** The pipeline for one association at a given pace, complete with its agents. */
export function associationsPipeline(options: AssociationsOptions = {}, parts: Frame = frame(options)) {
  return definePipeline({
    name: "associations",
    description: "From the member directory of an association to scored records",
    params: associationsParams,
    ...parts,
    stages: [
      {
        name: "discovery",
        jobs: discoveryJobs(options.ratePerSecond ?? 0.5, { selectors: options.selectors !== undefined }),
      },
      { name: "extraction", jobs: extractionJobs(options.ratePerSecond ?? 0.5) },
      { name: "output", jobs: outputJobs() },
      { name: "enrichment", jobs: enrichStage() },
      { name: "validation", jobs: validateStage() },
      { name: "summary", jobs: summaryJobs() },
    ],
  });
}

/** The pipeline for several associations in one run. */
export function associationsManyPipeline(options: AssociationsOptions = {}, parts: Frame = frame(options)) {
  return definePipeline({
    name: "associations-many",
    description: "Several associations in one run, and one validation over all of them",
    params: manyParams,
    ...parts,
    stages: [
      {
        name: "plan",
        jobs: [
          {
            id: "plan",
            agent: "orchestration/planner",
            summary: "Check the configuration and say what will be done",
            input: {
              mode: "{{ params.mode }}",
              associations: "{{ params.associations }}",
              configDir: "{{ params.configDir }}",
              dataDir: "{{ params.dataDir }}",
              ratePerSecond: options.ratePerSecond ?? 0.5,
            },
          },
        ],
      },
      {
        name: "associations",
        jobs: [
          {
            id: "association",
            agent: "orchestration/association",
            needs: ["plan"],
            // Its children go out to sites: a dry run plans it whole.
            effects: "outside" as const,
            when: { in: ["{{ params.mode }}", ["extract", "enrich", "full"]] as [string, string[]] },
            multiply: { source: "{{ jobs.plan.output.associations }}", concurrency: 5 },
            timeoutSeconds: 7 * 24 * 3600,
            input: {
              association: "{{ item }}",
              mode: "{{ params.mode }}",
              enrichment: "{{ params.enrichment }}",
              configDir: "{{ params.configDir }}",
              dataDir: "{{ params.dataDir }}",
            },
          },
        ],
      },
      { name: "validation", jobs: validateStage() },
    ],
  });
}
