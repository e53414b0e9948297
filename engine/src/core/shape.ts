/**
 * The form of declared data as data: which keys, which types, which bounds; and a check that finds all problems at once.
 *
 * Owner: core. Why not a schema library: the core has none, and people read these messages, so each says what is there,
 * what was expected and what was probably meant. Invariants:
 * 1. The check never throws and never recurses deeper than JSON_MAX_DEPTH; deeper data is one problem.
 * 2. A problem's path can be read back by `pathSegments`, so that a YAML position can be found for it.
 */
import { JSON_MAX_DEPTH } from "./limits.ts";
import { suggest } from "./names.ts";

const TOO_DEEP = `is nested more than ${JSON_MAX_DEPTH} deep, or contains itself`;

/** One thing that is wrong with a definition. `path` is like `stages[1].jobs[0].needs[0]`, empty for the whole. */
export interface Problem {
  path: string;
  message: string;
  hint: string;
}

export type Segment = string | number;

interface Common {
  /** Replaces the usual hint when the type is wrong. */
  hint?: string;
}

export type Shape =
  | (Common & { kind: "text" })
  | (Common & { kind: "number"; min: number; max: number; whole: boolean; above?: boolean })
  | (Common & { kind: "flag" })
  | (Common & { kind: "word"; of: readonly string[] })
  | (Common & { kind: "list"; of: Shape; min: number })
  | (Common & { kind: "map"; of: Shape })
  | (Common & { kind: "object"; keys: { readonly [key: string]: Shape }; required: readonly string[] })
  | (Common & { kind: "either"; of: readonly Shape[] })
  | (Common & { kind: "lazy"; shape: () => Shape })
  | (Common & { kind: "json" });

export const text = (hint?: string): Shape => (hint === undefined ? { kind: "text" } : { kind: "text", hint });
export const whole = (min: number, max: number): Shape => ({ kind: "number", min, max, whole: true });
export const number = (min: number, max: number): Shape => ({ kind: "number", min, max, whole: false });
/** A number greater than 0. */
export const positive = (max: number): Shape => ({ kind: "number", min: 0, max, whole: false, above: true });
export const flag: Shape = { kind: "flag" };
export const json: Shape = { kind: "json" };
export const word = (...of: string[]): Shape => ({ kind: "word", of });
export const list = (of: Shape, min = 0): Shape => ({ kind: "list", of, min });
export const map = (of: Shape): Shape => ({ kind: "map", of });
export const object = (keys: { readonly [key: string]: Shape }, required: readonly string[] = []): Shape => ({
  kind: "object",
  keys,
  required,
});
export const either = (...of: Shape[]): Shape => ({ kind: "either", of });
export const lazy = (shape: () => Shape): Shape => ({ kind: "lazy", shape });

/** Everything in which a value differs from its form; empty if nothing. */
export function checkShape(value: unknown, shape: Shape, root: readonly Segment[] = []): Problem[] {
  const problems: Problem[] = [];
  check(value, shape, [...root], problems);
  // A value that contains itself meets the limit on every way down; one of these says it.
  const deep = problems.find((found) => found.message === TOO_DEEP);
  return deep === undefined ? problems : [deep];
}

export function problem(path: readonly Segment[], message: string, hint: string): Problem {
  return { path: pathText(path), message, hint };
}

/** `["stages", 1, "jobs"]` as `stages[1].jobs`; keys that are no plain words are quoted. */
export function pathText(path: readonly Segment[]): string {
  let out = "";
  for (const segment of path) {
    if (typeof segment === "number") out += `[${segment}]`;
    else if (/^[A-Za-z_$][\w$-]*$/.test(segment)) out += out === "" ? segment : `.${segment}`;
    else out += `[${JSON.stringify(segment)}]`;
  }
  return out;
}

