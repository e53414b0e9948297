/**
 * What can be learned from a thrown value, whatever it is: the links of its cause chain as plain, bounded facts.
 *
 * Owner: core, for classify.ts. Invariants:
 * 1. Every read of a foreign property is guarded: a getter or proxy that throws counts as absent.
 * 2. At most 8 links are looked at, each object once; `cause` first, then the first of `errors` (AggregateError).
 * 3. Retry-After as a date needs no clock: it is taken relative to the Date header of the same response.
 */
import { cleanText } from "./error-text.ts";

export interface ErrorFacts {
  isError: boolean;
  isTenuto: boolean;
  /** `name`, then the class names up the prototype chain; nearest first. */
  names: string[];
  code: string | undefined;
  message: string;
  category: string | undefined;
  status: number | undefined;
  exitCode: number | undefined;
  hint: string | undefined;
  details: Record<string, unknown>;
  stack: string | undefined;
  retryAfterMs: number | undefined;
}

const MAX_LINKS = 8;
const STACK_LINES = 12;

/** The thrown value and its causes, outermost first; at least one link. */
export function factsOf(thrown: unknown): ErrorFacts[] {
  const chain: ErrorFacts[] = [];
  const seen = new Set<unknown>();
  const queue: unknown[] = [thrown];
  while (queue.length > 0 && chain.length < MAX_LINKS) {
    const value = queue.shift();
    if (isObject(value)) {
      if (seen.has(value)) continue;
      seen.add(value);
    }
    chain.push(factsOfOne(value));
    const cause = read(value, "cause");
    if (cause !== undefined && cause !== null) queue.push(cause);
    const errors = read(value, "errors");
    for (let i = 0; i < 3 && isArray(errors); i++) {
      const error = read(errors, i);
      if (isObject(error)) queue.push(error);
    }
  }
  return chain;
}

/** Milliseconds to wait by a Retry-After header: seconds, or a date relative to the response's Date header. */
export function retryAfterFrom(header: string, dateHeader: string | null): number | undefined {
  const text = header.trim();
  if (/^\d{1,9}(\.\d+)?$/.test(text)) return Math.ceil(Number(text) * 1000);
  const at = Date.parse(text);
  const now = dateHeader === null ? Number.NaN : Date.parse(dateHeader);
  return Number.isNaN(at) || Number.isNaN(now) ? undefined : Math.max(0, at - now);
}

function factsOfOne(value: unknown): ErrorFacts {
  const names = namesOf(value);
  const details = read(value, "details");
  const stack = readString(value, "stack");
  return {
    isError: isObject(value) && (stack !== undefined || names.length > 0),
    isTenuto: names[0] === "TenutoError",
    names,
    code: codeOf(value),
    message: messageOf(value),
    category: readString(value, "category"),
    status: statusOf(value),
    exitCode: exitCodeOf(value),
    hint: readString(value, "hint"),
    details: isObject(details) && !isArray(details) ? copyOf(details) : {},
    stack: stack === undefined ? undefined : cleanText(stack.split("\n", STACK_LINES).join("\n"), 4_000),
    retryAfterMs: retryAfterOf(value),
  };
}

function namesOf(value: unknown): string[] {
  if (typeof value !== "object" || value === null) return [];
  const names = new Set<string>();
  const own = readString(value, "name");
  if (own !== undefined && own !== "" && own !== "Object") names.add(own);
  let prototype = prototypeOf(value);
  for (let i = 0; i < 8 && prototype !== null; i++) {
    const name = readString(read(prototype, "constructor"), "name");
    if (name !== undefined && name !== "" && name !== "Object" && name !== "Array") names.add(name);
    prototype = prototypeOf(prototype);
  }
  return [...names];
}

function codeOf(value: unknown): string | undefined {
  const code = read(value, "code");
  return typeof code === "string" && code !== "" ? code : undefined;
}

function messageOf(value: unknown): string {
  if (typeof value === "string") return cleanText(value, 4_000);
  if (!isObject(value)) return `${describe(value)} was thrown instead of an error`;
  const message = readString(value, "message");
  if (message !== undefined) return cleanText(message, 4_000);
  return "an object without a message was thrown instead of an error";
}

function describe(value: unknown): string {
  if (typeof value === "symbol") return "a symbol";
  return typeof value === "bigint" ? `${value}n`.slice(0, 60) : String(value).slice(0, 60);
}

function statusOf(value: unknown): number | undefined {
  const places = [value, read(value, "response"), read(value, "details")];
  for (const place of places) {
    for (const key of ["status", "statusCode"]) {
      const status = httpStatus(read(place, key));
      if (status !== undefined) return status;
    }
  }
  return httpStatus(read(read(value, "$metadata"), "httpStatusCode"));
}

function httpStatus(value: unknown): number | undefined {
  const status = typeof value === "string" && /^\d{3}$/.test(value) ? Number(value) : value;
  return typeof status === "number" && Number.isInteger(status) && status >= 100 && status <= 599 ? status : undefined;
}

function exitCodeOf(value: unknown): number | undefined {
  // child_process puts the exit code into `code` and names the command in `cmd`.
  const candidates = [read(value, "exitCode"), read(read(value, "details"), "exitCode")];
  if (readString(value, "cmd") !== undefined) candidates.push(read(value, "code"));
  return candidates.find((code): code is number => typeof code === "number" && Number.isInteger(code));
}

function retryAfterOf(value: unknown): number | undefined {
  const stated = read(value, "retryAfterMs");
  if (typeof stated === "number" && stated >= 0 && Number.isFinite(stated)) return Math.ceil(stated);
  const seconds = read(value, "retryAfter");
  if (typeof seconds === "number" && seconds >= 0 && Number.isFinite(seconds)) return Math.ceil(seconds * 1000);
  for (const headers of [read(value, "headers"), read(read(value, "response"), "headers")]) {
    const header = headerOf(headers, "retry-after");
    if (header !== null) return retryAfterFrom(header, headerOf(headers, "date"));
  }
  return undefined;
}

/** A header from a `Headers` object or a plain one with lower-case or usual names. */
function headerOf(headers: unknown, name: string): string | null {
  if (!isObject(headers)) return null;
  try {
    const get = read(headers, "get");
    if (typeof get === "function") {
      const value: unknown = get.call(headers, name);
      return typeof value === "string" ? value : null;
    }
  } catch {
    return null;
  }
  const usual = name.replace(/(^|-)[a-z]/g, (letter) => letter.toUpperCase());
  const value = read(headers, name) ?? read(headers, usual);
  return typeof value === "string" ? value : typeof value === "number" ? String(value) : null;
}

function copyOf(value: object): Record<string, unknown> {
  const copy: Record<string, unknown> = {};
  try {
    for (const key of Object.keys(value).slice(0, 50)) {
      if (key !== "__proto__") copy[key] = read(value, key);
    }
  } catch {
    // A proxy that refuses to list its keys has no details.
  }
  return copy;
}

function prototypeOf(value: object): object | null {
  try {
    return Object.getPrototypeOf(value);
  } catch {
    return null;
  }
}

function read(value: unknown, key: PropertyKey): unknown {
  if (!isObject(value)) return undefined;
  try {
    return (value as Record<PropertyKey, unknown>)[key];
  } catch {
    return undefined;
  }
}

function readString(value: unknown, key: string): string | undefined {
  const text = read(value, key);
  return typeof text === "string" ? text : undefined;
}

function isObject(value: unknown): value is object {
  return (typeof value === "object" && value !== null) || typeof value === "function";
}

function isArray(value: unknown): boolean {
  try {
    return Array.isArray(value);
  } catch {
    return false; // a revoked proxy
  }
}
