/**
 * Where and why a text is not JSON. `JSON.parse` names the place only sometimes and differently per version of V8.
 *
 * Owner: artifacts. Runs only on texts that `JSON.parse` refused; it holds no values, just the open brackets.
 */

const SPACE = /[ \t\r\n]*/y;
const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const WORD = /true|false|null/y;
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what a string may not hold
const STRING_START = /"(?:[^"\\\u0000-\u001f]+|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*/y;

/** The index of the first character that cannot stand where it stands, and what is wrong there. */
export function jsonFault(text: string): { at: number; message: string } {
  const open: ("{" | "[")[] = [];
  let at = 0;
  const match = (pattern: RegExp): boolean => {
    pattern.lastIndex = at;
    const found = pattern.exec(text);
    if (found !== null) at = pattern.lastIndex;
    return found !== null;
  };
  const fault = (wanted: string) => {
    const found = text[at];
    return {
      at,
      message:
        found === undefined ? `the line ends where ${wanted} is due` : `${wanted} is due, not ${JSON.stringify(found)}`,
    };
  };
  const string = (): boolean => match(STRING_START) && text[at] === '"' && at++ >= 0;
  let due: "value" | "key" | "first key" | "first value" | "next" = "value";
  for (;;) {
    match(SPACE);
    const next = text[at];
    if (due === "next") {
      if (open.length === 0) return next === undefined ? { at: 0, message: "not JSON" } : fault("the end of the line");
      const inObject = open.at(-1) === "{";
      if (next === ",") due = inObject ? "key" : "value";
      else if (next === (inObject ? "}" : "]")) open.pop();
      else return fault(inObject ? "`,` or `}`" : "`,` or `]`");
      at += 1;
    } else if (due === "key" || due === "first key") {
      if (next === "}" && due === "first key") {
        open.pop();
        at += 1;
        due = "next";
        continue;
      }
      if (next !== '"') return fault("a name in double quotes");
      if (!string()) return inString(text, at);
      match(SPACE);
      if (text[at] !== ":") return fault("`:`");
      at += 1;
      due = "value";
    } else if (next === "]" && due === "first value") {
      open.pop();
      at += 1;
      due = "next";
    } else if (next === "{" || next === "[") {
      open.push(next);
      at += 1;
      due = next === "{" ? "first key" : "first value";
    } else if (next === '"') {
      if (!string()) return inString(text, at);
      due = "next";
    } else if (match(NUMBER) || match(WORD)) {
      due = "next";
    } else {
      return fault("a value");
    }
  }
}

function inString(text: string, at: number): { at: number; message: string } {
  const found = text[at];
  if (found === undefined) return { at, message: "the line ends inside a string" };
  if (found === "\\") return { at, message: `${JSON.stringify(text.slice(at, at + 2))} is no escape of JSON` };
  return { at, message: `${JSON.stringify(found)} must be escaped inside a string` };
}
