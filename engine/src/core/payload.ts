/**
 * What may be stored: JSON values, checked once before anything is written, the same for every ledger.
 *
 * Owner: core. Decisions, all so that SQLite and PostgreSQL give back exactly what was accepted:
 * 1. Refused with its path: NaN, Infinity, BigInt, functions, symbols, Date, Map, Set and other class instances, cycles,
 *    undefined and holes in arrays, NUL and lone surrogates in strings and keys (jsonb can't hold them), whole numbers
 *    beyond 2^53 that JSON writes as an integer (readers in other languages keep other digits), nesting beyond 200.
 * 2. Normalised: -0 is stored as 0; a property that is undefined is left out; undefined itself is null.
 * 3. An own key `__proto__` is data and stays data: nothing here assigns by key.
 * 4. The walk answers yes or no and stops early; only a refusal pays for the second walk that names the place.
 */
import { TenutoError } from "./errors.ts";
import { JSON_MAX_DEPTH, PAYLOAD_MAX_BYTES, PAYLOAD_WARN_BYTES } from "./limits.ts";

export interface CheckedPayload {
  json: string;
  /** Length of `json` in UTF-8. */
  bytes: number;
  /** True above 256 KB: stored, but better an artifact. */
  warn: boolean;
}

/** Lower bound of the text of what was walked so far; more than the maximum ends the walk. */
interface Budget {
  left: number;
}

/**
 * The JSON text of a value that may be stored. `what` names it in errors ("output of job a").
 * @throws unsupported_value with the path of the first part that JSON can't carry; payload_too_large above 1 MB
 */
export function checkPayload(value: unknown, what: string): CheckedPayload {
  switch (typeof value) {
    case "undefined":
      return { json: "null", bytes: 4, warn: false };
    case "boolean":
      return value ? { json: "true", bytes: 4, warn: false } : { json: "false", bytes: 5, warn: false };
    case "number": {
      if (!isStorable(value)) return refuse(value, what);
      const json = value === 0 ? "0" : String(value);
      return { json, bytes: json.length, warn: false };
    }
    case "object": {
      if (value === null) return { json: "null", bytes: 4, warn: false };
      const budget: Budget = { left: PAYLOAD_MAX_BYTES };
      if (!walk(value, 1, budget)) return budget.left < 0 ? tooLarge(what, null) : refuse(value, what);
      return measured(JSON.stringify(value), value, what);
    }
    case "string":
      if (value.length > PAYLOAD_MAX_BYTES) return tooLarge(what, value.length);
      return measured(JSON.stringify(value), value, what);
    default:
      return refuse(value, what);
  }
}

function measured(json: string, value: unknown, what: string): CheckedPayload {
  // JSON.stringify escapes NUL and lone surrogates, so one search of the text stands for a look at every string.
  if (json.includes("\\u")) explain(value, what);
  const bytes = utf8Length(json);
  if (bytes <= PAYLOAD_WARN_BYTES) return { json, bytes, warn: false };
  if (bytes > PAYLOAD_MAX_BYTES) return tooLarge(what, bytes);
  return { json, bytes, warn: true };
}

function isStorable(value: number): boolean {
  if (Number.isSafeInteger(value)) return true;
  return Number.isFinite(value) && (Math.abs(value) >= 1e21 || !Number.isInteger(value));
}

/** Whether an object or array may be stored, strings apart. Depth ends recursion, and with it cycles. */
function walk(value: object, depth: number, budget: Budget): boolean {
  if (depth > JSON_MAX_DEPTH) return false;
  if (Array.isArray(value)) {
    if (Object.getPrototypeOf(value) !== Array.prototype && "toJSON" in value) return false;
    budget.left -= value.length + 1;
    if (budget.left < 0) return false;
    for (let i = 0; i < value.length; i++) {
      const element: unknown = value[i];
      if (element === undefined || !walkPart(element, depth, budget)) return false;
    }
    return true;
  }
  if (!isPlain(value)) return false;
  for (const key in value) {
    const part = (value as Record<string, unknown>)[key];
    if (part === undefined) continue;
    budget.left -= key.length + 4;
    if (budget.left < 0 || !walkPart(part, depth, budget)) return false;
  }
  return true;
}

function walkPart(value: unknown, depth: number, budget: Budget): boolean {
  switch (typeof value) {
    case "string":
      budget.left -= value.length;
      return budget.left >= 0;
    case "number":
      return isStorable(value);
    case "boolean":
      return true;
    case "object":
      return value === null || walk(value, depth + 1, budget);
    default:
      return false;
  }
}

/** A literal, JSON.parse's result, a null-prototype object, or one of these from another realm. */
function isPlain(value: object): boolean {
  const prototype: object | null = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null || Object.getPrototypeOf(prototype) === null;
}

function utf8Length(text: string): number {
  let extra = 0;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit < 0x80) continue;
    // A pair is two units and four bytes: one and one extra.
    extra += unit < 0x800 || (unit >= 0xd800 && unit <= 0xdfff) ? 1 : 2;
  }
  return text.length + extra;
}

function tooLarge(what: string, bytes: number | null): never {
  const size = bytes === null ? "more than 1 MB" : `${(bytes / 1024 / 1024).toFixed(1)} MB`;
  throw new TenutoError("payload_too_large", `${what} is ${size} of JSON; at most 1 MB is stored with a job`, {
    hint: "Use an artifact: store it with ctx.artifact or ctx.dataset (a command: a file in TENUTO_ARTIFACTS) and hand on the reference.",
    details: { what, maxBytes: PAYLOAD_MAX_BYTES, ...(bytes === null ? {} : { bytes }) },
  });
}