/** The reverse of `pathText`. */
export function pathSegments(path: string): Segment[] {
  const segments: Segment[] = [];
  for (const match of path.matchAll(/\[(\d+)\]|\[("(?:[^"\\]|\\.)*")\]|([^.[\]]+)/g)) {
    if (match[1] !== undefined) segments.push(Number(match[1]));
    else segments.push(match[2] === undefined ? match[3]! : (JSON.parse(match[2]) as string));
  }
  return segments;
}

/** Whether lists and objects are nested deeper than `limit`; iterative, so that no depth can hurt it. */
export function depthAbove(value: unknown, limit: number): boolean {
  let level: object[] = isContainer(value) ? [value] : [];
  for (let depth = 1; level.length > 0; depth++) {
    if (depth > limit) return true;
    const next = new Set<object>();
    for (const container of level) {
      for (const part of Object.values(container)) if (isContainer(part)) next.add(part);
    }
    level = [...next];
  }
  return false;
}

function tooDeep(path: readonly Segment[]): Problem {
  return problem(path.slice(0, 12), TOO_DEEP, "Flatten it, or put it into a file.");
}

function check(value: unknown, shape: Shape, path: Segment[], problems: Problem[]): void {
  if (problems.at(-1)?.message === TOO_DEEP) return;
  switch (shape.kind) {
    case "json":
      if (isContainer(value) && depthAbove(value, JSON_MAX_DEPTH - path.length)) problems.push(tooDeep(path));
      return;
    case "lazy":
      if (path.length > JSON_MAX_DEPTH) problems.push(tooDeep(path));
      else check(value, shape.shape(), path, problems);
      return;
    case "either": {
      const fitting = shape.of.find((option) => accepts(value, option));
      if (fitting !== undefined) return check(value, fitting, path, problems);
      problems.push(wrongType(value, shape, path));
      return;
    }
    default:
      if (!accepts(value, shape)) problems.push(wrongType(value, shape, path));
      else checkInside(value, shape, path, problems);
  }
}

function checkAt(value: unknown, shape: Shape, segment: Segment, path: Segment[], problems: Problem[]): void {
  path.push(segment);
  check(value, shape, path, problems);
  path.pop();
}

function checkInside(value: unknown, shape: Shape, path: Segment[], problems: Problem[]): void {
  if (shape.kind === "number") checkNumber(value as number, shape, path, problems);
  else if (shape.kind === "word") {
    if (shape.of.includes(value as string)) return;
    problems.push(problem(path, `can't be "${value}"`, suggestWord(value as string, shape.of)));
  } else if (shape.kind === "list") {
    const elements = value as unknown[];
    if (elements.length < shape.min) problems.push(problem(path, "is empty", `Give at least ${shape.min}.`));
    for (let i = 0; i < elements.length; i++) checkAt(elements[i], shape.of, i, path, problems);
  } else if (shape.kind === "map") {
    for (const key of Object.keys(value as object))
      checkAt((value as Record<string, unknown>)[key], shape.of, key, path, problems);
  } else if (shape.kind === "object") {
    const given = value as Record<string, unknown>;
    for (const key of shape.required) {
      if (given[key] === undefined) problems.push(problem(path, `lacks "${key}"`, `Add ${key}: …`));
    }
    for (const key of Object.keys(given)) {
      if (Object.hasOwn(shape.keys, key)) {
        if (given[key] !== undefined) checkAt(given[key], shape.keys[key]!, key, path, problems);
      } else
        problems.push(problem([...path, key], `unknown key "${key}"`, suggest(key, Object.keys(shape.keys), "key")));
    }
  }
}

function checkNumber(value: number, shape: Shape & { kind: "number" }, path: Segment[], problems: Problem[]): void {
  const tooSmall = shape.above === true ? value <= shape.min : value < shape.min;
  if (!tooSmall && value <= shape.max && (!shape.whole || Number.isInteger(value))) return;
  const from = shape.above === true ? `above ${shape.min}` : `from ${shape.min}`;
  problems.push(
    problem(path, `can't be ${value}`, `Give a ${shape.whole ? "whole " : ""}number ${from} to ${shape.max}.`),
  );
}

function suggestWord(given: string, words: readonly string[]): string {
  const hint = suggest(given, words, "choice");
  return hint.startsWith("Known: ") ? `Use one of: ${words.join(", ")}.` : hint;
}

function accepts(value: unknown, shape: Shape): boolean {
  switch (shape.kind) {
    case "text":
    case "word":
      return typeof value === "string";
    case "number":
      return typeof value === "number" && !Number.isNaN(value);
    case "flag":
      return typeof value === "boolean";
    case "list":
      return Array.isArray(value);
    case "map":
    case "object":
      return isContainer(value) && !Array.isArray(value);
    case "either":
      return shape.of.some((option) => accepts(value, option));
    case "lazy":
      return accepts(value, shape.shape());
    default:
      return true;
  }
}

function wrongType(value: unknown, shape: Shape, path: readonly Segment[]): Problem {
  const wanted = [...new Set(nouns(shape))].join(" or ");
  return problem(path, `must be ${wanted}, not ${nounOf(value)}`, shape.hint ?? `Give ${wanted}.`);
}

function nouns(shape: Shape): string[] {
  switch (shape.kind) {
    case "text":
      return ["text"];
    case "word":
      return [shape.of.join(", ")];
    case "number":
      return [shape.whole ? "a whole number" : "a number"];
    case "flag":
      return ["true or false"];
    case "list":
      return ["a list"];
    case "either":
      return shape.of.flatMap(nouns);
    case "lazy":
      return nouns(shape.shape());
    default:
      return ["a map"];
  }
}

function nounOf(value: unknown): string {
  if (value === null || value === undefined) return "empty";
  if (Array.isArray(value)) return "a list";
  switch (typeof value) {
    case "string":
      return `the text ${JSON.stringify(value.slice(0, 40))}`;
    case "number":
    case "boolean":
      return String(value);
    case "object":
      return "a map";
    default:
      return `a ${typeof value}`;
  }
}

function isContainer(value: unknown): value is object {
  return typeof value === "object" && value !== null;
}
