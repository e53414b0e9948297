/**
 * Placeholders in declared data: `{{ params.x }}`, `{{ jobs.a.output.rows[0]["odd key"] }}`, `{{ item }}`, `{{ index }}`,
 * `{{ run.id }}`. Data, never code: a path is looked up, nothing is evaluated.
 *
 * Owner: core. Invariants:
 * 1. A string that is one placeholder yields the value itself, of any type; otherwise text, in which strings stand as
 *    they are and everything else as JSON. Keys of objects are not expanded. What was put in is never expanded again.
 * 2. Only own properties are followed, and `length` of lists. `__proto__` is refused.
 * 3. A path that leads nowhere is an error that names placeholder, place and what was there; never an empty text.
 * 4. A literal `{{` is written `{{ "{{" }}`.
 */
import { TenutoError } from "./errors.ts";
import { JSON_MAX_DEPTH } from "./limits.ts";
import type { Json } from "./model.ts";
import { suggest } from "./names.ts";

/** What placeholders may refer to. A part that is absent can't be referred to. */
export interface Scope {
  params?: Json;
  /** By job id: `{output}` of a job that ended, also `state` and `error`. */
  jobs?: { readonly [id: string]: { readonly output: Json; readonly state?: string; readonly error?: Json } };
  item?: Json;
  index?: number;
  run?: Json;
  /** Why a spawned job was spawned. */
  context?: Json;
  /** Number, failures and last error of the present attempt. */
  attempt?: Json;
  /** Of the job itself, where a gate looks at them. */
  input?: Json;
  output?: Json;
}

/** One placeholder: its text and its path, `["jobs", "a", "output", 0]`. */
export interface Reference {
  text: string;
  path: readonly (string | number)[];
}

/** A reference and the place that it was found in, `input.urls[0]`. */
export interface PlacedReference extends Reference {
  place: string;
}

type Part = string | Reference;
type Lookup = { found: true; value: Json } | { found: false; error: TenutoError };

const ROOTS = ["params", "jobs", "item", "index", "run", "context", "attempt", "input", "output"] as const;
const CACHE_ENTRIES = 2_000;
const CACHE_CHARS = 4_000;
const cache = new Map<string, readonly Part[]>();

/**
 * The value with its placeholders replaced from the scope; the same object where there are none. Values of the scope are
 * shared, not copied. `place` begins the paths in errors ("input of job a").
 * @throws invalid_input for a path that leads nowhere, invalid_definition for what is no placeholder
 */
export function expand(value: Json, scope: Scope, place = "value"): Json {
  return expandAt(value, scope, place, 0);
}

/** Text with its placeholders replaced; a value that is not text becomes JSON. For argv, env and keys. */
export function expandText(template: string, scope: Scope, place = "value"): string {
  const value = expandString(template, scope, place);
  return typeof value === "string" ? value : JSON.stringify(value);
}

/** Like `expand`, but undefined if some path leads nowhere. */
export function expandIfPresent(value: Json, scope: Scope, place = "value"): Json | undefined {
  for (const reference of references(value, place)) {
    if (!lookup(reference, scope, place).found) return undefined;
  }
  return expandAt(value, scope, place, 0);
}

/** Every placeholder in a value, in order. @throws invalid_definition for what is no placeholder */
export function references(value: Json, place = "value"): PlacedReference[] {
  const found: PlacedReference[] = [];
  collect(value, place, 0, found);
  return found;
}

/** Ids of the jobs that a value refers to, each once. */
export function requiredOutputs(value: Json): string[] {
  const ids = new Set<string>();
  for (const { path } of references(value)) {
    if (path[0] === "jobs") ids.add(String(path[1]));
  }
  return [...ids];
}

/** Whether a string holds anything to expand. */
export function hasPlaceholder(text: string): boolean {
  return text.includes("{{");
}

