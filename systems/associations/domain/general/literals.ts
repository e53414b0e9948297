/**
 * Literals in script text: `var members = [{name: 'A'}]`, read as data and never run.
 *
 * Understands JSON and what people write instead of it: unquoted keys, single quotes, template strings without placeholders, trailing
 * commas, comments. Anything else (calls, names) ends the literal, which is then passed over.
 * Invariants: linear in the length of the text; depth and size are bounded.
 */

const MAX_DEPTH = 40;
const MAX_SCRIPT = 8_000_000;
const MAX_LITERALS = 50;

/** The lists and objects in a script that hold at least one object, in order. */
export function readLiterals(script: string): unknown[] {
  if (script.length > MAX_SCRIPT || !/[[{]/.test(script)) return [];
  const whole = tryJson(script.trim());
  if (whole !== undefined) return typeof whole === "object" && whole !== null ? [whole] : [];
  const found: unknown[] = [];
  const starts = /(?:=|\(|:|return|=>)\s*(?=[[{]\s*["'{\w[])|JSON\.parse\(\s*(?=["'])/g;
  let budget = 3 * script.length + 100_000;
  for (let match = starts.exec(script); match !== null && found.length < MAX_LITERALS; match = starts.exec(script)) {
    const from = match.index + match[0].length;
    const reader = new Reader(script, from);
    const value = reader.read();
    // What failed deep inside is begun again at each of its parts: only so often.
    budget -= reader.at - from;
    if (budget < 0) break;
    if (value === undefined) continue;
    // A string that was handed to JSON.parse is JSON once more.
    const data = typeof value === "string" ? tryJson(value) : value;
    if (typeof data === "object" && data !== null && holdsObject(data)) {
      found.push(data);
      starts.lastIndex = reader.at;
    }
  }
  return found;
}

/**
 * What a page hands to its scripts piece by piece: `self.__next_f.push([1,"3:[\\"$\\",…"])`. The pieces are one text, of which each
 * line is a number and JSON.
 */
export function readFlight(scripts: readonly string[]): unknown[] {
  const pieces = scripts.flatMap((script) => {
    const argument = /__\w+\.push\(\s*(\[\s*1\s*,[\s\S]*\])\s*\)\s*;?\s*$/.exec(script)?.[1];
    const read = argument === undefined ? undefined : tryJson(argument);
    return Array.isArray(read) && typeof read[1] === "string" ? [read[1]] : [];
  });
  return pieces
    .join("")
    .split("\n")
    .map((line) => tryJson(line.replace(/^[\da-f]+:/i, "")))
    .filter((value) => typeof value === "object" && value !== null);
}

function tryJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function holdsObject(value: object): boolean {
  return (
    Object.values(value).some((child) => typeof child === "object" && child !== null) ||
    (!Array.isArray(value) && Object.keys(value).length > 2)
  );
}

class Reader {
  private readonly text: string;
  at: number;

  constructor(text: string, at: number) {
    this.text = text;
    this.at = at;
  }

  /** The literal here; undefined where there is none. */
  read(): unknown {
    try {
      return this.value(0);
    } catch {
      return undefined;
    }
  }

  private value(depth: number): unknown {
    if (depth > MAX_DEPTH) throw new Error("too deep");
    this.space();
    const sign = this.text[this.at];
    if (sign === "{") return this.object(depth);
    if (sign === "[") return this.list(depth);
    if (sign === '"' || sign === "'" || sign === "`") return this.string(sign);
    const word = this.match(
      /-?(?:0x[\da-f]+|\d+\.?\d*(?:e[+-]?\d+)?|\.\d+)|true\b|false\b|null\b|undefined\b|!0|!1|void 0/iy,
    );
    if (word === null) throw new Error("no literal");
    if (/^(true|!0)$/.test(word)) return true;
    if (/^(false|!1)$/.test(word)) return false;
    return /^(null|undefined|void 0)$/.test(word) ? null : Number(word);
  }

  private object(depth: number): unknown {
    const object: Record<string, unknown> = Object.create(null);
    this.at++;
    for (;;) {
      this.space();
      if (this.text[this.at] === "}") break;
      const quote = this.text[this.at]!;
      const key = quote === '"' || quote === "'" ? this.string(quote) : this.match(/[\w$-]+/y);
      if (key === null) throw new Error("no key");
      this.expect(":");
      object[key] = this.value(depth + 1);
      this.comma("}");
    }
    this.at++;
    return object;
  }

  private list(depth: number): unknown {
    const list: unknown[] = [];
    this.at++;
    for (;;) {
      this.space();
      if (this.text[this.at] === "]") break;
      list.push(this.value(depth + 1));
      this.comma("]");
    }
    this.at++;
    return list;
  }

  private string(quote: string): string {
    const start = this.at + 1;
    let at = start;
    while (at < this.text.length && this.text[at] !== quote) {
      if (quote === "`" && this.text.startsWith("${", at)) throw new Error("a template");
      if (quote !== "`" && this.text[at] === "\n") throw new Error("no end");
      at += this.text[at] === "\\" ? 2 : 1;
    }
    if (at >= this.text.length) throw new Error("no end");
    this.at = at + 1;
    return plainText(this.text.slice(start, at));
  }

  private comma(closing: string): void {
    this.space();
    if (this.text[this.at] === ",") this.at++;
    else if (this.text[this.at] !== closing) throw new Error("no comma");
  }

  private expect(sign: string): void {
    this.space();
    if (this.text[this.at] !== sign) throw new Error(`no ${sign}`);
    this.at++;
  }

  private space(): void {
    this.match(/(?:\s|\/\*[\s\S]*?\*\/|\/\/[^\n]*)+/y);
  }

  private match(pattern: RegExp): string | null {
    pattern.lastIndex = this.at;
    const found = pattern.exec(this.text)?.[0] ?? null;
    if (found !== null) this.at += found.length;
    return found;
  }
}

function plainText(text: string): string {
  const plain: Record<string, string> = { n: "\n", t: "\t", r: "\r", b: "\b", f: "\f", v: "\v", "0": "\0" };
  return text.replace(/\\(?:u\{([\da-f]+)\}|u([\da-f]{4})|x([\da-f]{2})|([\s\S]))/gi, (_, long, four, two, other) =>
    other === undefined ? String.fromCodePoint(Number.parseInt(long ?? four ?? two, 16)) : (plain[other] ?? other),
  );
}
