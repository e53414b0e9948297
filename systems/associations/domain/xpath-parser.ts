/** XPath expressions as trees. Abbreviations (`//`, `.`, `..`, `@`) are written out, so that evaluation knows steps only. */
import { ConfigError } from "./errors.ts";

export type Expression =
  | { kind: "text"; value: string }
  | { kind: "number"; value: number }
  | { kind: "path"; absolute: boolean; from: Expression | null; steps: Step[] }
  | { kind: "filter"; of: Expression; predicates: Expression[] }
  | { kind: "call"; name: string; args: Expression[] }
  | { kind: "binary"; operator: string; left: Expression; right: Expression };

export interface Step {
  axis: string;
  test: string;
  predicates: Expression[];
}

const AXES = new Set(
  "child descendant descendant-or-self parent ancestor ancestor-or-self following-sibling preceding-sibling following preceding attribute self".split(
    " ",
  ),
);
const FUNCTIONS: Record<string, [number, number]> = {
  position: [0, 0],
  last: [0, 0],
  count: [1, 1],
  not: [1, 1],
  true: [0, 0],
  false: [0, 0],
  boolean: [1, 1],
  number: [0, 1],
  string: [0, 1],
  name: [0, 1],
  "local-name": [0, 1],
  concat: [2, 99],
  contains: [2, 2],
  "starts-with": [2, 2],
  "ends-with": [2, 2],
  "normalize-space": [0, 1],
  "string-length": [0, 1],
  "substring-before": [2, 2],
  "substring-after": [2, 2],
  substring: [2, 3],
  "lower-case": [1, 1],
  "upper-case": [1, 1],
  translate: [3, 3],
};
const TOKEN =
  /\s*(?:("[^"]*"|'[^']*')|(\d+(?:\.\d+)?|\.\d+)|(::|\/\/|\.\.|!=|<=|>=|[/.@()[\],|=<>+*-])|([A-Za-z_][\w.-]*(?::(?!:)[A-Za-z_][\w.-]*)?))/y;
/** Weakest first. */
const LEVELS = [["or"], ["and"], ["=", "!="], ["<", "<=", ">", ">="], ["+", "-"], ["*", "div", "mod"], ["|"]];

/** @throws ConfigError naming the place that is not understood */
export function parseXPath(source: string): Expression {
  const parser = new Parser(source);
  const expression = parser.level(0);
  if (!parser.done) throw parser.trouble();
  return expression;
}

class Parser {
  private readonly tokens: { text: string; at: number }[] = [];
  private readonly source: string;
  private at = 0;

  constructor(source: string) {
    this.source = source;
    TOKEN.lastIndex = 0;
    while (TOKEN.lastIndex < source.trimEnd().length) {
      const from = TOKEN.lastIndex;
      const match = TOKEN.exec(source);
      if (match === null) throw this.trouble(from);
      this.tokens.push({ text: match[0].trim(), at: from });
    }
  }

  get done(): boolean {
    return this.at >= this.tokens.length;
  }

  trouble(at = this.tokens[this.at]?.at ?? this.source.length): ConfigError {
    return new ConfigError(
      `XPath ${this.source} cannot be used: ${this.source.slice(at).trim() || "its end"} is not understood`,
      {
        hint: "It must be XPath 1.0 without namespaces and variables; or write it as a CSS selector.",
      },
    );
  }

  level(depth: number): Expression {
    if (depth === LEVELS.length) return this.pathOrPrimary();
    let left = this.level(depth + 1);
    while (LEVELS[depth]!.includes(this.peek() ?? "")) {
      const operator = this.take();
      left = { kind: "binary", operator, left, right: this.level(depth + 1) };
    }
    return left;
  }

  private peek(ahead = 0): string | undefined {
    return this.tokens[this.at + ahead]?.text;
  }

  private take(expected?: string): string {
    const token = this.peek();
    if (token === undefined || (expected !== undefined && token !== expected)) throw this.trouble();
    this.at++;
    return token;
  }

  private pathOrPrimary(): Expression {
    const token = this.peek();
    if (token === undefined) throw this.trouble();
    const primary = this.primary(token);
    if (primary === null) return this.path(null);
    const predicates = this.predicates();
    const filtered: Expression = predicates.length > 0 ? { kind: "filter", of: primary, predicates } : primary;
    return this.peek() === "/" || this.peek() === "//" ? this.path(filtered) : filtered;
  }

  private primary(token: string): Expression | null {
    if (/^["']/.test(token)) return { kind: "text", value: this.take().slice(1, -1) };
    if (/^\.?\d/.test(token)) return { kind: "number", value: Number(this.take()) };
    if (token === "(") {
      this.take();
      const inner = this.level(0);
      this.take(")");
      return inner;
    }
    if (this.peek(1) === "(" && token !== "text" && token !== "node" && /^[a-z]/.test(token)) return this.call();
    return null;
  }

  private call(): Expression {
    const from = this.at;
    const name = this.take();
    const bounds = Object.hasOwn(FUNCTIONS, name) ? FUNCTIONS[name] : undefined;
    const args: Expression[] = [];
    this.take("(");
    while (this.peek() !== ")") {
      args.push(this.level(0));
      if (this.peek() === ",") this.take();
      else if (this.peek() !== ")") throw this.trouble();
    }
    this.take(")");
    if (bounds === undefined || args.length < bounds[0] || args.length > bounds[1])
      throw this.trouble(this.tokens[from]!.at);
    return { kind: "call", name, args };
  }

  private path(from: Expression | null): Expression {
    const steps: Step[] = [];
    const absolute = from === null && (this.peek() === "/" || this.peek() === "//");
    if (from === null && !absolute) steps.push(this.step());
    while (this.peek() === "/" || this.peek() === "//") {
      if (this.take() === "//") steps.push({ axis: "descendant-or-self", test: "node()", predicates: [] });
      else if (absolute && steps.length === 0 && this.done) break;
      steps.push(this.step());
    }
    return { kind: "path", absolute, from, steps };
  }

  private step(): Step {
    if (this.peek() === "." || this.peek() === "..") {
      const axis = this.take() === "." ? "self" : "parent";
      return { axis, test: "node()", predicates: this.predicates() };
    }
    let axis = "child";
    if (this.peek() === "@") {
      this.take();
      axis = "attribute";
    } else if (this.peek(1) === "::") {
      axis = this.peek()!;
      if (!AXES.has(axis)) throw this.trouble();
      this.at += 2;
    }
    const name = this.take();
    if (name !== "*" && !/^[A-Za-z_]/.test(name)) {
      this.at--;
      throw this.trouble();
    }
    if (this.peek() !== "(") return { axis, test: name, predicates: this.predicates() };
    if (name !== "text" && name !== "node") throw this.trouble();
    this.take();
    this.take(")");
    return { axis, test: `${name}()`, predicates: this.predicates() };
  }

  private predicates(): Expression[] {
    const found: Expression[] = [];
    while (this.peek() === "[") {
      this.take();
      found.push(this.level(0));
      this.take("]");
    }
    return found;
  }
}
