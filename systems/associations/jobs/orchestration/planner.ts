/** orchestration/planner: checks the configuration of several associations and says what a run will do. Nothing is fetched. */
import { join } from "node:path";
import { z } from "zod";
import { hasSchema, loadAssociations, loadCrawler, loadSchema } from "../../adapters/config.ts";
import { ConfigError } from "../../domain/errors.ts";
import type { PlannedAssociation } from "../../domain/plan.ts";
import { planExtraction } from "../../domain/plan.ts";
import { MODES } from "../../stages.ts";
import { configDirOf } from "../web.ts";

export const plannerInput = z.object({
  mode: z.enum(MODES).default("extract"),
  associations: z.array(z.string()).default([]),
  configDir: z.string().default(""),
  dataDir: z.string().default("data"),
  ratePerSecond: z.number().positive().default(0.5),
});

export const plannerOutput = z.object({
  mode: z.enum(MODES),
  associations: z.array(z.string()),
  extraction: z.array(z.custom<PlannedAssociation>()),
  /** Files that enrichment and validation read and write. */
  reads: z.array(z.string()),
  writes: z.array(z.string()),
});

export type Plan = z.infer<typeof plannerOutput>;

export function planner() {
  return {
    name: "orchestration/planner",
    description: "Checks the configuration and says what a run will do",
    version: "1",
    input: plannerInput,
    output: plannerOutput,
    run: planRun,
  };
}

/** The plan of a run. @throws ConfigError for unknown associations and for schemas that cannot be used */
export function planRun({ mode, associations, configDir, dataDir, ratePerSecond }: z.infer<typeof plannerInput>): Plan {
  const folder = configDirOf(configDir);
  const codes = chosen(folder, mode, associations);
  const extracts = mode === "extract" || mode === "full";
  const enriches = mode === "enrich" || mode === "full";
  const validates = mode === "validate" || mode === "full";
  return {
    mode,
    associations: codes,
    extraction: extracts ? codes.map((code) => planOne(folder, code, { dataDir, ratePerSecond })) : [],
    reads: [
      ...(mode === "enrich" ? codes.map((code) => join(dataDir, "raw", code, "records.jsonl")) : []),
      ...(validates ? [join(dataDir, "processed", "*", "enriched.jsonl")] : []),
    ],
    writes: [
      ...(enriches ? codes.map((code) => join(dataDir, "processed", code, "enriched.jsonl")) : []),
      ...(validates ? [join(dataDir, "validated", "final_dataset.jsonl")] : []),
    ],
  };
}

function chosen(folder: string, mode: string, wanted: readonly string[]): string[] {
  const known = loadAssociations(folder);
  const unknown = wanted.filter((code) => !known.has(code));
  if (unknown.length > 0) {
    throw new ConfigError(`there is no association ${unknown.join(", ")} in ${join(folder, "associations.yaml")}`, {
      hint: `Known: ${[...known.keys()].join(", ")}.`,
    });
  }
  if (wanted.length > 0) return [...new Set(wanted)];
  const high = [...known].filter(([, { priority }]) => priority === "high").map(([code]) => code);
  if (high.length === 0 && mode !== "validate") {
    throw new ConfigError("no association is named, and none has priority high", {
      hint: `Name some of ${[...known.keys()].join(", ")}, or set priority: high in associations.yaml.`,
    });
  }
  return high;
}

function planOne(
  folder: string,
  code: string,
  { dataDir, ratePerSecond }: { dataDir: string; ratePerSecond: number },
): PlannedAssociation {
  const association = loadAssociations(folder).get(code)!;
  const own = code.toLowerCase();
  const schema = association.schema ?? (hasSchema(folder, own) ? own : "default");
  loadSchema(folder, schema);
  const { directory_patterns: patterns } = loadCrawler(folder);
  return planExtraction({ code, association, schema, patterns, ratePerSecond, dataDir });
}
