/**
 * XPath 1.0 for schemas: location paths over all forward and backward axes but namespaces, predicates, and the functions that
 * directories need. Evaluated on the parsed page, so that `//dt[.='Phone']/following-sibling::dd[1]` is what it says.
 *
 * Invariants: an expression is checked when it is compiled, never half-way through a page; results are in document order, each once.
 */
import { ConfigError } from "./errors.ts";
import type { Expression, Step } from "./xpath-parser.ts";
import { parseXPath } from "./xpath-parser.ts";

/** An attribute as a node: what `@href` selects. */
export interface AttributeNode {
  type: "attribute";
  name: string;
  value: string;
  parent: any;
}

export type XPathValue = any[] | string | number | boolean;

interface Place {
  node: any;
  position: number;
  size: number;
}

/** A compiled expression. @throws ConfigError naming the place that is not understood */
export function compileXPath(source: string): (node: any) => XPathValue {
  const expression = parseXPath(source);
  return (node) => evaluate(expression, { node, position: 1, size: 1 });
}

function evaluate(expression: Expression, place: Place): XPathValue {
  switch (expression.kind) {
    case "text":
    case "number":
      return expression.value;
    case "path":
      return path(
        expression.steps,
        expression.from === null ? start(expression.absolute, place.node) : nodes(evaluate(expression.from, place)),
      );
    case "call":
      return call(expression.name, expression.args, place);
    case "filter":
      return filtered(nodes(evaluate(expression.of, place)), expression.predicates);
    case "binary":
      return binary(expression.operator, evaluate(expression.left, place), () => evaluate(expression.right, place));
  }
}

function start(absolute: boolean, node: any): any[] {
  if (!absolute) return [node];
  let root = node;
  while (root.parent) root = root.parent;
  return [root];
}

function path(steps: readonly Step[], from: any[]): any[] {
  let current = from;
  for (const { axis, test, predicates } of steps) {
    const next = new Set<any>();
    for (const node of current) {
      let found = axisNodes(axis, node).filter((candidate) => passes(candidate, test, axis));
      for (const predicate of predicates) found = applyPredicate(found, predicate);
      for (const one of found) next.add(one);
    }
    current = [...next];
  }
  return steps.length > 0 ? inOrder(current) : current;
}

function filtered(list: any[], predicates: readonly Expression[]): any[] {
  return predicates.reduce((found, predicate) => applyPredicate(found, predicate), list);
}

function applyPredicate(found: any[], predicate: Expression): any[] {
  return found.filter((node, at) => {
    const value = evaluate(predicate, { node, position: at + 1, size: found.length });
    return typeof value === "number" ? value === at + 1 : truth(value);
  });
}

const children = (node: any): any[] =>
  (node.children ?? []).filter((child: any) => ["tag", "script", "style", "text"].includes(child.type));

function axisNodes(axis: string, node: any): any[] {
  if (node.type === "attribute") return axis === "parent" ? [node.parent] : axis === "self" ? [node] : [];
  const siblings = node.parent ? children(node.parent) : [node];
  const at = siblings.indexOf(node);
  switch (axis) {
    case "child":
      return children(node);
    case "descendant":
      return below(node);
    case "descendant-or-self":
      return [node, ...below(node)];
    case "parent":
      return node.parent ? [node.parent] : [];
    case "ancestor":
      return above(node);
    case "ancestor-or-self":
      return [node, ...above(node)];
    case "following-sibling":
      return siblings.slice(at + 1);
    case "preceding-sibling":
      return siblings.slice(0, at).reverse();
    case "following":
      return [node, ...above(node)].flatMap((one) =>
        axisNodes("following-sibling", one).flatMap((next) => [next, ...below(next)]),
      );
    case "preceding":
      return [node, ...above(node)].flatMap((one) =>
        axisNodes("preceding-sibling", one).flatMap((next) => [next, ...below(next)].reverse()),
      );
    case "attribute":
      return Object.entries<string>(node.attribs ?? {}).map(([name, value]) => attribute(node, name, value));
    default:
      return [node];
  }
}

const attributes = new WeakMap<any, Map<string, AttributeNode>>();

/** The same attribute is the same node, as often as it is asked for. */
function attribute(node: any, name: string, value: string): AttributeNode {
  const known = attributes.get(node) ?? new Map<string, AttributeNode>();
  attributes.set(node, known);
  const found = known.get(name) ?? { type: "attribute", name, value, parent: node };
  known.set(name, found);
  return found;
}

function below(node: any): any[] {
  const found: any[] = [];
  const visit = (one: any) => {
    for (const child of children(one)) {
      found.push(child);
      visit(child);
    }
  };
  visit(node);
  return found;
}

function above(node: any): any[] {
  const found: any[] = [];
  for (let at = node.parent; at; at = at.parent) found.push(at);
  return found;
}

