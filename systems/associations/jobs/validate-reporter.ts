/**
 * validation/reporter: the final dataset as files, each complete or not there, and the report of its quality.
 *
 *   validated/final_dataset.jsonl   records with at least `min_score`          validated/summary.json
 *   validated/final_dataset.csv     the same, for spreadsheets                 validated/quality_report.md
 *   validated/below_minimum.jsonl   the others: left out, not lost             validated/quality_report.html
 *   validated/duplicates.jsonl      who was merged, and why                    validated/salesforce_*.csv, hubspot_*.csv
 */
import { join } from "node:path";
import type { ArtifactRef, Context } from "tenuto";
import { z } from "zod";
import { writeJson, writeJsonl, writeLines } from "../adapters/files.ts";
import type { AnyRecord } from "../adapters/records.ts";
import { datasetSchema, openRecords, recordsSchema } from "../adapters/records.ts";
import type { CrmExport } from "../domain/quality/crm-exports.ts";
import { CRM_EXPORTS, crmHeader, crmLines } from "../domain/quality/crm-exports.ts";
import { csvHeader, csvLine } from "../domain/quality/csv.ts";
import { htmlReport, markdownReport } from "../domain/quality/report.ts";
import { SummaryBuilder } from "../domain/quality/summary.ts";
import type { Services } from "./web.ts";

export const reporterInput = z.object({
  records: recordsSchema,
  /** Groups of duplicates, as validation/dedupe gives them. */
  groups: z
    .union([z.array(z.unknown()), datasetSchema])
    .nullable()
    .default(null),
  dataDir: z.string().default("data"),
  min_score: z.number().min(0).max(100).default(60),
});

export const reporterOutput = z.object({
  success: z.literal(true),
  records: z.number(),
  below_minimum: z.number(),
  average_score: z.number().nullable(),
  median_score: z.number().nullable(),
  paths: z.record(z.string(), z.string()),
  artifact: z.custom<ArtifactRef>(),
  report: z.custom<ArtifactRef>(),
});

type Input = z.infer<typeof reporterInput>;

export function reporter(services: Pick<Services, "now">) {
  return {
    name: "validation/reporter",
    description: "Writes the final dataset, its CSV export, the summary and the quality report",
    version: "1",
    timeoutSeconds: 3600,
    input: reporterInput,
    output: reporterOutput,
    run: (input: Input, ctx: Context) => run(input, ctx, services),
  };
}

async function run(
  input: Input,
  ctx: Context,
  services: Pick<Services, "now">,
): Promise<z.infer<typeof reporterOutput>> {
  const folder = join(input.dataDir, "validated");
  const path = (name: string) => join(folder, name);
  const source = openRecords(ctx, input.records);
  const scoreOf = (record: AnyRecord) => (typeof record.quality_score === "number" ? record.quality_score : 0);
  const passes = (record: AnyRecord) => scoreOf(record) >= input.min_score;
  const builder = new SummaryBuilder(input.min_score);
  const below = await writeJsonl(
    path("below_minimum.jsonl"),
    filtered(source, (record) => {
      builder.add(record);
      return !passes(record);
    }),
  );
  const records = await writeJsonl(path("final_dataset.jsonl"), filtered(source, passes));
  await writeLines(path("final_dataset.csv"), csvLines(filtered(source, passes)));
  for (const one of CRM_EXPORTS) await writeLines(path(one.file), crmExportLines(one, filtered(source, passes)));
  if (input.groups !== null)
    await writeJsonl(path("duplicates.jsonl"), Array.isArray(input.groups) ? input.groups : ctx.open(input.groups));
  const summary = builder.build(services.now());
  const html = htmlReport(summary);
  await writeLines(path("quality_report.md"), [markdownReport(summary)]);
  await writeLines(path("quality_report.html"), [html]);
  // Last: whoever finds it finds the others complete.
  await writeJson(path("summary.json"), summary);
  ctx.log.info(`Saved ${records} records with a score of ${input.min_score} or more, ${below} below it`);
  return {
    success: true,
    records,
    below_minimum: below,
    average_score: summary.average_quality_score,
    median_score: summary.median_quality_score,
    paths: {
      dataset: path("final_dataset.jsonl"),
      csv: path("final_dataset.csv"),
      below_minimum: path("below_minimum.jsonl"),
      summary: path("summary.json"),
      report: path("quality_report.html"),
    },
    artifact: await ctx.artifact(
      "final_dataset.jsonl",
      { path: path("final_dataset.jsonl") },
      { mediaType: "application/jsonl" },
    ),
    report: await ctx.artifact("quality_report.html", html, { mediaType: "text/html" }),
  };
}

async function* filtered(
  source: AsyncIterable<AnyRecord>,
  wanted: (record: AnyRecord) => boolean,
): AsyncGenerator<AnyRecord> {
  for await (const record of source) if (wanted(record)) yield record;
}

async function* csvLines(records: AsyncIterable<AnyRecord>): AsyncGenerator<string> {
  yield csvHeader();
  for await (const record of records) yield csvLine(record);
}

async function* crmExportLines(one: CrmExport, records: AsyncIterable<AnyRecord>): AsyncGenerator<string> {
  yield crmHeader(one);
  for await (const record of records) yield* crmLines(one, record);
}
