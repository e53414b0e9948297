/** How a text becomes the elements of a multiplied job. Owner: core. Empty text has no elements; what can't be read is an error. */
import { TenutoError } from "./errors.ts";
import type { Json } from "./model.ts";

/**
 * `json`: a list, or any other value as its only element. `lines`: lines that are not blank, trimmed. `commas`: parts that
 * are not blank, trimmed. @throws invalid_input
 */
export function parseElements(text: string, parse: "json" | "lines" | "commas", place: string): Json[] {
  if (text.trim() === "") return [];
  if (parse !== "json") {
    const parts = text.split(parse === "lines" ? /\r\n|\n|\r/ : ",");
    return parts.map((part) => part.trim()).filter((part) => part !== "");
  }
  try {
    const value = JSON.parse(text) as Json;
    return Array.isArray(value) ? value : [value];
  } catch (error) {
    throw new TenutoError("invalid_input", `${place} is no JSON: ${(error as Error).message}`, {
      hint: "Let the job before return a list, or set parse: lines or commas.",
      details: { begins: text.slice(0, 200) },
    });
  }
}
