/**
 * `{{result}}` and `{{actions[N]}}` in the arguments of an action: what earlier actions of the same answer gave.
 *
 * Invariants:
 * 1. What is put in is not read again: a file that holds `{{result}}` stays as it is.
 * 2. A reference to nothing, to something later or to an action that did not succeed is an error, never an empty text.
 */
import type { Json } from "tenuto";

export interface Earlier {
  ok: boolean;
  value: Json;
}

export class ChainError extends Error {}

const REFERENCE = /\{\{\s*(?:result|actions\[(\d{1,4})\])\s*\}\}/g;

/** The arguments with all references replaced. @throws ChainError */
export function chained<T>(args: T, earlier: readonly Earlier[]): T {
  return replaced(args as Json, earlier) as T;
}

function replaced(value: Json, earlier: readonly Earlier[]): Json {
  if (typeof value === "string") return inText(value, earlier);
  if (Array.isArray(value)) return value.map((entry) => replaced(entry, earlier));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, entry]) => [key, replaced(entry as Json, earlier)]));
}

function inText(text: string, earlier: readonly Earlier[]): string {
  return text.replaceAll(REFERENCE, (reference, index: string | undefined) => {
    const at = index === undefined ? earlier.length - 1 : Number(index);
    const found = earlier[at];
    if (found === undefined) throw new ChainError(`${reference} refers to no earlier action of this answer`);
    if (!found.ok) throw new ChainError(`${reference} refers to an action that did not succeed`);
    return typeof found.value === "string" ? found.value : JSON.stringify(found.value);
  });
}
