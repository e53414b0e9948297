/**
 * The jobs of one association, from its site to enriched records, as every pipeline of this system takes them.
 *
 * The graph for one association has them as they are; the run over several hands them to `orchestration/association`, which runs the
 * same list once for each. Placeholders name params of the run and outputs of the jobs before.
 */
import { UNLIMITED_ABOVE } from "./domain/pace.ts";
import { enrichmentJobs } from "./jobs/enrich.ts";
import { validationJobs } from "./jobs/validate.ts";

export const MODES = ["extract", "enrich", "validate", "full"] as const;
export type Mode = (typeof MODES)[number];

const ASSOCIATION_INPUT = {
  association: "{{ params.association }}",
  configDir: "{{ params.configDir }}",
  dataDir: "{{ params.dataDir }}",
};

/** The jobs of a stage run in these modes; the others are skipped. */
const during = (...modes: Mode[]) => ({ in: ["{{ params.mode }}", [...modes]] as [string, string[]] });

export interface DiscoveryOptions {
  /** A model proposes selectors for a directory that has no schema of its own. */
  selectors?: boolean;
}

export function discoveryJobs(ratePerSecond: number, { selectors = false }: DiscoveryOptions = {}) {
  return [
    {
      id: "map",
      agent: "discovery/site_mapper",
      summary: "Find the directory of {{ params.association }}",
      when: during("extract", "full"),
      effects: "outside" as const,
      input: {
        ...ASSOCIATION_INPUT,
        baseUrl: "{{ params.baseUrl }}",
        directoryUrl: "{{ params.directoryUrl }}",
        schema: "{{ params.schema }}",
        maxPages: "{{ params.maxPages }}",
        ratePerSecond,
      },
    },
    ...(selectors ? selectorJobs() : []),
    {
      id: "crawl",
      agent: "discovery/link_crawler",
      summary: "Collect the members of {{ params.association }}",
      needs: selectors ? ["map", { job: "check_selectors", on: "always" as const }] : ["map"],
      effects: "outside" as const,
      // At half a request a second, a long directory takes its time.
      timeoutSeconds: 24 * 3600,
      input: {
        ...ASSOCIATION_INPUT,
        entry_url: "{{ jobs.map.output.directory_url }}",
        entry: "{{ jobs.map.output.entry }}",
        pagination: "{{ jobs.map.output.pagination }}",
        max_pages: "{{ jobs.map.output.max_pages }}",
        schema: "{{ jobs.map.output.schema }}",
        ...(selectors ? { proposed: "{{ jobs.check_selectors.output }}" } : {}),
        member_links: "{{ jobs.map.output.member_links }}",
        auth_required: "{{ jobs.map.output.auth_required }}",
        expected_members: "{{ jobs.map.output.expected_members }}",
        politeness: "{{ jobs.map.output.politeness }}",
      },
    },
  ];
}

/**
 * Selectors by a model, once: where the directory has no schema of its own. Whatever goes wrong with them, the directory is read by its
 * structure; what holds is stored as the association's schema, and found there by the next run.
 */
function selectorJobs() {
  const described = { eq: ["{{ jobs.map.output.schema }}", "default"] as [string, string] };
  return [
    {
      id: "sample",
      agent: "extraction/selector_sample",
      summary: "Show a page of {{ params.association }} to the model",
      needs: ["map"],
      when: { all: [during("extract", "full"), described] },
      allowFailure: true,
      input: { configDir: "{{ params.configDir }}", page: "{{ jobs.map.output.entry }}" },
    },
    {
      id: "propose_selectors",
      agent: "extraction/selector_writer",
      summary: "Propose selectors for {{ params.association }}",
      needs: ["sample"],
      allowFailure: true,
      input: { pages: "{{ jobs.sample.output.pages }}" },
    },
    {
      id: "check_selectors",
      agent: "extraction/selector_checker",
      summary: "Replay the proposed selectors",
      needs: ["map", "propose_selectors"],
      allowFailure: true,
      input: {
        association: "{{ params.association }}",
        configDir: "{{ params.configDir }}",
        proposal: "{{ jobs.propose_selectors.output }}",
        pages: ["{{ jobs.map.output.entry }}"],
      },
    },
  ];
}

