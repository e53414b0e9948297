/**
 * The pipeline `associations`, mode extract: map the site, crawl its directory, extract every member, write the files.
 *
 * One run is one association; several run side by side, and a site that two of them share is still asked at one pace.
 */
import { defineAgent, definePipeline } from "tenuto";
import { z } from "zod";
import { ASSOCIATION_CODE } from "./domain/association.ts";
import { rateOf, SPACINGS_MS } from "./domain/pace.ts";
import { linkCrawler } from "./jobs/discovery/link_crawler.ts";
import { siteMapper } from "./jobs/discovery/site_mapper.ts";
import { htmlParser } from "./jobs/extraction/html_parser.ts";
import { recordsWriter } from "./jobs/output/records_writer.ts";
import type { Services } from "./jobs/web.ts";
import { realServices } from "./jobs/web.ts";

export interface AssociationsOptions {
  /** Requests a second to one host, at most. Default 0.5. Slower wishes of an association or its robots.txt are kept as well. */
  ratePerSecond?: number;
  services?: Services;
}

export const associationsParams = z.object({
  mode: z.enum(["extract"]).default("extract").describe("What to do; enrich and validate come later"),
  association: z.string().regex(ASSOCIATION_CODE).describe("Code in associations.yaml, for example PMA"),
  baseUrl: z.string().default("").describe("Site to map instead of the configured one"),
  directoryUrl: z.string().default("").describe("Directory to crawl instead of the configured one"),
  schema: z.string().default("").describe("Extraction schema; default: the association's own, else `default`"),
  maxPages: z.number().int().min(0).default(0).describe("Most directory pages to visit; 0: as configured, else 200"),
  configDir: z.string().default("").describe("Folder of associations.yaml and schemas; default: the shipped one"),
  dataDir: z.string().default("data").describe("Folder for raw/<ASSOCIATION>/records.jsonl and the other files"),
});

/** The agents of this system. */
export function associationsAgents(services: Services = realServices) {
  return [
    defineAgent(siteMapper(services)),
    defineAgent(linkCrawler(services)),
    defineAgent(htmlParser(services)),
    defineAgent(recordsWriter(services)),
  ];
}

const ASSOCIATION_INPUT = {
  association: "{{ params.association }}",
  configDir: "{{ params.configDir }}",
  dataDir: "{{ params.dataDir }}",
};

const discovery = (ratePerSecond: number) => ({
  name: "discovery",
  jobs: [
    {
      id: "map",
      agent: "discovery/site_mapper",
      summary: "Find the directory of {{ params.association }}",
      input: {
        ...ASSOCIATION_INPUT,
        baseUrl: "{{ params.baseUrl }}",
        directoryUrl: "{{ params.directoryUrl }}",
        schema: "{{ params.schema }}",
        maxPages: "{{ params.maxPages }}",
        ratePerSecond,
      },
    },
    {
      id: "crawl",
      agent: "discovery/link_crawler",
      summary: "Collect the members of {{ params.association }}",
      needs: ["map"],
      // At half a request a second, a long directory takes its time.
      timeoutSeconds: 24 * 3600,
      input: {
        ...ASSOCIATION_INPUT,
        entry_url: "{{ jobs.map.output.directory_url }}",
        entry: "{{ jobs.map.output.entry }}",
        pagination: "{{ jobs.map.output.pagination }}",
        max_pages: "{{ jobs.map.output.max_pages }}",
        schema: "{{ jobs.map.output.schema }}",
        member_links: "{{ jobs.map.output.member_links }}",
        auth_required: "{{ jobs.map.output.auth_required }}",
        expected_members: "{{ jobs.map.output.expected_members }}",
        politeness: "{{ jobs.map.output.politeness }}",
      },
    },
  ],
});

const EXTRACTION = {
  name: "extraction",
  jobs: [
    {
      id: "extract",
      agent: "extraction/html_parser",
      summary: "Extract the members of {{ params.association }}",
      needs: ["map", "crawl"],
      onExhausted: "skip" as const,
      forEach: { source: "{{ jobs.crawl.output.urls }}", concurrency: 5, key: "{{ item.url }}", errorRate: 0.1 },
      input: {
        url: "{{ item.url }}",
        mode: "{{ item.mode }}",
        page: "{{ item.page }}",
        listed: "{{ item.listed }}",
        shape: "{{ jobs.crawl.output.shape }}",
        foreign: "{{ jobs.crawl.output.foreign }}",
        association: "{{ params.association }}",
        configDir: "{{ params.configDir }}",
        schema: "{{ jobs.map.output.schema }}",
        politeness: "{{ jobs.crawl.output.politeness }}",
      },
    },
  ],
};

const OUTPUT = {
  name: "output",
  jobs: [
    {
      id: "write",
      agent: "output/records_writer",
      summary: "Write records.jsonl of {{ params.association }}",
      needs: ["crawl", "extract"],
      input: {
        association: "{{ params.association }}",
        dataDir: "{{ params.dataDir }}",
        results: "{{ jobs.extract.output }}",
        urls: "{{ jobs.crawl.output.urls }}",
      },
    },
  ],
};

/** The pipeline for a given pace, complete with its agents. */
export function associationsPipeline({ ratePerSecond = 0.5, services = realServices }: AssociationsOptions = {}) {
  const breaker = { failures: 5, openSeconds: 60 };
  const limiters = Object.fromEntries([
    ["host:*", { rate: rateOf(ratePerSecond), breaker }],
    ...SPACINGS_MS.map((ms) => [`spaced-${ms}:*`, { rate: { count: 1, perSeconds: ms / 1000 } }]),
  ]);
  return definePipeline({
    name: "associations",
    description: "Extracts the member directory of an association",
    params: associationsParams,
    limiters,
    // Waiting for a slow site's limiter counts as work; the request itself has its own, short limit.
    defaults: { timeoutSeconds: 3600 },
    agents: associationsAgents(services),
    stages: [discovery(ratePerSecond), EXTRACTION, OUTPUT],
  });
}