function expandAt(value: Json, scope: Scope, place: string, depth: number): Json {
  if (typeof value === "string") return value.includes("{{") ? expandString(value, scope, place) : value;
  if (typeof value !== "object" || value === null) return value;
  checkDepth(depth, place);
  if (Array.isArray(value)) {
    let copy: Json[] | null = null;
    for (let i = 0; i < value.length; i++) {
      const part = value[i]!;
      const expanded = isFixed(part) ? part : expandAt(part, scope, `${place}[${i}]`, depth + 1);
      if (copy === null && expanded !== part) copy = value.slice(0, i);
      copy?.push(expanded);
    }
    return copy ?? value;
  }
  let entries: [string, Json][] | null = null;
  const keys = Object.keys(value);
  for (let i = 0; i < keys.length; i++) {
    const key = keys[i]!;
    const part = value[key]!;
    const expanded = isFixed(part) ? part : expandAt(part, scope, `${place}.${key}`, depth + 1);
    if (entries === null && expanded !== part) entries = keys.slice(0, i).map((before) => [before, value[before]!]);
    entries?.push([key, expanded]);
  }
  // fromEntries defines properties, so that a key `__proto__` stays a key.
  return entries === null ? value : Object.fromEntries(entries);
}

/** Nothing to expand in it; saves building the place of every number. */
function isFixed(value: Json): boolean {
  return typeof value === "string" ? !value.includes("{{") : typeof value !== "object" || value === null;
}

function expandString(template: string, scope: Scope, place: string): Json {
  if (!template.includes("{{")) return template;
  const parts = parse(template, place);
  const only = parts.length === 1 ? parts[0]! : null;
  if (only !== null && typeof only !== "string") return valueAt(only, scope, place);
  let text = "";
  for (const part of parts) {
    if (typeof part === "string") {
      text += part;
      continue;
    }
    const value = valueAt(part, scope, place);
    text += typeof value === "string" ? value : JSON.stringify(value);
  }
  return text;
}

function valueAt(reference: Reference, scope: Scope, place: string): Json {
  const result = lookup(reference, scope, place);
  if (!result.found) throw result.error;
  return result.value;
}

function lookup(reference: Reference, scope: Scope, place: string): Lookup {
  let value = scope as unknown as Json;
  let reached = "";
  for (const key of reference.path) {
    const next = step(value, key);
    if (next === undefined) return { found: false, error: missing(reference, key, value, reached, place) };
    value = next;
    reached = reached === "" ? String(key) : typeof key === "number" ? `${reached}[${key}]` : `${reached}.${key}`;
  }
  return { found: true, value };
}

function step(value: Json, key: string | number): Json | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  if (Array.isArray(value)) {
    if (key === "length") return value.length;
    const at = typeof key === "number" ? key : /^\d{1,9}$/.test(key) ? Number(key) : -1;
    return value[at];
  }
  return Object.hasOwn(value, key) ? value[key] : undefined;
}

function missing(reference: Reference, key: string | number, at: Json, reached: string, place: string): TenutoError {
  const keys =
    typeof at === "object" && at !== null && !Array.isArray(at)
      ? Object.keys(at).filter((k) => at[k] !== undefined)
      : null;
  const where = reached === "" ? "here" : reached;
  let found: string;
  let hint: string;
  if (keys !== null) {
    found = keys.length === 0 ? `${where} is empty` : `${where} has ${listed(keys)}`;
    hint =
      reached === "" ? "Only items of a forEach have item and index." : suggest(String(key), keys, `key in ${where}`);
    if (reached === "" && key === "jobs") hint = "Name the job in needs.";
  } else if (Array.isArray(at)) {
    found = `${where} is a list of ${at.length}`;
    hint = "Lists are read by [number], from 0, or .length.";
  } else {
    found = `${where} is ${at === null ? "null" : `a ${typeof at}`}`;
    hint = "Check what the job before really returned.";
  }
  return new TenutoError(
    "invalid_input",
    `${place}: {{ ${reference.text} }} leads nowhere: no ${JSON.stringify(key)}, ${found}`,
    {
      hint,
      details: { placeholder: reference.text, place, reached, missing: key },
    },
  );
}

function listed(keys: readonly string[]): string {
  const shown = keys.slice(0, 8).map((key) => JSON.stringify(key.slice(0, 60)));
  return `${shown.join(", ")}${keys.length > 8 ? ` and ${keys.length - 8} more` : ""}`;
}

function collect(value: Json, place: string, depth: number, found: PlacedReference[]): void {
  if (typeof value === "string") {
    if (!value.includes("{{")) return;
    for (const part of parse(value, place)) {
      if (typeof part !== "string") found.push({ ...part, place });
    }
    return;
  }
  if (typeof value !== "object" || value === null) return;
  checkDepth(depth, place);
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length; i++) collect(value[i]!, `${place}[${i}]`, depth + 1, found);
    return;
  }
  for (const key of Object.keys(value)) collect(value[key]!, `${place}.${key}`, depth + 1, found);
}

