/** Selectors of schemas: CSS, or XPath when they begin with `//`, `.//`, `/` or `(`. */
import { load } from "cheerio";
import { ConfigError } from "./errors.ts";
import type { Page, Scope } from "./page.ts";
import { mayMatch } from "./page.ts";
import { findNodes, isNode } from "./plain-selectors.ts";
import type { XPathValue } from "./xpath.ts";
import { compileXPath, textOf } from "./xpath.ts";

export interface Selector {
  source: string;
  /** Null for XPath. */
  css: string | null;
  xpath: ((node: any) => XPathValue) | null;
}

/** An element that was found, or a text where the XPath itself ends in one (`…/@href`, `text()`, `string(…)`). */
export type Match = { node: any } | { text: string };

const PROBE = load("");

/** What to look for. @throws ConfigError for what is neither CSS nor XPath */
export function compileSelector(source: string): Selector {
  if (/^(\.?\/|\()/.test(source.trim())) return { source, css: null, xpath: compileXPath(source.trim()) };
  try {
    PROBE(source);
  } catch (error) {
    throw new ConfigError(`selector ${source} cannot be used: ${(error as Error).message}`, {
      hint: "It must be a CSS selector, or an XPath that begins with //.",
      cause: error,
    });
  }
  return { source, css: source, xpath: null };
}

/** What a selector finds in a part of a page, in order, at most `max`. */
export function select(page: Page, scope: Scope, selector: Selector, max = 5): Match[] {
  if (selector.css !== null) {
    if (!mayMatch(page, selector.css)) return [];
    const found = findNodes(scope, selector.css, max);
    // The item itself may be the element sought (`<a class="member" href>`).
    if (found.length === 0 && isNode(scope, selector.css)) found.push(...scope.toArray());
    return found.slice(0, max).map((node) => ({ node }));
  }
  return scope
    .toArray()
    .flatMap((root) => matches(selector.xpath!, root))
    .slice(0, max);
}

/** Absolute paths of a schema begin at the item, as CSS does: a record takes no value from a neighbour by mistake. */
function matches(xpath: NonNullable<Selector["xpath"]>, item: any): Match[] {
  const value = xpath({ type: "root", name: "root", attribs: {}, parent: null, children: [item] });
  if (!Array.isArray(value)) return value === "" || Number.isNaN(value) ? [] : [{ text: String(value) }];
  return value.map((node) => (node.type === "tag" || node.type === "root" ? { node } : { text: textOf(node) }));
}
