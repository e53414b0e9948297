/**
 * Placeholders of job descriptions, filled from given values: the engine's form, for jobs that code starts.
 *
 * Invariants: `{{ item … }}` stays for the engine, which knows the item; a text that is one placeholder becomes the value itself;
 * a value that is not there is an error, never an empty text.
 */

const WHOLE = /^\{\{\s*([\w.-]+)\s*\}\}$/;
const ANY = /\{\{\s*([\w.-]+)\s*\}\}/g;

/** `value` with its placeholders filled, at any depth. @throws Error naming a placeholder without a value */
export function expand(value: unknown, values: object): unknown {
  if (typeof value === "string") return expandItems(value, values);
  if (Array.isArray(value)) return value.map((entry) => expand(entry, values));
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([key, entry]) => [key, expand(entry, values)]));
}

/** A text with its placeholders filled, except those of items. */
export function expandItems(text: string, values: object): unknown {
  const whole = WHOLE.exec(text)?.[1];
  if (whole !== undefined) return isItem(whole) ? text : lookUp(whole, values);
  return text.replace(ANY, (found, path: string) => (isItem(path) ? found : String(lookUp(path, values))));
}

function isItem(path: string): boolean {
  return /^(item|index)(\.|$)/.test(path);
}

function lookUp(path: string, values: object): unknown {
  let at: unknown = values;
  for (const part of path.split(".")) {
    if (at === null || typeof at !== "object" || !Object.hasOwn(at, part))
      throw new Error(`there is no value for {{ ${path} }}`);
    at = (at as Record<string, unknown>)[part];
  }
  return at;
}
