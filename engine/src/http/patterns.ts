/**
 * Expressions that come over HTTP in templates, as `pattern` of a JSON Schema, can't hold up the server.
 *
 * Owner: http. Invariants: (1) what only a search by trial can decide (references back, looking around) is refused, and so is
 * repetition inside repetition, which such a search takes for ever over; (2) for what is left, the search is given up after a
 * bounded number of trials for one that takes time in proportion to the text.
 */
import { setFlagsFromString } from "node:v8";

const LONGEST = 1_000;

/** From here on, expressions of this process fall back to the linear search. Without such a Node, only the check is left. */
export function boundBacktracking(): void {
  try {
    setFlagsFromString("--enable-experimental-regexp-engine-on-excessive-backtracks");
  } catch {
    // A Node that has no such flag.
  }
}

/** Where the document holds an expression that is refused, and why; null if there is none. */
export function patternFault(document: unknown): string | null {
  const look = (value: unknown, path: string): string | null => {
    if (typeof value !== "object" || value === null) return null;
    for (const [key, part] of Object.entries(value)) {
      const at = path === "" ? key : `${path}.${key}`;
      // What jobs are given is data, whatever its fields are called.
      if (key === "input") continue;
      const sources = key === "pattern" ? [part] : key === "patternProperties" ? Object.keys(Object(part)) : [];
      for (const source of sources) {
        const why = typeof source === "string" ? riskOf(source) : null;
        if (why !== null) return `${at}: ${why}`;
      }
      const below = look(part, at);
      if (below !== null) return below;
    }
    return null;
  };
  return look(document, "");
}

/** Why an expression is refused; null if it is not. */
export function riskOf(source: string): string | null {
  if (source.length > LONGEST) return `the expression has more than ${LONGEST} characters`;
  // For each open group: whether something in it is repeated.
  const groups: boolean[] = [false];
  let last: "group" | "other" = "other";
  let inside = false;
  for (let at = 0; at < source.length; at++) {
    const rest = source.slice(at);
    if (rest.startsWith("\\")) {
      if (/^\\([1-9]|k<)/.test(rest)) return "it refers back to a group";
      at += 1;
      last = "other";
      continue;
    }
    const char = source[at]!;
    if (char === "[") {
      at += classLength(rest) - 1;
      last = "other";
    } else if (char === "(") {
      if (/^\(\?<?[=!]/.test(rest)) return "it looks ahead or behind";
      groups.push(false);
      last = "other";
    } else if (char === ")") {
      inside = groups.length > 1 ? groups.pop() === true : false;
      last = "group";
    } else {
      const repeat = /^(\*|\+|\{\d+(,\d*)?\})/.exec(rest)?.[0];
      if (repeat !== undefined) {
        if (last === "group" && inside) return "it repeats a group in which something is repeated";
        groups[groups.length - 1] = true;
        at += repeat.length - 1;
      } else if (last === "group" && inside) groups[groups.length - 1] = true;
      last = "other";
    }
    // A group that holds a repetition makes one of the group around it.
    if (last === "group" && inside) groups[groups.length - 1] = true;
  }
  return null;
}

/** Characters of a class, brackets included. */
function classLength(rest: string): number {
  for (let at = 1; at < rest.length; at++) {
    if (rest[at] === "\\") at += 1;
    else if (rest[at] === "]") return at + 1;
  }
  return rest.length;
}
