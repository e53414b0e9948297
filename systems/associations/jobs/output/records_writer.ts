/** output/records_writer: the result of a run as files, records.jsonl and errors.jsonl, each complete or not there. */
import { join } from "node:path";
import type { ArtifactRef, Context, DatasetRef, FanoutResult } from "tenuto";
import { z } from "zod";
import { writeJsonl } from "../../adapters/files.ts";
import { dedupeRecords } from "../../domain/dedupe.ts";
import type { MemberRecord } from "../../domain/record.ts";
import type { CrawledUrl } from "../discovery/link_crawler.ts";
import type { FetchedPage } from "../discovery/page_fetcher.ts";
import type { ParsedPage } from "../extraction/html_parser.ts";
import type { Services } from "../web.ts";

export const recordsWriterInput = z.object({
  association: z.string(),
  dataDir: z.string().default("data"),
  results: z.custom<FanoutResult>(),
  /** The pages that `results` were extracted from. */
  fetched: z.custom<FanoutResult>(),
  urls: z.custom<DatasetRef>(),
  /** For the gate behind this job. */
  expected_members: z.number().nullable().default(null),
});

export const recordsWriterOutput = z.object({
  association: z.string(),
  records: z.number(),
  merged: z.number(),
  errors: z.number(),
  records_path: z.string(),
  errors_path: z.string(),
  artifact: z.custom<ArtifactRef>(),
});

type Input = z.infer<typeof recordsWriterInput>;

interface ErrorLine {
  timestamp: string;
  agent_type: string;
  task: { url: string };
  error: string;
  context: { association: string; run: string };
}

export function recordsWriter(services: Services) {
  return {
    name: "output/records_writer",
    description: "Writes the records of an association, each member once, and what failed",
    version: "1",
    input: recordsWriterInput,
    output: recordsWriterOutput,
    run: (input: Input, ctx: Context) => write(input, ctx, services),
  };
}

async function write(input: Input, ctx: Context, services: Services): Promise<z.infer<typeof recordsWriterOutput>> {
  const folder = join(input.dataDir, "raw", input.association);
  const done = new Set<string>();
  const all: MemberRecord[] = [];
  const errors: ErrorLine[] = [];
  const timestamp = services.now().toISOString();
  const line = (url: string, error: string, agent = "extraction/html_parser"): ErrorLine => ({
    timestamp,
    agent_type: agent,
    task: { url },
    error,
    context: { association: input.association, run: ctx.runId },
  });

  for await (const page of ctx.open<ParsedPage>(input.results)) {
    done.add(page.url);
    for (const record of page.records) all.push(record);
    for (const note of page.notes ?? []) errors.push(line(page.url, note));
    for (const { reason, text } of page.dropped) errors.push(line(page.url, `entry dropped, ${reason}: ${text}`));
  }
  const open = await notExtracted(input, ctx, done);
  for (const { url, reason, agent } of open)
    errors.push(line(url, reason ?? `not extracted; see the items of run ${ctx.runId}`, agent));
  const { records, merged } = dedupeRecords(all);
  const recordsPath = join(folder, "records.jsonl");
  const errorsPath = join(folder, "errors.jsonl");
  await writeJsonl(errorsPath, errors);
  await writeJsonl(recordsPath, records);
  ctx.log.info(
    `Saved ${records.length} records of ${input.association} (${merged} duplicates merged, ${errors.length} errors)`,
  );
  return {
    association: input.association,
    records: records.length,
    merged,
    errors: errors.length,
    records_path: recordsPath,
    errors_path: errorsPath,
    artifact: await ctx.artifact("records.jsonl", { path: recordsPath }, { mediaType: "application/jsonl" }),
  };
}

/** Addresses without a result, in the order of the directory: those that were not fetched, and those that gave no record. */
async function notExtracted(input: Input, ctx: Context, done: ReadonlySet<string>) {
  const open: { url: string; reason: string | undefined; agent: string }[] = [];
  const [unfetched, unread] = [await reasonsOf(input.fetched, ctx), await reasonsOf(input.results, ctx)];
  const fetched = new Map<string, number>();
  for await (const { url } of ctx.open<FetchedPage>(input.fetched)) fetched.set(url, fetched.size);
  let ordinal = 0;
  for await (const { url } of ctx.open<CrawledUrl>(input.urls)) {
    const place = fetched.get(url);
    if (place === undefined) open.push({ url, reason: unfetched.get(ordinal), agent: "discovery/page_fetcher" });
    else if (!done.has(url)) open.push({ url, reason: unread.get(place), agent: "extraction/html_parser" });
    ordinal++;
  }
  return open;
}

interface Incomplete {
  ordinal: number;
  state: string;
  error: { code: string; message: string } | null;
}

/** Why items did not complete, by their ordinal, where the engine hands that over with the result. */
async function reasonsOf(results: FanoutResult & { errors?: DatasetRef }, ctx: Context): Promise<Map<number, string>> {
  const reasons = new Map<number, string>();
  if (results.errors === undefined) return reasons;
  for await (const { ordinal, state, error } of ctx.open<any>(results.errors) as AsyncIterable<Incomplete>) {
    reasons.set(ordinal, error === null ? state : `${error.code}: ${error.message}`);
  }
  return reasons;
}
