/** Data contracts: an agent's schemas, checked at both ends of every hand-over. A violation names the path. */
import type { Schema } from "../core/agent.ts";
import { TenutoError } from "../core/errors.ts";

/** The value as the schema gives it back (with defaults). @throws contract_violation */
export function checkContract(
  schema: Schema<any> | undefined,
  value: unknown,
  what: string,
): unknown | Promise<unknown> {
  if (schema === undefined) return value;
  const result = schema["~standard"].validate(value);
  if (result instanceof Promise) return result.then((settled) => unwrap(settled, what));
  return unwrap(result, what);
}

/** With `batch`, an agent gets a list and gives one of the same length: every record comes out once. @throws contract_violation */
export function checkBatch(given: unknown, made: unknown, what: string): void {
  const expected = Array.isArray(given) ? given.length : 0;
  if (Array.isArray(made) && made.length === expected) return;
  const got = Array.isArray(made) ? `a list of ${made.length}` : made === null ? "null" : `a ${typeof made}`;
  throw new TenutoError(
    "contract_violation",
    `the output of ${what} is ${got}; a batch of ${expected} records needs a list of ${expected}`,
    {
      hint: "Return one result for each record of the batch, in the same order; null for what has none.",
    },
  );
}

function unwrap(result: Awaited<ReturnType<Schema["~standard"]["validate"]>>, what: string): unknown {
  if (result.issues === undefined) return result.value;
  const issues = result.issues.slice(0, 20).map((issue) => ({ path: pathText(issue.path), message: issue.message }));
  const first = issues[0];
  throw new TenutoError(
    "contract_violation",
    `${what} does not match the agent's schema${first === undefined ? "" : ` at ${first.path}: ${first.message}`}${issues.length > 1 ? ` (and ${issues.length - 1} more)` : ""}`,
    {
      hint: "Mend the producer of this value, or the schema; then retry the run.",
      details: { issues },
    },
  );
}

function pathText(path: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined): string {
  if (path === undefined || path.length === 0) return "its top";
  return path.map((part) => String(typeof part === "object" ? part.key : part)).join(".");
}