function passes(node: any, test: string, axis: string): boolean {
  if (test === "node()") return true;
  if (test === "text()") return node.type === "text";
  if (axis === "attribute") return test === "*" || node.name === test;
  return ["tag", "script", "style"].includes(node.type) && (test === "*" || node.name === test.toLowerCase());
}

function inOrder(list: any[]): any[] {
  if (list.length < 2) return list;
  const key = (node: any): number[] => {
    const places: number[] = [];
    for (let at = node; at?.parent; at = at.parent)
      places.unshift(at.type === "attribute" ? -1 : at.parent.children.indexOf(at));
    return places;
  };
  return list
    .map((node) => ({ node, at: key(node) }))
    .sort((a, b) => {
      for (let depth = 0; depth < Math.min(a.at.length, b.at.length); depth++)
        if (a.at[depth] !== b.at[depth]) return a.at[depth]! - b.at[depth]!;
      return a.at.length - b.at.length;
    })
    .map(({ node }) => node);
}

/** The text of a node with all that is below it. */
export function textOf(node: any): string {
  if (node.type === "attribute") return node.value;
  return node.type === "text" ? node.data : (node.children ?? []).map(textOf).join("");
}

function nodes(value: XPathValue): any[] {
  if (Array.isArray(value)) return value;
  throw new ConfigError("an XPath step needs nodes, not a text or number");
}

function text(value: XPathValue): string {
  if (Array.isArray(value)) return value.length === 0 ? "" : textOf(value[0]);
  return String(value);
}

function number(value: XPathValue): number {
  if (typeof value === "boolean") return Number(value);
  if (typeof value === "number") return value;
  const plain = text(value).trim();
  return plain === "" ? Number.NaN : Number(plain);
}

function truth(value: XPathValue): boolean {
  return Array.isArray(value) ? value.length > 0 : Boolean(value);
}

function binary(operator: string, left: XPathValue, rightOf: () => XPathValue): XPathValue {
  if (operator === "or") return truth(left) || truth(rightOf());
  if (operator === "and") return truth(left) && truth(rightOf());
  const right = rightOf();
  if (operator === "|") return inOrder([...new Set([...nodes(left), ...nodes(right)])]);
  if (["+", "-", "*", "div", "mod"].includes(operator)) return arithmetic(operator, number(left), number(right));
  const compare = (a: XPathValue, b: XPathValue): boolean => {
    if (operator === "=" || operator === "!=") {
      const same = typeof a === "number" || typeof b === "number" ? number(a) === number(b) : text(a) === text(b);
      return (operator === "=") === same;
    }
    const [x, y] = [number(a), number(b)];
    return operator === "<" ? x < y : operator === "<=" ? x <= y : operator === ">" ? x > y : x >= y;
  };
  // A set of nodes agrees when one of them does.
  const each = (value: XPathValue): XPathValue[] => (Array.isArray(value) ? value.map(textOf) : [value]);
  return each(left).some((a) => each(right).some((b) => compare(a, b)));
}

function arithmetic(operator: string, left: number, right: number): number {
  if (operator === "+") return left + right;
  if (operator === "-") return left - right;
  if (operator === "*") return left * right;
  return operator === "div" ? left / right : left % right;
}

function call(name: string, args: readonly Expression[], place: Place): XPathValue {
  const value = (at: number): XPathValue => (args[at] === undefined ? [place.node] : evaluate(args[at], place));
  const string = (at: number) => text(value(at));
  switch (name) {
    case "position":
      return place.position;
    case "last":
      return place.size;
    case "count":
      return nodes(value(0)).length;
    case "not":
      return !truth(value(0));
    case "true":
      return true;
    case "false":
      return false;
    case "boolean":
      return truth(value(0));
    case "number":
      return number(value(0));
    case "string":
      return string(0);
    case "name":
    case "local-name":
      return nodes(value(0))[0]?.name ?? "";
    case "concat":
      return args.map((_, at) => string(at)).join("");
    case "contains":
      return string(0).includes(string(1));
    case "starts-with":
      return string(0).startsWith(string(1));
    case "ends-with":
      return string(0).endsWith(string(1));
    case "normalize-space":
      return string(0).replace(/\s+/g, " ").trim();
    case "string-length":
      return string(0).length;
    case "substring-before":
      return string(0).includes(string(1)) ? string(0).slice(0, string(0).indexOf(string(1))) : "";
    case "substring-after":
      return string(0).includes(string(1)) ? string(0).slice(string(0).indexOf(string(1)) + string(1).length) : "";
    case "substring":
      return string(0).slice(
        Math.max(0, Math.round(number(value(1))) - 1),
        args.length > 2 ? Math.round(number(value(1))) - 1 + Math.round(number(value(2))) : undefined,
      );
    case "lower-case":
      return string(0).toLowerCase();
    case "upper-case":
      return string(0).toUpperCase();
    default:
      return translate(string(0), string(1), string(2));
  }
}

function translate(source: string, from: string, to: string): string {
  return [...source].map((sign) => (from.includes(sign) ? (to[from.indexOf(sign)] ?? "") : sign)).join("");
}