function refuse(value: unknown, what: string): never {
  explain(value, what);
  // Only a value that changes while it is read gets here.
  throw unsupported(what, "", "changed while it was read", "Return a plain object.");
}

/** Throws for the first part that can't be stored; returns if there is none. Iterative, so that depth can't hurt it. */
function explain(root: unknown, what: string): void {
  interface Frame {
    value: object;
    path: string;
    keys: string[] | null;
    next: number;
  }
  const stack: Frame[] = [];
  const open = new Set<object>();
  const enter = (value: unknown, path: string): void => {
    const wrong = problemOf(value);
    if (wrong !== null) throw unsupported(what, path, wrong.found, wrong.hint);
    if (typeof value !== "object" || value === null) return;
    if (open.has(value)) throw unsupported(what, path, "contains itself", "Refer to the other by its id.");
    if (stack.length >= JSON_MAX_DEPTH) {
      throw unsupported(
        what,
        shorten(path),
        `is nested more than ${JSON_MAX_DEPTH} deep`,
        "Flatten it, or store it as an artifact.",
      );
    }
    open.add(value);
    stack.push({ value, path, keys: Array.isArray(value) ? null : Object.keys(value), next: 0 });
  };
  enter(root, "");
  while (stack.length > 0) {
    const frame = stack.at(-1)!;
    const size = frame.keys === null ? (frame.value as unknown[]).length : frame.keys.length;
    if (frame.next >= size) {
      open.delete(frame.value);
      stack.pop();
      continue;
    }
    const at = frame.next++;
    if (frame.keys === null) {
      const element = (frame.value as unknown[])[at];
      if (element === undefined)
        throw unsupported(what, `${frame.path}[${at}]`, "is undefined, in a list", "Use null.");
      enter(element, `${frame.path}[${at}]`);
      continue;
    }
    const key = frame.keys[at]!;
    const path = `${frame.path}${memberPath(key)}`;
    const wrong = problemOf(key);
    if (wrong !== null) throw unsupported(what, path, `has a key that ${wrong.found}`, wrong.hint);
    enter((frame.value as Record<string, unknown>)[key], path);
  }
}

function problemOf(value: unknown): { found: string; hint: string } | null {
  switch (typeof value) {
    case "string":
      if (value.includes("\0"))
        return {
          found: "holds a NUL character",
          hint: "PostgreSQL can't store it in text: strip it, or store the bytes as an artifact.",
        };
      if (!value.isWellFormed()) {
        return {
          found: "holds half of a surrogate pair",
          hint: "The text was cut inside a character: use toWellFormed(), or cut by code points.",
        };
      }
      return null;
    case "number":
      if (isStorable(value)) return null;
      if (!Number.isFinite(value)) return { found: `is ${value}`, hint: "JSON has no such number: use null." };
      return {
        found: `is ${value}, a whole number beyond 2^53`,
        hint: "Its last digits are not reliable: hand it on as a string.",
      };
    case "bigint":
      return { found: "is a BigInt", hint: "Hand it on as a string." };
    case "function":
      return { found: "is a function", hint: "Only data can be stored; was it meant to be called?" };
    case "symbol":
      return { found: "is a symbol", hint: "Use a string." };
    case "object":
      return value === null ? null : problemOfObject(value);
    default:
      return null;
  }
}

function problemOfObject(value: object): { found: string; hint: string } | null {
  if (Array.isArray(value)) {
    const own = Object.getPrototypeOf(value) === Array.prototype || !("toJSON" in value);
    return own ? null : { found: "is a list with toJSON", hint: "Hand on a plain list." };
  }
  if (value instanceof Date) return { found: "is a Date", hint: "Use date.toISOString()." };
  if (value instanceof Map) return { found: "is a Map", hint: "Use Object.fromEntries(map) or [...map]." };
  if (value instanceof Set) return { found: "is a Set", hint: "Use [...set]." };
  if (value instanceof Promise) return { found: "is a promise", hint: "Await it first." };
  if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer)
    return { found: "is binary data", hint: "Store it with ctx.artifact." };
  if (value instanceof Error) return { found: "is an Error", hint: "Throw it, or hand on its message." };
  if (isPlain(value)) return null;
  const name = Object.getPrototypeOf(value)?.constructor?.name;
  return {
    found: `is an instance of ${typeof name === "string" && name !== "" ? name : "a class"}`,
    hint: "Hand on a plain object with what is needed of it.",
  };
}

function unsupported(what: string, path: string, found: string, hint: string): TenutoError {
  const place = path.startsWith(".") ? path.slice(1) : path;
  return new TenutoError("unsupported_value", `${what} can't be stored: ${place === "" ? "it" : place} ${found}`, {
    hint,
    details: { what, path: place, found },
  });
}

function memberPath(key: string): string {
  return /^[A-Za-z_$][\w$]*$/.test(key)
    ? `.${key}`
    : `[${JSON.stringify(key.length > 60 ? `${key.slice(0, 60)}…` : key)}]`;
}

function shorten(path: string): string {
  return path.length <= 120 ? path : `${path.slice(0, 120)}…`;
}
