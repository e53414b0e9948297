/** Values that stand behind a label: `Phone: …`, definition lists, two-column tables, label and value in boxes of their own. */

import type { Scope } from "./page.ts";
import { cleanText } from "./page.ts";
import { findNodes } from "./plain-selectors.ts";
import { textOf } from "./xpath.ts";

export interface Labelled {
  /** The value, line by line. */
  lines: string[];
  /** Target of the first link in it. */
  href: string | null;
}

const BLOCK = new Set(
  "address article aside blockquote dd div dl dt fieldset figure footer form h1 h2 h3 h4 h5 h6 header hr li main nav ol p pre section table tbody td tfoot th thead tr ul".split(
    " ",
  ),
);
const MAX_VALUE_LINES = 6;
// Private-use signs cannot occur in text that means something; they carry link targets through the text.
const LINK = /\ue000([^\ue001]*)\ue001/g;

/** The visible lines of an element; a line break ends one, and so does a block. */
export function textLines(scope: Scope, options: { links?: boolean } = {}): string[] {
  return linesOf(scope.toArray(), options);
}

function linesOf(nodes: readonly any[], options: { links?: boolean }): string[] {
  let text = "";
  const visit = (node: any): void => {
    if (node.type === "text") text += node.data.replace(/\s+/g, " ");
    else if (node.type === "tag" || node.type === "root") {
      const block = node.name === "br" || BLOCK.has(node.name);
      if (block) text += "\n";
      const href = options.links && node.name === "a" ? node.attribs?.href : undefined;
      if (href) text += `\ue000${href}\ue001`;
      for (const child of node.children ?? []) visit(child);
      if (block) text += "\n";
    }
  };
  for (const node of nodes) visit(node);
  return text
    .split("\n")
    .map(cleanText)
    .filter((line) => line !== "");
}

/** Every labelled value in `scope` for the labels known to a schema, by label in lower case. The first one of a label counts. */
export function labelledValues(scope: Scope, known: ReadonlySet<string>): Map<string, Labelled> {
  const found = pairedValues(scope, known);
  const lines = textLines(scope, { links: true });
  for (let at = 0; at < lines.length; at++) {
    const { label, rest } = splitLabel(lines[at]!, known);
    if (label === null || found.has(label)) continue;
    const value: string[] = rest === "" ? [] : [rest];
    for (let next = at + 1; next < lines.length && value.length < MAX_VALUE_LINES; next++) {
      if (looksLikeLabel(lines[next]!, known)) break;
      value.push(lines[next]!);
    }
    if (value.length > 0) found.set(label, toLabelled(value));
  }
  return found;
}

/** Definition lists and two-column rows say themselves which part is the label; a town called Street stays a value there. */
function pairedValues(scope: Scope, known: ReadonlySet<string>): Map<string, Labelled> {
  const found = new Map<string, Labelled>();
  const firsts = [...findNodes(scope, "dt"), ...findNodes(scope, "tr").flatMap((row) => elementsIn(row).slice(0, 1))];
  for (const cell of firsts) {
    const [value, more] = elementsAfter(cell);
    const isPair = cell.name === "dt" ? value?.name === "dd" : value?.name === "td" && more === undefined;
    const label = isPair ? normalise(textOf(cell)) : "";
    if (!known.has(label) || found.has(label)) continue;
    const lines = linesOf([value], { links: true });
    if (lines.length > 0) found.set(label, toLabelled(lines));
  }
  for (const [label, value] of neighbours(scope, known)) {
    const lines = found.has(label) ? [] : linesOf([value], { links: true });
    if (lines.length > 0 && !known.has(normalise(lines.join(" ")))) found.set(label, toLabelled(lines));
  }
  return found;
}

/** `<span>City</span><span>Dayton</span>`: an element that is a label and nothing else, and the one after it, alone in their box. */
function neighbours(scope: Scope, known: ReadonlySet<string>): [string, any][] {
  const pairs: [string, any][] = [];
  const visit = (node: any): void => {
    const inside = elementsIn(node);
    const [first, value] = inside;
    if (inside.length === 2 && !PAIRED.has(first.name) && !PAIRED.has(value.name)) {
      const label = normalise(textOf(first));
      if (known.has(label) && hasOnly(node, inside)) pairs.push([label, value]);
    }
    for (const child of inside) visit(child);
  };
  for (const node of scope.toArray()) visit(node);
  return pairs;
}

const PAIRED = new Set(["dt", "dd", "td", "th", "li", "br"]);

function hasOnly(node: any, elements: readonly any[]): boolean {
  return (node.children ?? []).every((child: any) => elements.includes(child) || !child.data?.trim());
}

function elementsIn(node: any): any[] {
  return (node.children ?? []).filter((child: any) => child.type === "tag");
}

function elementsAfter(node: any): any[] {
  const siblings = node.parent === null ? [] : elementsIn(node.parent);
  return siblings.slice(siblings.indexOf(node) + 1);
}

function splitLabel(line: string, known: ReadonlySet<string>): { label: string | null; rest: string } {
  const plain = line.replace(LINK, "");
  const whole = normalise(plain);
  if (known.has(whole)) return { label: whole, rest: "" };
  const colon = plain.indexOf(":");
  if (colon <= 0 || colon > 40) return { label: null, rest: "" };
  const label = normalise(plain.slice(0, colon));
  if (!known.has(label)) return { label: null, rest: "" };
  // Cut the original line, which still holds the links, at its first colon outside of a link.
  const cut = line.search(/:(?![^\ue000]*\ue001)/);
  return { label, rest: line.slice(cut + 1).trim() };
}

function looksLikeLabel(line: string, known: ReadonlySet<string>): boolean {
  if (splitLabel(line, known).label !== null) return true;
  const plain = line.replace(LINK, "");
  return /^[\p{L}][\p{L} /&-]{1,30}:(\s|$)/u.test(plain) && !/^https?:/i.test(plain);
}

function normalise(label: string): string {
  return cleanText(label)
    .replace(/\s*[:#*]+$/, "")
    .toLowerCase();
}

function toLabelled(value: string[]): Labelled {
  const href = /\ue000([^\ue001]*)\ue001/.exec(value.join("\n"))?.[1] ?? null;
  const lines = value.map((line) => cleanText(line.replace(LINK, ""))).filter((line) => line !== "");
  return { lines, href };
}
