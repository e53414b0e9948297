/**
 * Params of a run: from a schema to what is stored in the document, and from what a user gives to checked values.
 *
 * Owner: authoring. Invariants:
 * 1. What a run gets has its defaults filled in and is JSON; it never changes again.
 * 2. A param that the schema does not know is refused, not dropped: a typing error must not start a run.
 * 3. All issues are listed, each with its path.
 */
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import type { Schema } from "../core/agent.ts";
import type { PipelineDocument } from "../core/document.ts";
import { TenutoError } from "../core/errors.ts";
import type { Json } from "../core/model.ts";
import { suggest } from "../core/names.ts";
import { checkPayload } from "../core/payload.ts";
import { pathText, type Segment } from "../core/shape.ts";

export type Params = { [key: string]: Json };
type JsonSchema = { [key: string]: Json };

interface WithParams {
  document: PipelineDocument;
  paramsSchema?: Schema<any>;
}

/** Loaded when a schema is first asked for: most commands of the command line never do, and it takes as long as the rest. */
function zod(): typeof import("zod") {
  const require = createRequire(import.meta.url);
  // By its file: the copy that `import` gives, not a second one for `require`.
  return require(join(dirname(require.resolve("zod/package.json")), "index.js")) as typeof import("zod");
}

const fromDocument = new WeakMap<PipelineDocument, Schema<any>>();

/**
 * The params of a run: `given` checked against the pipeline's schema, with defaults.
 * @throws invalid_params listing every issue with its path
 */
export function parseParams(pipeline: WithParams, given: unknown): Params {
  const { document } = pipeline;
  const value = given ?? {};
  if (typeof value !== "object" || Array.isArray(value)) {
    throw invalid(document, [{ path: "", message: "params must be an object", hint: "Give names and values." }]);
  }
  const issues: ParamIssue[] = unknownParams(document.params, value);
  const schema = pipeline.paramsSchema ?? schemaOfDocument(document);
  const result = schema["~standard"].validate(value);
  if (result instanceof Promise) {
    result.catch(() => {});
    throw new TenutoError("invalid_definition", `the params schema of "${document.name}" is asynchronous`, {
      hint: "Check params without awaiting; what needs the network belongs into a job.",
    });
  }
  for (const issue of result.issues ?? []) {
    const path = pathText((issue.path ?? []).map((part) => segmentOf(part)));
    if (issue.message.startsWith("Unrecognized key") && issues.length > 0) continue;
    issues.push({ path, message: plainMessage(issue.message), hint: describeParam(document.params, path) });
  }
  if (issues.length > 0 || result.issues !== undefined) throw invalid(document, issues);
  try {
    return JSON.parse(checkPayload(result.value, "params").json) as Params;
  } catch (error) {
    if (!(error instanceof TenutoError)) throw error;
    throw new TenutoError("invalid_params", error.message, {
      hint: error.hint ?? "",
      details: { ...error.details, pipeline: document.name },
      cause: error,
    });
  }
}

/** Params from texts such as `limit=10` of a command line, typed by the schema; what does not fit stays text. */
export function paramsFromText(document: PipelineDocument, given: Readonly<Record<string, string>>): Params {
  const properties = propertiesOf(document.params);
  const entries = Object.entries(given).map(([name, text]): [string, Json] => {
    const schema = Object.hasOwn(properties, name) ? properties[name] : undefined;
    return [name, typed(text, schema)];
  });
  return Object.fromEntries(entries);
}

/** The JSON Schema to store for a Standard Schema; params must be an object. @throws invalid_definition */
export function jsonSchemaOf(schema: Schema<any>, pipeline: string): JsonSchema {
  const rest = anyJsonSchema(schema) ?? { type: "object" };
  if (rest.type === "object") return rest;
  throw new TenutoError("invalid_definition", `params of pipeline "${pipeline}" must be a schema of an object`, {
    hint: "Use z.object({ … }).",
  });
}

/** The JSON Schema of what a Standard Schema takes; undefined if it can't tell. */
export function anyJsonSchema(schema: Schema<any>): JsonSchema | undefined {
  const made =
    schema["~standard"].vendor === "zod"
      ? zod().toJSONSchema(schema as unknown as Parameters<typeof import("zod")["toJSONSchema"]>[0], {
          io: "input",
          unrepresentable: "any",
          override: withoutSafeBounds,
        })
      : ownJsonSchema(schema);
  if (made === undefined) return undefined;
  const { $schema: _, ...rest } = JSON.parse(JSON.stringify(made)) as JsonSchema;
  return rest;
}

