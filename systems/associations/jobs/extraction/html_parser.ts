/** extraction/html_parser: from one address to its records, as the schema says. */
import type { Context } from "tenuto";
import { z } from "zod";
import { loadSchema } from "../../adapters/config.ts";
import { asksForLogin } from "../../domain/directory.ts";
import { ParseError } from "../../domain/errors.ts";
import { extractPage, knows, recordOfListed } from "../../domain/extract.ts";
import type { Fields } from "../../domain/field-values.ts";
import type { ListShape } from "../../domain/general/list.ts";
import { MODES, saysEnough } from "../../domain/listing.ts";
import type { MemberRecord } from "../../domain/record.ts";
import { memberRecord } from "../../domain/record.ts";
import type { Schema } from "../../domain/schema.ts";
import { fetchMemberPage } from "../discovery/page_fetcher.ts";
import type { Services, StoredPage } from "../web.ts";
import { configDirOf, politenessSchema, readBytes, readPage, storedPageSchema } from "../web.ts";
import { pdfRecords } from "./pdf_parser.ts";

export const htmlParserInput = z.object({
  url: z.string(),
  schema: z.string().default("default"),
  association: z.string(),
  configDir: z.string().default(""),
  mode: z.enum(["auto", ...MODES]).default("auto"),
  /** The page, where a job before has fetched it. */
  page: storedPageSchema.nullable().default(null),
  /** What the directory says of this member. */
  listed: z.custom<Fields | null>().default(null),
  /** Why there is no page, where a job before has tried to fetch it. */
  missing: z.string().nullable().default(null),
  /** Where the records stand on the pages of this directory. */
  shape: z.custom<ListShape | null>().default(null),
  /** Phones and mail addresses of the association itself, which are no member's. */
  foreign: z.array(z.string()).default([]),
  politeness: politenessSchema.default({ robots: [], spacing_ms: null }),
});

export const htmlParserOutput = z.object({
  url: z.string(),
  page_type: z.string(),
  records: z.array(z.custom<MemberRecord>()),
  /** Entries without a required field. */
  dropped: z.array(z.object({ reason: z.string(), text: z.string() })),
  /** What else is to be known of this page. */
  notes: z.array(z.string()).default([]),
});

export type ParsedPage = z.infer<typeof htmlParserOutput>;
type Input = z.infer<typeof htmlParserInput>;

const NAME = "extraction/html_parser";

export function htmlParser(services: Services) {
  const schemas = new Map<string, Schema>();
  return {
    name: NAME,
    description: "Extracts the records of a member page or of a page that lists members",
    version: "1",
    input: htmlParserInput,
    output: htmlParserOutput,
    run: (input: Input, ctx: Context) => parse(input, ctx, { services, schema: schemaOf(schemas, input) }),
  };
}

/** Read once in a process: a fan-out asks for it thousands of times. */
function schemaOf(schemas: Map<string, Schema>, { configDir, schema: name }: Input): Schema {
  const folder = configDirOf(configDir);
  const schema = schemas.get(`${folder} ${name}`) ?? loadSchema(folder, name);
  schemas.set(`${folder} ${name}`, schema);
  return schema;
}

async function parse(
  input: Input,
  ctx: Context,
  { services, schema }: { services: Services; schema: Schema },
): Promise<ParsedPage> {
  if (input.missing !== null && saysEnough(input.listed))
    return listedOnly(input, ctx, { schema, services, why: input.missing });
  const stored = input.page ?? (await fetchMemberPage(input, ctx, services));
  if (input.mode === "pdf") return await parsePdfPage(input, ctx, { stored, schema });
  const page = await readPage(ctx, stored);
  const extracted_at = stored.fetched_at;
  const { listed, shape, foreign, mode } = input;
  if (mode === "detail" && saysEnough(listed) && asksForLogin(page, 0) && !knows(page, listed))
    return listedOnly(input, ctx, { schema, services, why: `${page.url} asks for a login` });
  const { pageType, records, dropped } = extractPage(page, schema, { mode, listed, shape, foreign });
  return {
    url: input.url,
    page_type: pageType,
    records: records.map(({ fields, sources, confidence }) =>
      memberRecord(fields, {
        source_url: page.url,
        source_type: "web",
        extracted_at,
        extracted_by: NAME,
        association_code: input.association,
        job_id: ctx.runId,
        page_type: pageType,
        schema: schema.name,
        confidence,
        fields: sources,
      }),
    ),
    dropped,
    notes: [],
  };
}

/** The record as the directory tells it, of a member whose own page cannot be read. */
function listedOnly(
  { url, listed, association }: Input,
  ctx: Context,
  { schema, services, why }: { schema: Schema; services: Services; why: string },
): ParsedPage {
  const { fields, sources, confidence } = recordOfListed(listed!, schema);
  const record = memberRecord(fields, {
    source_url: url,
    source_type: "web",
    extracted_at: services.now().toISOString(),
    extracted_by: NAME,
    association_code: association,
    job_id: ctx.runId,
    page_type: "MEMBER_DIRECTORY",
    schema: schema.name,
    confidence,
    fields: sources,
  });
  return {
    url,
    page_type: "MEMBER_DIRECTORY",
    records: [record],
    dropped: [],
    notes: [`${why}; taken from the directory`],
  };
}

/** A directory that is a PDF file, as `extraction/pdf_parser` reads it. */
async function parsePdfPage(
  { url, association }: Input,
  ctx: Context,
  { stored, schema }: { stored: StoredPage; schema: Schema },
): Promise<ParsedPage> {
  if (stored.artifact === null) throw new ParseError(`${url} was not kept as a file`, { url });
  const bytes = await readBytes(ctx, stored.artifact);
  const { records, dropped } = await pdfRecords(bytes, {
    source: stored.url,
    association,
    schema,
    extractedAt: stored.fetched_at,
    run: ctx.runId,
  });
  return { url, page_type: "MEMBER_DIRECTORY", records, dropped, notes: [] };
}
