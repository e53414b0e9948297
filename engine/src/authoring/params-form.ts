/**
 * The short form of params in YAML, `{ limit: {type: integer, default: 10} }`, as JSON Schema.
 *
 * Owner: authoring. Invariants:
 * 1. A param without default is required unless it says `required: false`.
 * 2. A plain JSON Schema (`type: object` at its top) is taken as it is.
 * 3. A default that its own schema refuses is a problem of the definition, not of the first run.
 */
import { TenutoError } from "../core/errors.ts";
import type { Json } from "../core/model.ts";
import {
  checkShape,
  either,
  flag,
  json,
  list,
  number,
  object,
  type Problem,
  problem,
  type Shape,
  text,
  whole,
} from "../core/shape.ts";
import { schemaFromJson } from "./params.ts";

type JsonMap = { [key: string]: Json };

const TYPES: Readonly<Record<string, string>> = {
  text: "string",
  string: "string",
  number: "number",
  integer: "integer",
  flag: "boolean",
  boolean: "boolean",
  list: "array",
  array: "array",
  map: "object",
  object: "object",
};

const LONG = object({
  type: { kind: "word", of: Object.keys(TYPES) },
  default: json,
  description: text(),
  enum: list(json, 1),
  required: flag,
  minimum: number(-Number.MAX_VALUE, Number.MAX_VALUE),
  maximum: number(-Number.MAX_VALUE, Number.MAX_VALUE),
  minLength: whole(0, 1_000_000),
  maxLength: whole(0, 1_000_000),
  pattern: text(),
  items: json,
});

const ANY_NUMBER = number(-Number.MAX_VALUE, Number.MAX_VALUE);
const PARAM: Shape = {
  ...either(LONG, text(), ANY_NUMBER, flag),
  hint: "Write {type: text, default: …} or only the default.",
};

/** The JSON Schema of params as written; problems are added with paths below `params`. */
export function paramsSchemaOf(written: unknown, problems: Problem[]): JsonMap | undefined {
  const form = checkShape(written, { kind: "map", of: json }, ["params"]);
  problems.push(...form);
  if (form.length > 0) return undefined;
  const params = written as JsonMap;
  if (typeof params.type === "string") return usable(params, ["params"], problems) ? params : undefined;
  const properties: JsonMap = {};
  const required: string[] = [];
  for (const [name, param] of Object.entries(params)) {
    const path = ["params", name];
    const wrong = checkShape(param, PARAM, path);
    if (!/^[A-Za-z_][\w-]{0,99}$/.test(name)) {
      wrong.push(
        problem(path, `"${name.slice(0, 60)}" can't be the name of a param`, "Use letters, digits, '_' and '-'."),
      );
    }
    problems.push(...wrong);
    if (wrong.length > 0) continue;
    const schema = schemaOfParam(param!);
    if (!usable(schema, path, problems)) continue;
    properties[name] = schema;
    if (isRequired(param!)) required.push(name);
    else if (schema.default !== undefined) checkDefault(schema, path, problems);
  }
  return { type: "object", properties, ...(required.length === 0 ? {} : { required }), additionalProperties: false };
}

function isRequired(param: Json): boolean {
  if (typeof param !== "object" || param === null || Array.isArray(param)) return false;
  return param.required === undefined
    ? param.default === undefined
    : param.required === true && param.default === undefined;
}

function schemaOfParam(param: Json): JsonMap {
  if (typeof param !== "object" || param === null || Array.isArray(param))
    return { type: typeOf(param), default: param };
  const { required: _, type, ...rest } = param;
  const named = typeof type === "string" ? TYPES[type]! : undefined;
  const inferred = named ?? (rest.default === undefined || rest.default === null ? undefined : typeOf(rest.default));
  return inferred === undefined ? rest : { type: inferred, ...rest };
}

function typeOf(value: Json): string {
  if (Array.isArray(value)) return "array";
  return typeof value === "object" ? "object" : typeof value;
}

function usable(schema: JsonMap, path: string[], problems: Problem[]): boolean {
  try {
    schemaFromJson(schema);
    return true;
  } catch (error) {
    if (!(error instanceof TenutoError)) throw error;
    problems.push(problem(path, error.message, error.hint ?? ""));
    return false;
  }
}

function checkDefault(schema: JsonMap, path: string[], problems: Problem[]): void {
  const result = schemaFromJson(schema)["~standard"].validate(schema.default);
  if (result instanceof Promise || result.issues === undefined) return;
  const message = result.issues[0]?.message.replace(/^Invalid (input|option): /, "") ?? "";
  problems.push(
    problem([...path, "default"], `does not fit the param: ${message}`, "Correct the default or the type."),
  );
}