/** A validator for a JSON Schema, with defaults. @throws invalid_definition for a schema that makes no sense */
export function schemaFromJson(schema: JsonSchema): Schema<any> {
  try {
    const { fromJSONSchema } = zod();
    return fromJSONSchema(schema as Parameters<typeof fromJSONSchema>[0]) as unknown as Schema<any>;
  } catch (error) {
    throw new TenutoError("invalid_definition", `the params schema can't be used: ${(error as Error).message}`, {
      hint: "Use JSON Schema (draft 2020-12), or the short form name: {type, default, description, enum, required}.",
      cause: error,
    });
  }
}

interface ParamIssue {
  path: string;
  message: string;
  hint: string;
}

/** A pipeline that declares no params; given ones are refused as unknown beforehand. */
const ANYTHING: Schema<any> = {
  "~standard": { version: 1, vendor: "tenuto", validate: (value) => ({ value }) },
};

function schemaOfDocument(document: PipelineDocument): Schema<any> {
  let schema = fromDocument.get(document);
  if (schema === undefined) {
    schema = document.params === undefined ? ANYTHING : schemaFromJson(document.params);
    fromDocument.set(document, schema);
  }
  return schema;
}

function unknownParams(schema: JsonSchema | undefined, given: object): ParamIssue[] {
  if (schema !== undefined && schema.additionalProperties !== undefined && schema.additionalProperties !== false)
    return [];
  if (schema?.patternProperties !== undefined || (schema !== undefined && schema.properties === undefined)) return [];
  const known = Object.keys(propertiesOf(schema));
  return Object.keys(given)
    .filter((name) => !known.includes(name))
    .map((name) => ({
      path: pathText([name]),
      message: "there is no such param",
      hint: suggest(name, known, "param"),
    }));
}

function propertiesOf(schema: JsonSchema | undefined): { [name: string]: Json } {
  const properties = schema?.properties;
  return typeof properties === "object" && properties !== null && !Array.isArray(properties) ? properties : {};
}

function describeParam(schema: JsonSchema | undefined, path: string): string {
  const name = path.split(/[.[]/)[0]!;
  const properties = propertiesOf(schema);
  const property = Object.hasOwn(properties, name) ? properties[name] : undefined;
  if (typeof property !== "object" || property === null || Array.isArray(property)) return "";
  return typeof property.description === "string" ? `${name}: ${property.description}` : "";
}

function typed(text: string, schema: Json | undefined): Json {
  const types = typeof schema === "object" && schema !== null && !Array.isArray(schema) ? [schema.type].flat() : [];
  if (types.includes("string")) return text;
  if ((types.includes("number") || types.includes("integer")) && text.trim() !== "" && Number.isFinite(Number(text)))
    return Number(text);
  if (types.includes("boolean") && /^(true|false)$/i.test(text)) return text.toLowerCase() === "true";
  if (types.includes("null") && text === "null") return null;
  if (!types.includes("array") && !types.includes("object") && types[0] !== undefined) return text;
  try {
    return JSON.parse(text);
  } catch {
    return types.includes("array") ? text.split(",") : text;
  }
}

/** The bounds that zod adds to every integer say nothing to whoever reads the schema. */
function withoutSafeBounds({ jsonSchema }: { jsonSchema: { minimum?: number; maximum?: number } }): void {
  if (jsonSchema.minimum === Number.MIN_SAFE_INTEGER) delete jsonSchema.minimum;
  if (jsonSchema.maximum === Number.MAX_SAFE_INTEGER) delete jsonSchema.maximum;
}

function ownJsonSchema(schema: Schema<any>): unknown {
  const standard = schema["~standard"] as { jsonSchema?: { input?: (options: { target: string }) => unknown } };
  return standard.jsonSchema?.input?.({ target: "draft-2020-12" });
}

function segmentOf(part: PropertyKey | { readonly key: PropertyKey }): Segment {
  const key = typeof part === "object" ? part.key : part;
  return typeof key === "number" ? key : String(key);
}

function plainMessage(message: string): string {
  if (/received undefined$/.test(message))
    return `is missing (${message.replace(/^Invalid input: /, "").replace(/, received undefined$/, "")})`;
  return message.replace(/^Invalid input: /, "").replace(/^Invalid option: /, "");
}

function invalid(document: PipelineDocument, issues: ParamIssue[]): TenutoError {
  const lines = issues.map(
    ({ path, message, hint }) => `  ${path === "" ? "" : `${path}: `}${message}${hint === "" ? "" : `. ${hint}`}`,
  );
  return new TenutoError("invalid_params", `params of "${document.name}" are not valid:\n${lines.join("\n")}`, {
    hint: "Nothing was started.",
    details: { pipeline: document.name, issues },
  });
}
