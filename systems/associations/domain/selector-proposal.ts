/**
 * Selectors that somebody proposes for a directory, a model or a person: made into a schema, replayed on its pages, and checked.
 *
 * Written once, replayed by code ever after. Invariants: a proposal is data, it names selectors and parsers and nothing else; it is
 * accepted only when it finds nearly all that the structure of the pages shows, with names of their own and values that are what
 * they claim to be.
 */
import { z } from "zod";
import { configError, issuesOf } from "./config-issues.ts";
import type { ConfigIssue } from "./errors.ts";
import { readList } from "./general/list.ts";
import type { Page } from "./page.ts";
import { PARSERS } from "./parsers.ts";
import type { Schema, SchemaFile } from "./schema.ts";
import { readSchemaFile, resolveSchema } from "./schema.ts";

const parserNames = Object.keys(PARSERS) as [string, ...string[]];

export const proposalSchema = z.strictObject({
  /** Selector of one entry of the list. */
  list_item: z.string().min(1),
  /** By field: selectors inside an entry, in the order to try them. */
  fields: z.record(
    z.string().regex(/^[a-z][a-z0-9_]*$/),
    z.strictObject({
      selectors: z.array(z.string().min(1)).min(1).max(8),
      /** Attribute to take instead of the text. */
      extract: z.string().optional(),
      parser: z.enum(parserNames).optional(),
    }),
  ),
});

export type Proposal = z.infer<typeof proposalSchema>;

/** The schema file that a proposal means. @throws ConfigError for what is no proposal, with all its faults */
export function schemaFileOf(content: unknown): SchemaFile {
  const parsed = proposalSchema.safeParse(content);
  if (!parsed.success) throw configError("the proposal", issuesOf(parsed.error));
  const { list_item, fields } = parsed.data;
  if (fields.company_name === undefined) {
    const missing: ConfigIssue = { path: ["fields", "company_name"], message: "is missing" };
    throw configError("the proposal", [missing]);
  }
  return readSchemaFile("proposal", {
    extends: "default",
    list_item: [list_item],
    fields: Object.fromEntries(
      Object.entries(fields).map(([name, field]) => [
        name,
        { ...DEFAULTS[name], ...field, ...(name === "company_name" ? { required: true } : {}) },
      ]),
    ),
  });
}

/** What a field is read by when the proposal does not say. */
const DEFAULTS: Record<string, { parser?: string; extract?: string }> = {
  phone: { parser: "phone" },
  email: { parser: "email" },
  website: { parser: "url", extract: "href" },
  state: { parser: "state_code" },
  postal_code: { parser: "postal_code" },
  city: { parser: "title_case" },
  country: { parser: "country" },
  member_since: { parser: "year" },
};

export interface Checked {
  accepted: boolean;
  /** Why not. */
  reasons: string[];
  records: number;
  /** Share of the records that each proposed field fills. */
  filled: Record<string, number>;
}

const MIN_SHARE = 0.9;

/** Replays a proposal on pages of the directory. `load` gives the schema files it may extend. */
export function checkProposal(
  file: SchemaFile,
  pages: readonly Page[],
  load: (name: string) => SchemaFile | null,
): Checked {
  const schema = resolveSchema("proposal", (name) => (name === "proposal" ? file : load(name)));
  const general = resolveSchema("default", load);
  const records = pages.flatMap((page) => replay(page, schema));
  const shown = pages.reduce(
    (sum, page) => sum + (readList(page, general, null, { trusting: true })?.entries.length ?? 0),
    0,
  );
  const names = records.map(({ company_name }) => String(company_name).toLowerCase());
  const proposed = Object.keys(file.fields ?? {});
  const share = (name: string) =>
    records.filter((fields) => (fields[name] ?? null) !== null).length / Math.max(1, records.length);
  const filled = Object.fromEntries(proposed.map((name) => [name, Math.round(share(name) * 100) / 100]));
  const reasons = [
    ...(records.length === 0 ? ["the selectors find no record"] : []),
    ...(records.length < shown * MIN_SHARE ? [`${records.length} records, though the pages show about ${shown}`] : []),
    ...(records.length > shown * 1.5 && shown > 0
      ? [`${records.length} records, though the pages show only about ${shown}`]
      : []),
    ...(new Set(names).size < names.length * MIN_SHARE
      ? ["the names repeat: they are labels, or parts of an entry"]
      : []),
    ...proposed.filter((name) => records.length > 0 && filled[name] === 0).map((name) => `${name} is never filled`),
  ];
  return { accepted: reasons.length === 0, reasons, records: records.length, filled };
}

function replay(page: Page, schema: Schema) {
  const entries = readList(page, schema)?.entries ?? [];
  return entries.filter(({ missing }) => missing.length === 0).map(({ fields }) => fields);
}
