/**
 * Text and details of errors made fit to be stored: bounded, well-formed, without NUL.
 *
 * Owner: core, for classify.ts. A failure must always be storable, so nothing here throws or refuses; what does not fit
 * is cut and says so.
 */
import type { Json } from "./model.ts";

const DETAILS_MAX_CHARS = 8_000;
const DETAILS_MAX_DEPTH = 5;
const DETAILS_MAX_PARTS = 200;

/** The text with NUL and lone surrogates replaced by U+FFFD, cut after `maxChars`. */
export function cleanText(text: string, maxChars: number): string {
  const cut = text.length <= maxChars ? text : `${text.slice(0, maxChars - 1)}…`;
  return cut.replaceAll("\0", "\uFFFD").toWellFormed();
}

/** Details as JSON of bounded size, or undefined if there are none. */
export function boundedDetails(details: Record<string, unknown>): Record<string, Json> | undefined {
  const left = { parts: DETAILS_MAX_PARTS, chars: DETAILS_MAX_CHARS };
  const copy = bounded(details, 0, left);
  if (copy === null || typeof copy !== "object" || Array.isArray(copy)) return undefined;
  return Object.keys(copy).length === 0 ? undefined : copy;
}

function bounded(value: unknown, depth: number, left: { parts: number; chars: number }): Json {
  if (--left.parts < 0 || left.chars <= 0 || depth > DETAILS_MAX_DEPTH) return "…";
  switch (typeof value) {
    case "string": {
      const text = cleanText(value, Math.min(2_000, Math.max(1, left.chars)));
      left.chars -= text.length;
      return text;
    }
    case "number":
      return Number.isFinite(value) && (Number.isSafeInteger(value) || !Number.isInteger(value))
        ? value
        : String(value);
    case "boolean":
      return value;
    case "bigint":
      return `${value}`.slice(0, 100);
    case "object":
      return value === null ? null : boundedObject(value, depth, left);
    default:
      return `(${typeof value})`;
  }
}

function boundedObject(value: object, depth: number, left: { parts: number; chars: number }): Json {
  try {
    if (Array.isArray(value)) {
      const list: Json[] = [];
      for (let i = 0; i < value.length && left.parts > 0 && left.chars > 0; i++)
        list.push(bounded(value[i], depth + 1, left));
      if (list.length < value.length) list.push(`… ${value.length - list.length} more`);
      return list;
    }
    if (value instanceof Date && !Number.isNaN(value.getTime())) return value.toISOString();
    if (value instanceof Error) return cleanText(`${value.name}: ${value.message}`, 500);
    const copy: { [key: string]: Json } = {};
    for (const key of Object.keys(value)) {
      if (left.parts <= 0 || left.chars <= 0) break;
      const part = (value as Record<string, unknown>)[key];
      if (key === "__proto__" || part === undefined) continue;
      left.chars -= key.length;
      copy[cleanText(key, 200)] = bounded(part, depth + 1, left);
    }
    return copy;
  } catch {
    return "(unreadable)";
  }
}
