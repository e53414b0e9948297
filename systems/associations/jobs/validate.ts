/** Validation as a pipeline takes it: its agents, and its jobs over all associations. */
import { defineAgent } from "tenuto";
import { batches } from "./enrich-batches.ts";
import type { CrossrefServices } from "./validate-crossref.ts";
import { crossref } from "./validate-crossref.ts";
import { dedupe } from "./validate-dedupe.ts";
import { reporter } from "./validate-reporter.ts";
import { scorer } from "./validate-scorer.ts";
import { realServices } from "./web.ts";

/** The agents of validation; `enrichment/batches` cuts here as well, and is named once where both come together. */
export function validationAgents(services: CrossrefServices = realServices) {
  return [
    defineAgent(dedupe(services)),
    defineAgent(crossref(services)),
    defineAgent(scorer(services)),
    defineAgent(reporter(services)),
  ];
}

/** For a pipeline that only validates. */
export function batchAgent() {
  return defineAgent(batches());
}

/** Values may be placeholders. */
export interface ValidationOptions {
  /** Input of `validation/dedupe`: `{records}`, `{paths}` or `{dataDir, associations}`. */
  source: { [name: string]: string | string[] };
  needs?: readonly string[];
  dataDir?: string;
  /** all, dedupe, crossref or score. */
  validation?: string;
  threshold?: string | number;
  minScore?: string | number;
  prefix?: string;
}

/** The jobs: dedupe → unique_batches → crossref → score → report. */
export function validationJobs(options: ValidationOptions) {
  const { source, needs, prefix = "", validation = "all", threshold = 0.85, minScore = 60 } = options;
  const { dataDir = "{{ params.dataDir }}" } = options;
  const id = (name: string) => `${prefix}${name}`;
  const from = (name: string, path: string) => `{{ jobs.${id(name)}.output${path} }}`;
  return [
    {
      id: id("dedupe"),
      agent: "validation/dedupe",
      summary: "Find and merge duplicates",
      ...(needs === undefined ? {} : { needs: [...needs] }),
      input: { ...source, threshold, validation },
    },
    {
      id: id("unique_batches"),
      agent: "enrichment/batches",
      needs: [id("dedupe")],
      input: { records: from("dedupe", ".records") },
    },
    {
      id: id("crossref"),
      agent: "validation/crossref",
      needs: [id("unique_batches")],
      onExhausted: "skip" as const,
      effects: "outside" as const,
      forEach: { source: from("unique_batches", ".batches"), concurrency: 2, errorRate: 1 },
      input: { records: "{{ item.records }}", batch: "{{ item.batch }}", validation },
    },
    {
      id: id("score"),
      agent: "validation/scorer",
      summary: "Score every record",
      needs: [id("unique_batches"), id("crossref")],
      input: { batches: from("unique_batches", ".batches"), results: [from("crossref", "")], min_score: minScore },
    },
    {
      id: id("report"),
      agent: "validation/reporter",
      summary: "Write the final dataset and its report",
      needs: [id("dedupe"), id("score")],
      input: { records: from("score", ".records"), groups: from("dedupe", ".groups"), dataDir, min_score: minScore },
    },
  ];
}
