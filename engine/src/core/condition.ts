/**
 * `when`: whether a job is to run, as data over placeholders.
 *
 * Owner: core. Invariants:
 * 1. Strict types: 1 is not "1". `gt` and `lt` compare two numbers or two texts (by code units), `in` needs a list on
 *    its right; anything else is an error that names the place, not false.
 * 2. `eq`, `ne` and `in` compare JSON by content; order of keys does not matter.
 * 3. `exists` is the one operator for which a path may lead nowhere; null counts as not there.
 * 4. `all` and `any` stop at the first answer, so a guard may protect what follows: `all: [exists x, gt x 0]`.
 */
import type { Condition } from "./document.ts";
import { TenutoError } from "./errors.ts";
import { JSON_MAX_DEPTH } from "./limits.ts";
import type { Json } from "./model.ts";
import { expand, expandIfPresent, type Scope } from "./placeholders.ts";

export const OPERATORS = ["eq", "ne", "gt", "lt", "in", "exists", "all", "any", "not"] as const;

/** Whether the condition holds in the scope. @throws invalid_input, invalid_definition naming the place */
export function evaluate(condition: Condition, scope: Scope, place = "when"): boolean {
  return evaluateAt(condition, scope, place, 0);
}

/** Whether two JSON values have the same content. */
export function sameJson(a: Json, b: Json): boolean {
  if (a === b) return true;
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false;
  if (Array.isArray(a)) {
    return Array.isArray(b) && a.length === b.length && a.every((element, i) => sameJson(element, b[i]!));
  }
  if (Array.isArray(b)) return false;
  const keys = Object.keys(a);
  if (keys.length !== Object.keys(b).length) return false;
  return keys.every((key) => Object.hasOwn(b, key) && sameJson(a[key]!, b[key]!));
}

function evaluateAt(condition: Condition, scope: Scope, place: string, depth: number): boolean {
  if (depth > JSON_MAX_DEPTH) throw wrong(place, `is nested more than ${JSON_MAX_DEPTH} deep`);
  if ("all" in condition)
    return condition.all.every((part, i) => evaluateAt(part, scope, `${place}.all[${i}]`, depth + 1));
  if ("any" in condition)
    return condition.any.some((part, i) => evaluateAt(part, scope, `${place}.any[${i}]`, depth + 1));
  if ("not" in condition) return !evaluateAt(condition.not, scope, `${place}.not`, depth + 1);
  if ("exists" in condition) return (expandIfPresent(condition.exists, scope, `${place}.exists`) ?? null) !== null;
  if ("eq" in condition) return sameJson(...operands(condition.eq, scope, `${place}.eq`));
  if ("ne" in condition) return !sameJson(...operands(condition.ne, scope, `${place}.ne`));
  if ("in" in condition) {
    const [member, list] = operands(condition.in, scope, `${place}.in`);
    if (!Array.isArray(list)) throw wrong(`${place}.in`, `needs a list on its right, not ${typeName(list)}`);
    return list.some((element) => sameJson(member, element));
  }
  if ("gt" in condition) return compare(operands(condition.gt, scope, `${place}.gt`), `${place}.gt`) > 0;
  if ("lt" in condition) return compare(operands(condition.lt, scope, `${place}.lt`), `${place}.lt`) < 0;
  throw new TenutoError("invalid_definition", `${place} has no operator`, {
    hint: `Use one of ${OPERATORS.join(", ")}.`,
  });
}

function operands(pair: readonly [Json, Json], scope: Scope, place: string): [Json, Json] {
  return [expand(pair[0], scope, `${place}[0]`), expand(pair[1], scope, `${place}[1]`)];
}

function compare([a, b]: [Json, Json], place: string): number {
  const comparable =
    (typeof a === "number" && typeof b === "number") || (typeof a === "string" && typeof b === "string");
  if (!comparable) throw wrong(place, `can't compare ${typeName(a)} with ${typeName(b)}`);
  return a! < b! ? -1 : a! > b! ? 1 : 0;
}

function typeName(value: Json): string {
  if (value === null) return "null";
  return Array.isArray(value) ? "a list" : typeof value === "object" ? "an object" : `a ${typeof value}`;
}

function wrong(place: string, why: string): TenutoError {
  return new TenutoError("invalid_input", `${place} ${why}`, {
    hint: "Compare two numbers or two texts; placeholders keep the type of what they refer to.",
    details: { place },
  });
}