/** Pages at a time from one site; more where it is one's own and nothing holds the pace. */
export const PAGES_AT_A_TIME = 5;
export const PAGES_UNLIMITED = 16;

export function extractionJobs(ratePerSecond: number) {
  const unlimited = ratePerSecond > UNLIMITED_ABOVE;
  return [
    {
      id: "fetch",
      agent: "discovery/page_fetcher",
      summary: "Fetch the pages of the members of {{ params.association }}",
      needs: ["map", "crawl"],
      effects: "outside" as const,
      onExhausted: "skip" as const,
      forEach: {
        source: "{{ jobs.crawl.output.urls }}",
        concurrency: unlimited ? PAGES_UNLIMITED : PAGES_AT_A_TIME,
        key: "{{ item.url }}",
        errorRate: 0.1,
      },
      input: {
        url: "{{ item.url }}",
        mode: "{{ item.mode }}",
        page: "{{ item.page }}",
        listed: "{{ item.listed }}",
        configDir: "{{ params.configDir }}",
        politeness: "{{ jobs.crawl.output.politeness }}",
      },
    },
    {
      id: "extract",
      agent: "extraction/html_parser",
      summary: "Extract the members of {{ params.association }}",
      needs: ["map", "crawl", "fetch"],
      effects: "outside" as const,
      onExhausted: "skip" as const,
      forEach: { source: "{{ jobs.fetch.output }}", concurrency: 5, key: "{{ item.url }}", errorRate: 0.1 },
      input: {
        url: "{{ item.url }}",
        mode: "{{ item.mode }}",
        page: "{{ item.page }}",
        listed: "{{ item.listed }}",
        missing: "{{ item.missing }}",
        shape: "{{ jobs.crawl.output.shape }}",
        foreign: "{{ jobs.crawl.output.foreign }}",
        association: "{{ params.association }}",
        configDir: "{{ params.configDir }}",
        schema: "{{ jobs.crawl.output.schema }}",
      },
    },
  ];
}

export function outputJobs() {
  return [
    {
      id: "write",
      agent: "output/records_writer",
      summary: "Write records.jsonl of {{ params.association }}",
      needs: ["map", "crawl", "fetch", "extract"],
      effects: "outside" as const,
      gate: { agent: "gate/expected_members" },
      input: {
        association: "{{ params.association }}",
        dataDir: "{{ params.dataDir }}",
        results: "{{ jobs.extract.output }}",
        fetched: "{{ jobs.fetch.output }}",
        urls: "{{ jobs.crawl.output.urls }}",
        expected_members: "{{ jobs.map.output.expected_members }}",
      },
    },
  ];
}

/** Enrichment of what `records.jsonl` of the association holds. */
export function enrichStage() {
  const jobs = enrichmentJobs({
    source: { path: "{{ params.dataDir }}/raw/{{ params.association }}/records.jsonl" },
    enrichment: "{{ params.enrichment }}",
  });
  return withMode(jobs, during("enrich", "full"));
}

/** Validation over all associations that have been enriched. */
export function validateStage() {
  const jobs = validationJobs({
    source: { dataDir: "{{ params.dataDir }}" },
    validation: "{{ params.validation }}",
    minScore: "{{ params.minScore }}",
  });
  return withMode(jobs, during("validate", "full"));
}

/** The first job of a stage decides for those that need it. All of them ask providers or write files: a dry run only plans them. */
function withMode<T extends object>([first, ...rest]: readonly T[], when: ReturnType<typeof during>): T[] {
  return [{ ...first!, when }, ...rest].map((job) => ({ ...job, effects: "outside" as const }));
}

/** The last job of a run: its output is the run's. It runs whatever was left out, and not when something failed. */
export function summaryJobs() {
  return [
    {
      id: "summary",
      agent: "output/summary",
      summary: "Bring the results together",
      needs: ["write", "write_enriched", "report"].map((job) => ({ job, on: "always" as const })),
      afterStage: true,
      input: {
        mode: "{{ params.mode }}",
        association: "{{ params.association }}",
        written: "{{ jobs.write.output }}",
        enriched: "{{ jobs.write_enriched.output }}",
        validated: "{{ jobs.report.output }}",
      },
    },
  ];
}
