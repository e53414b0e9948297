/**
 * Finding by plain CSS without a selector engine: tags, classes, ids and attributes, also one inside another.
 *
 * Schemas and rules ask for some two hundred selectors per page, nearly all of them plain; building an engine's query for each took most
 * of the time of extraction. Invariant: what is found, and in which order, is what the engine finds; anything that is not plain goes to it.
 */
import type { Scope } from "./page.ts";

type Test = (node: any) => boolean;
/** Outer elements are looked for up to `root`, itself included. */
type Find = (node: any, root: any) => boolean;

/** The elements below the scope that a selector names, in the order of the page, at most `max`. */
export function findNodes(scope: Scope, css: string, max = Number.POSITIVE_INFINITY): any[] {
  const test = testOf(css);
  if (test === null) return scope.find(css).toArray().slice(0, max);
  const found: any[] = [];
  const visit = (node: any, root: any): void => {
    for (const child of node.children ?? []) {
      if (found.length >= max) return;
      if (child.type !== "tag" && child.type !== "script" && child.type !== "style") continue;
      if (test(child, root)) found.push(child);
      visit(child, root);
    }
  };
  for (const node of scope.toArray()) visit(node, node);
  // One scope inside another would be searched twice.
  return scope.length > 1 ? [...new Set(found)] : found;
}

/** Whether the element itself is what a selector names. */
export function isNode(scope: Scope, css: string): boolean {
  const test = testOf(css);
  return test === null ? scope.is(css) : scope.toArray().some((node) => node.type === "tag" && test(node, null));
}

/** By selector; there are as many as schemas name. */
const tests = new Map<string, Find | null>();

function testOf(css: string): Find | null {
  const known = tests.get(css);
  if (known !== undefined) return known;
  const test = plainTest(css.trim());
  tests.set(css, test);
  return test;
}

function plainTest(css: string): Find | null {
  // White space in brackets and quotes is not between compounds.
  const parts = css.match(/(?:\[[^\]]*\]|[^\s[])+/g) ?? [];
  const compounds = parts.map(compoundTest);
  if (compounds.length === 0 || compounds.some((test) => test === null)) return null;
  const [last, ...outer] = (compounds as Test[]).reverse();
  if (outer.length === 0) return last!;
  return (node, root) => {
    if (!last!(node)) return false;
    let at = node;
    for (const test of outer) {
      do {
        if (at === root) return false;
        at = at.parent;
      } while (at && !(at.type === "tag" && test(at)));
      if (!at) return false;
    }
    return true;
  };
}

const COMPOUND = /^([a-z][a-z0-9]*)?((?:\.-?[_a-z][\w-]*|#-?[_a-z][\w-]*|\[[^\]]*\])*)$/i;
const PIECE = /\.([\w-]+)|#([\w-]+)|\[\s*([\w-]+)\s*(?:([~^$*]?=)\s*(?:"([^"\\]*)"|'([^'\\]*)'|([\w-]+))\s*)?\]/gy;
/** The values of some others are compared without regard to case. */
const EXACT_ATTRIBUTES = /^(href|src|class|id|itemprop|itemtype|itemscope|title|data-[\w-]+)$/;

function compoundTest(source: string): Test | null {
  const match = COMPOUND.exec(source);
  if (match === null || source === "") return null;
  const [, tag, rest = ""] = match;
  const tests: Test[] = tag === undefined ? [] : [tagTest(tag.toLowerCase())];
  PIECE.lastIndex = 0;
  while (PIECE.lastIndex < rest.length) {
    const piece = PIECE.exec(rest);
    if (piece === null) return null;
    const [, className, id, attribute, operator, ...values] = piece;
    const test =
      className !== undefined
        ? classTest(className)
        : id !== undefined
          ? attributeTest("id", "=", id)
          : attributeTest(attribute!.toLowerCase(), operator, values.find((value) => value !== undefined) ?? "");
    if (test === null) return null;
    tests.push(test);
  }
  return tests.length === 1 ? tests[0]! : (node) => tests.every((test) => test(node));
}

function tagTest(name: string): Test {
  return (node) => node.name === name;
}

function classTest(word: string): Test {
  return (node) => {
    const list = node.attribs?.class as string | undefined;
    if (list === undefined || !list.includes(word)) return false;
    return list === word || list.split(/\s+/).includes(word);
  };
}

function attributeTest(name: string, operator: string | undefined, value: string): Test | null {
  if (!EXACT_ATTRIBUTES.test(name) || (operator !== undefined && value === "")) return null;
  const tests: Record<string, (given: string) => boolean> = {
    "=": (given) => given === value,
    "^=": (given) => given.startsWith(value),
    "$=": (given) => given.endsWith(value),
    "*=": (given) => given.includes(value),
    "~=": (given) => given.split(/\s+/).includes(value),
  };
  const test = operator === undefined ? () => true : tests[operator]!;
  return (node) => {
    const given = node.attribs?.[name] as string | undefined;
    return given !== undefined && test(given);
  };
}
