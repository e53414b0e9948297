/**
 * Where a text stops being JSON. `JSON.parse` names the place in some of its messages only, and in words that change.
 *
 * Owner: executors. Used after JSON.parse has refused a text; iterative, so nesting can't overflow the stack.
 */
const BLANK = /[ \t\n\r]*/y;
const ESCAPE = /\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})/y;
const SCALAR = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null/y;

type Expect = "value" | "first-value" | "first-key" | "key" | "after";

/** Offset, in UTF-16 units, of the first character at which the text can't be JSON; its length if it ends too early. */
export function jsonErrorOffset(text: string): number {
  const stack: ("{" | "[")[] = [];
  let expect: Expect = "value";
  let at = 0;
  for (;;) {
    at = skip(BLANK, text, at);
    const char = text[at];
    if (expect === "after") {
      const open = stack.at(-1);
      if (open === undefined || char === undefined) return at;
      if (char === (open === "{" ? "}" : "]")) stack.pop();
      else if (char === ",") expect = open === "{" ? "key" : "value";
      else return at;
      at++;
      continue;
    }
    if (char === undefined) return at;
    if ((char === "}" && expect === "first-key") || (char === "]" && expect === "first-value")) {
      stack.pop();
      expect = "after";
      at++;
      continue;
    }
    if (expect === "key" || expect === "first-key") {
      const key = endOfString(text, at);
      if (key.bad !== null) return key.bad;
      at = skip(BLANK, text, key.end);
      if (text[at] !== ":") return at;
      at++;
      expect = "value";
      continue;
    }
    if (char === "{" || char === "[") {
      stack.push(char);
      expect = char === "{" ? "first-key" : "first-value";
      at++;
      continue;
    }
    if (char === '"') {
      const value = endOfString(text, at);
      if (value.bad !== null) return value.bad;
      at = value.end;
    } else {
      const end = skip(SCALAR, text, at);
      if (end === at) return at;
      at = end;
    }
    expect = "after";
  }
}

function endOfString(text: string, at: number): { end: number; bad: number | null } {
  if (text[at] !== '"') return { end: at, bad: at };
  let end = at + 1;
  while (end < text.length && text[end] !== '"') {
    if (text[end]! < " ") return { end, bad: end };
    const next = text[end] === "\\" ? skip(ESCAPE, text, end) : end + 1;
    if (next === end) return { end, bad: end };
    end = next;
  }
  return end < text.length ? { end: end + 1, bad: null } : { end, bad: end };
}

function skip(pattern: RegExp, text: string, at: number): number {
  pattern.lastIndex = at;
  return pattern.test(text) ? pattern.lastIndex : at;
}
