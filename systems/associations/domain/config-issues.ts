/** Faults that the schema library found, as a configuration's author names places: `PMA.pagination.type`. */
import type { z } from "zod";
import type { ConfigIssue } from "./errors.ts";
import { ConfigError } from "./errors.ts";

/** Each fault with its place; keys that nobody knows are faults of their own. */
export function issuesOf(error: z.ZodError, at: readonly (string | number)[] = []): ConfigIssue[] {
  return error.issues.flatMap((issue): ConfigIssue[] => {
    const path = [...at, ...issue.path.map((part) => (typeof part === "number" ? part : String(part)))];
    if (issue.code === "unrecognized_keys")
      return issue.keys.map((key) => ({ path: [...path, key], message: "is not known here" }));
    return [{ path, message: issue.message.replace(/^Invalid input: /, "") }];
  });
}

/** The error for all of them. `subject` is what they are faults of. */
export function configError(subject: string, issues: readonly ConfigIssue[]): ConfigError {
  const lines = issues.map(({ path, message }) => `${dotted(path)}: ${message}`);
  return new ConfigError(`${subject} cannot be used: ${lines.join("; ")}`, { issues });
}

/** `fields.city.selectors[0]` */
export function dotted(path: readonly (string | number)[]): string {
  return path.map((part, at) => (typeof part === "number" ? `[${part}]` : at === 0 ? part : `.${part}`)).join("");
}
