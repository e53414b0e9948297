/**
 * What a tool is: an offer to the model, a check of its arguments, and the work, each call of which is a step.
 *
 * Invariants: (1) arguments that do not fit never reach the work; unknown ones are refused; (2) what a tool refuses is told
 * to the model as an error result (`ToolProblem`); any other throw ends the attempt.
 */
import type { Json } from "../../core/model.ts";
import type { ToolOffer } from "./models.ts";

/** Told to the model; the conversation goes on. */
export class ToolProblem extends Error {
  constructor(message: string) {
    super(message);
    this.name = "ToolProblem";
  }
}

export type Args = { [key: string]: Json };

export interface CallPlace {
  /** Stable over attempts, for exactly-once at the other end. */
  idempotencyKey: string;
  /** Key of the call's steps, to be extended. */
  key: readonly (string | number)[];
  signal: AbortSignal;
}

export interface Tool {
  offer: ToolOffer;
  /** The arguments as the work wants them. @throws ToolProblem */
  check(input: Json): Args | Promise<Args>;
  /** Facts that are fixed in a step of their own before the work, so that doing it again after a crash can be told apart. */
  plan?(args: Args): Promise<Json>;
  /** As a step. The text goes to the model. @throws ToolProblem */
  work?(args: Args, plan: Json, place: CallPlace): Promise<string>;
  /** Not as a step: it waits in a way that is durable by itself. */
  wait?(args: Args, place: CallPlace): Promise<string>;
  /** Whether the text comes from the engine itself; otherwise it is data and marked as such. */
  trusted?: true;
}

interface Field {
  type: "string" | "integer" | "boolean" | "array" | "object" | "any";
  description: string;
  optional?: true;
  /** Most characters, or the largest number. */
  max?: number;
  min?: number;
  choices?: readonly string[];
  /** Schema of the elements, for a list. */
  items?: { [key: string]: Json };
}

export type Fields = Readonly<Record<string, Field>>;

export function offerOf(name: string, description: string, fields: Fields): ToolOffer {
  const properties = Object.fromEntries(
    Object.entries(fields).map(([key, field]): [string, Json] => [key, schemaOf(field)]),
  );
  const required = Object.entries(fields).flatMap(([key, field]) => (field.optional === true ? [] : [key]));
  return {
    name,
    description,
    inputSchema: { type: "object", properties, required, additionalProperties: false },
  };
}

function schemaOf(field: Field): Json {
  return {
    ...(field.type === "any" ? {} : { type: field.type }),
    description: field.description,
    ...(field.choices === undefined ? {} : { enum: [...field.choices] }),
    ...(field.items === undefined ? {} : { items: field.items }),
    ...(field.type === "integer" && field.min !== undefined ? { minimum: field.min } : {}),
    ...(field.type === "integer" && field.max !== undefined ? { maximum: field.max } : {}),
  };
}

export function checkFields(input: Json, fields: Fields): Args {
  if (typeof input !== "object" || input === null || Array.isArray(input))
    throw new ToolProblem("the arguments must be an object");
  const problems: string[] = [];
  for (const key of Object.keys(input))
    if (!Object.hasOwn(fields, key)) problems.push(`there is no argument "${key.slice(0, 60)}"`);
  for (const [key, field] of Object.entries(fields)) {
    const value = Object.hasOwn(input, key) ? input[key] : undefined;
    if (value === undefined || (value === null && field.optional === true)) {
      if (field.optional !== true) problems.push(`"${key}" is missing`);
    } else {
      const problem = problemOf(value, field);
      if (problem !== null) problems.push(`"${key}" ${problem}`);
    }
  }
  if (problems.length > 0) throw new ToolProblem(problems.join("; "));
  return Object.fromEntries(
    Object.keys(fields)
      .filter((key) => Object.hasOwn(input, key) && input[key] !== null)
      .map((key) => [key, input[key]!]),
  );
}

function problemOf(value: Json, field: Field): string | null {
  const { type, max, min, choices } = field;
  if (type === "string") {
    if (typeof value !== "string") return "must be a text";
    if (value.includes("\0")) return "must not contain a NUL";
    if (max !== undefined && value.length > max) return `has ${value.length} characters; ${max} are allowed`;
    if (choices !== undefined && !choices.includes(value)) return `must be one of ${choices.join(", ")}`;
    return null;
  }
  if (type === "integer") {
    if (!Number.isInteger(value)) return "must be a whole number";
    const number = value as number;
    if (number < (min ?? 0)) return `must be at least ${min ?? 0}`;
    return max !== undefined && number > max ? `must be at most ${max}` : null;
  }
  if (type === "boolean") return typeof value === "boolean" ? null : "must be true or false";
  if (type === "array") return Array.isArray(value) ? null : "must be a list";
  if (type === "object")
    return typeof value === "object" && value !== null && !Array.isArray(value) ? null : "must be an object";
  return null;
}

/** The beginning of a text, and how much is left out. */
export function bounded(text: string, max: number): string {
  if (text.length <= max) return text;
  return `${text.slice(0, max)}\n[${text.length - max} more characters are not shown]`;
}
