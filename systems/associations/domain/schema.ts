/**
 * Extraction schemas: which fields a record has and where on a page they may stand.
 *
 * A schema may extend another one: each field it names replaces the whole field of the parent, the others are inherited.
 */
import { z } from "zod";
import { configError, issuesOf } from "./config-issues.ts";
import { ConfigError } from "./errors.ts";
import { PARSERS } from "./parsers.ts";
import type { Selector } from "./selectors.ts";
import { compileSelector } from "./selectors.ts";

const oneOrMany = z
  .union([z.string(), z.array(z.string())])
  .transform((value) => (Array.isArray(value) ? value : [value]));
/** Selectors are compiled when the file is read, so that a fault is found before anything is fetched. */
const selectorText = z.string().superRefine((source, context) => {
  try {
    compileSelector(source);
  } catch (error) {
    context.addIssue({ code: "custom", message: (error as Error).message });
  }
});
/** Where only CSS will do. */
const cssText = selectorText.refine((source) => !/^(\.?\/|\()/.test(source.trim()), "must be a CSS selector");
const selectors = z
  .union([z.string(), z.array(z.string())])
  .transform((value) => (Array.isArray(value) ? value : [value]))
  .pipe(z.array(selectorText));
const scalar = z.union([z.string(), z.number()]);

const fieldSchema = z.strictObject({
  selectors: selectors.optional(),
  extract: oneOrMany.optional(),
  itemprop: oneOrMany.optional(),
  labels: oneOrMany.optional(),
  jsonld: oneOrMany.optional(),
  fallback: z.enum(["heading", "external_link", "tel_link", "mailto_link"]).optional(),
  parser: z.enum(Object.keys(PARSERS) as [string, ...string[]]).optional(),
  mapping: z.record(z.string(), scalar).optional(),
  enum: z.array(z.string()).optional(),
  required: z.boolean().optional(),
  default: scalar.optional(),
});

const fileSchema = z.strictObject({
  name: z.string().optional(),
  extends: z.string().optional(),
  list_container: cssText.optional(),
  list_item: selectors.optional(),
  address: z
    .strictObject({
      selectors: z
        .union([cssText, z.array(cssText)])
        .transform((value) => (Array.isArray(value) ? value : [value]))
        .optional(),
      labels: oneOrMany.optional(),
    })
    .optional(),
  fields: z.record(z.string().regex(/^[a-z][a-z0-9_]*$/), fieldSchema).optional(),
});

export type SchemaFile = z.infer<typeof fileSchema>;

export interface Field {
  name: string;
  selectors: Selector[];
  /** Attributes to take instead of the text, first present wins; `text` means the text. */
  extract: string[];
  itemprop: string[];
  labels: string[];
  jsonld: string[];
  fallback: "heading" | "external_link" | "tel_link" | "mailto_link" | null;
  parser: string;
  mapping: Record<string, string | number>;
  enum: string[];
  required: boolean;
  default: string | number | null;
}

export interface Schema {
  name: string;
  listContainer: string;
  /** True when the association's own schema names its list items; those of `default` are only guesses. */
  ownList: boolean;
  listItem: Selector[];
  address: { selectors: string[]; labels: string[] };
  fields: Field[];
  /** Every label that some field or the address has. */
  labels: ReadonlySet<string>;
}

/** The content of a schema file, checked. @throws ConfigError naming file and place */
export function readSchemaFile(name: string, content: unknown): SchemaFile {
  const parsed = fileSchema.safeParse(content);
  if (parsed.success) return parsed.data;
  throw configError(`schema ${name}`, issuesOf(parsed.error));
}

/** The schema with all it inherits. `load` gives the file of a name. @throws ConfigError on a missing parent or a circle */
export function resolveSchema(name: string, load: (name: string) => SchemaFile | null): Schema {
  const chain: SchemaFile[] = [];
  const names: string[] = [];
  for (let next: string | undefined = name; next !== undefined; ) {
    if (names.includes(next)) throw new ConfigError(`schema ${name} extends itself: ${[...names, next].join(" → ")}`);
    const file = load(next);
    if (file === null)
      throw new ConfigError(`there is no schema ${next}${next === name ? "" : `, which ${names.at(-1)} extends`}`);
    names.push(next);
    chain.unshift(file);
    next = file.extends;
  }
  const merged: SchemaFile = {};
  for (const file of chain) Object.assign(merged, file, { fields: { ...merged.fields, ...file.fields } });
  const fields = Object.entries(merged.fields ?? {}).map(([field, spec]) => compileField(field, spec));
  if (!fields.some((field) => field.required)) {
    throw new ConfigError(`schema ${name} has no required field`, {
      hint: "Mark company_name as required, or extend default.",
    });
  }
  const address = {
    selectors: merged.address?.selectors ?? [],
    labels: (merged.address?.labels ?? []).map((label) => label.toLowerCase()),
  };
  return {
    name,
    listContainer: merged.list_container ?? "body",
    ownList: chain.some((file, at) => file.list_item !== undefined && names[names.length - 1 - at] !== "default"),
    listItem: (merged.list_item ?? []).map(compileSelector),
    address,
    fields,
    labels: new Set([...fields.flatMap((field) => field.labels), ...address.labels]),
  };
}

/** The required fields that a record lacks. */
export function missingFields(fields: Record<string, unknown>, schema: Schema): string[] {
  return schema.fields
    .filter((field) => field.required && (fields[field.name] ?? null) === null)
    .map((field) => field.name);
}

/** Share of the schema's fields that the page itself filled. */
export function confidenceOf(fields: Record<string, unknown>, schema: Schema): number {
  const filled = schema.fields.filter(
    (field) => (fields[field.name] ?? null) !== null && fields[field.name] !== field.default,
  );
  return Math.round((filled.length / schema.fields.length) * 100) / 100;
}

function compileField(name: string, spec: NonNullable<SchemaFile["fields"]>[string]): Field {
  return {
    name,
    selectors: (spec.selectors ?? []).map(compileSelector),
    extract: spec.extract ?? [],
    itemprop: spec.itemprop ?? [],
    labels: (spec.labels ?? []).map((label) => label.toLowerCase()),
    jsonld: spec.jsonld ?? [],
    fallback: spec.fallback ?? null,
    parser: spec.parser ?? "text",
    mapping: spec.mapping ?? {},
    enum: spec.enum ?? [],
    required: spec.required ?? false,
    default: spec.default ?? null,
  };
}
