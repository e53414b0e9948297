/** extraction/pdf_parser: the members in a PDF, by its table or its lines. */
import { readFile } from "node:fs/promises";
import type { Context } from "tenuto";
import { z } from "zod";
import { loadSchema } from "../../adapters/config.ts";
import { readPdf } from "../../adapters/pdf.ts";
import { parseAddress } from "../../domain/address.ts";
import { dataFields } from "../../domain/general/data-fields.ts";
import type { PdfRecord } from "../../domain/pdf-table.ts";
import { recordsFromPdf } from "../../domain/pdf-table.ts";
import type { MemberRecord } from "../../domain/record.ts";
import { memberRecord } from "../../domain/record.ts";
import type { Schema } from "../../domain/schema.ts";
import { confidenceOf, missingFields } from "../../domain/schema.ts";
import type { Services } from "../web.ts";
import { configDirOf, openWeb, politenessSchema } from "../web.ts";

export const pdfParserInput = z
  .object({
    pdf_url: z.string().optional(),
    pdf_path: z.string().optional(),
    association: z.string(),
    schema: z.string().default("default"),
    configDir: z.string().default(""),
    politeness: politenessSchema.default({ robots: [], spacing_ms: null }),
  })
  .refine(
    ({ pdf_url, pdf_path }) => (pdf_url === undefined) !== (pdf_path === undefined),
    "give either pdf_url or pdf_path",
  );

export const pdfParserOutput = z.object({
  records: z.array(z.custom<MemberRecord>()),
  pages_processed: z.number(),
  dropped: z.number(),
});

type Input = z.infer<typeof pdfParserInput>;
const NAME = "extraction/pdf_parser";

export function pdfParser(services: Services) {
  return {
    name: NAME,
    description: "Extracts the members that a PDF lists",
    version: "1",
    input: pdfParserInput,
    output: pdfParserOutput,
    run: (input: Input, ctx: Context) => parse(input, ctx, services),
  };
}

async function parse(input: Input, ctx: Context, services: Services): Promise<z.infer<typeof pdfParserOutput>> {
  const source = input.pdf_url ?? input.pdf_path!;
  const { records, dropped, pages } = await pdfRecords(await bytesOf(input, ctx, services), {
    source,
    association: input.association,
    schema: loadSchema(configDirOf(input.configDir), input.schema),
    extractedAt: services.now().toISOString(),
    run: ctx.runId,
  });
  ctx.log.info(`${records.length} members on ${pages} pages of ${source}`);
  return { records, pages_processed: pages, dropped: dropped.length };
}

export interface PdfSource {
  source: string;
  association: string;
  schema: Schema;
  extractedAt: string;
  run: string;
}

/** The members in a PDF; what lacks a required field is dropped, and said. @throws ParseError for what is no PDF */
export async function pdfRecords(bytes: Uint8Array, { source, association, schema, extractedAt, run }: PdfSource) {
  const { texts, pages } = await readPdf(bytes, source);
  const records: MemberRecord[] = [];
  const dropped: { reason: string; text: string }[] = [];
  for (const record of recordsFromPdf(texts)) {
    const { fields, sources } = dataFields(withPlace(record), schema, "https://pdf.invalid/");
    const missing = missingFields(fields, schema);
    if (missing.length > 0) {
      dropped.push({ reason: `without ${missing.join(", ")}`, text: Object.values(record).join(" ").slice(0, 200) });
      continue;
    }
    const provenance = {
      source_url: source,
      source_type: "pdf" as const,
      extracted_at: extractedAt,
      extracted_by: NAME,
      association_code: association,
      job_id: run,
      page_type: "MEMBER_DIRECTORY",
      schema: schema.name,
      confidence: confidenceOf(fields, schema),
      fields: Object.fromEntries(Object.entries(sources).map(([field, via]) => [field, via === "data" ? "pdf" : via])),
    };
    records.push(memberRecord(fields, provenance));
  }
  return { records, dropped, pages };
}

async function bytesOf(input: Input, ctx: Context, services: Services): Promise<Uint8Array> {
  if (input.pdf_path !== undefined) return await readFile(input.pdf_path);
  const { configDir, politeness } = input;
  return (await openWeb(ctx, { services, configDir, politeness }).get(input.pdf_url!)).body;
}

/** `City, ST 12345` of a line that had no columns. */
function withPlace({ place, ...record }: PdfRecord): PdfRecord {
  const address = place === undefined ? null : parseAddress([place]);
  const given = Object.entries(address ?? {}).filter(
    (entry): entry is [string, string] => entry[1] !== null && record[entry[0]] === undefined,
  );
  return { ...record, ...Object.fromEntries(given) };
}