function checkDepth(depth: number, place: string): void {
  if (depth < JSON_MAX_DEPTH) return;
  throw new TenutoError("unsupported_value", `${place.slice(0, 120)}… is nested more than ${JSON_MAX_DEPTH} deep`, {
    hint: "Flatten it, or store it as an artifact.",
  });
}

function parse(template: string, place: string): readonly Part[] {
  const known = cache.get(template);
  if (known !== undefined) return known;
  const parts = parseParts(template, place);
  if (template.length <= CACHE_CHARS) {
    if (cache.size >= CACHE_ENTRIES) cache.delete(cache.keys().next().value!);
    cache.set(template, parts);
  }
  return parts;
}

function parseParts(template: string, place: string): Part[] {
  const parts: Part[] = [];
  const text = (piece: string): void => {
    if (piece === "") return;
    if (typeof parts.at(-1) === "string") parts[parts.length - 1] += piece;
    else parts.push(piece);
  };
  let at = 0;
  for (;;) {
    const open = template.indexOf("{{", at);
    if (open < 0) break;
    text(template.slice(at, open));
    const close = closing(template, open + 2);
    const inner = close < 0 ? template.slice(open + 2, open + 60) : template.slice(open + 2, close).trim();
    if (close < 0) throw malformed(template, inner, place, "has no closing }}");
    const literal = /^"(?:[^"\\]|\\.)*"$/.test(inner) ? parseQuoted(inner) : null;
    if (literal !== null) text(literal);
    else parts.push({ text: inner, path: parsePath(template, inner, place) });
    at = close + 2;
  }
  text(template.slice(at));
  return parts.length === 0 ? [""] : parts;
}

/** Position of the `}}` that ends the placeholder; one inside quotes does not. */
function closing(template: string, from: number): number {
  let quote = "";
  for (let i = from; i < template.length; i++) {
    const char = template[i]!;
    if (quote !== "") {
      if (char === "\\") i++;
      else if (char === quote) quote = "";
    } else if (char === '"' || char === "'") quote = char;
    else if (char === "}" && template[i + 1] === "}") return i;
  }
  return -1;
}

const SEGMENT = /\.([^\s.[\]{}"'()|+*/,;:!?<>=&]+)|\[(\d{1,9})\]|\[("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')\]/y;

function parsePath(template: string, inner: string, place: string): (string | number)[] {
  const root = /^[A-Za-z]+/.exec(inner)?.[0] ?? "";
  if (!(ROOTS as readonly string[]).includes(root)) {
    throw malformed(template, inner, place, inner === "" ? "is empty" : `does not begin with ${ROOTS.join(", ")}`);
  }
  const path: (string | number)[] = [root];
  let at = root.length;
  while (at < inner.length) {
    SEGMENT.lastIndex = at;
    const match = SEGMENT.exec(inner);
    if (match === null)
      throw malformed(template, inner, place, `can't be read from ${JSON.stringify(inner.slice(at, at + 20))} on`);
    const key = match[1] ?? (match[2] !== undefined ? Number(match[2]) : parseQuoted(match[3]!));
    if (key === null) throw malformed(template, inner, place, "has a key with a bad escape");
    if (key === "__proto__") throw malformed(template, inner, place, "asks for __proto__");
    path.push(key);
    at = SEGMENT.lastIndex;
  }
  if (root === "jobs" && (path.length < 3 || !["output", "state", "error"].includes(String(path[2])))) {
    throw malformed(template, inner, place, "must go on as jobs.<id>.output (or .state, .error)");
  }
  return path;
}

function parseQuoted(quoted: string): string | null {
  const body = quoted.slice(1, -1);
  const json = quoted[0] === "'" ? body.replaceAll("\\'", "'").replace(/(?<!\\)"/g, '\\"') : body;
  try {
    return JSON.parse(`"${json}"`);
  } catch {
    return null;
  }
}

function malformed(template: string, inner: string, place: string, why: string): TenutoError {
  return new TenutoError("invalid_definition", `${place}: {{ ${inner.slice(0, 80)} }} ${why}`, {
    hint: 'A placeholder is a path such as {{ params.x }}, {{ jobs.a.output.rows[0]["odd key"] }}, {{ item }}, {{ index }} or {{ run.id }}; a literal {{ is written {{ "{{" }}.',
    details: { placeholder: inner.slice(0, 200), place, template: template.slice(0, 200) },
  });
}
