/** Structured data in pages: JSON-LD and microdata. */

import type { Page, Scope } from "./page.ts";
import { cleanText } from "./page.ts";
import { findNodes } from "./plain-selectors.ts";

const NOT_A_COMPANY =
  /breadcrumb|listitem|itemlist|webpage|website|postaladdress|geocoordinates|imageobject|contactpoint|person|article|event|searchaction/i;

/** The JSON-LD object that describes the company `name`, or null. The association describes itself on its pages too, so the name must agree. */
export function jsonLdFor(page: Page, name: string): Record<string, unknown> | null {
  const wanted = comparable(name);
  if (wanted === "") return null;
  for (const element of page.$("script[type='application/ld+json']").toArray()) {
    const match = objectsIn(page.$(element).text()).find((node) => comparable(text(node.name)) === wanted);
    if (match !== undefined) return match;
  }
  return null;
}

function objectsIn(source: string): Record<string, unknown>[] {
  let root: unknown;
  try {
    root = JSON.parse(source);
  } catch {
    return [];
  }
  const found: Record<string, unknown>[] = [];
  const visit = (node: unknown, depth: number): void => {
    if (depth > 6 || node === null || typeof node !== "object") return;
    if (Array.isArray(node)) for (const child of node) visit(child, depth + 1);
    else {
      const record = node as Record<string, unknown>;
      if (typeof record.name === "string" && !NOT_A_COMPANY.test(String(record["@type"] ?? ""))) found.push(record);
      for (const child of Object.values(record)) visit(child, depth + 1);
    }
  };
  visit(root, 0);
  return found;
}

/** The text at a path such as `address.streetAddress`; of a list the first entry counts. */
export function jsonPath(root: Record<string, unknown>, path: string): string | null {
  let node: unknown = root;
  for (const part of path.split(".")) {
    if (Array.isArray(node)) node = node[0];
    if (node === null || typeof node !== "object") return null;
    node = (node as Record<string, unknown>)[part];
  }
  if (Array.isArray(node)) node = node[0];
  return text(node) || null;
}

function text(value: unknown): string {
  return typeof value === "string" || typeof value === "number" ? cleanText(String(value)) : "";
}

function comparable(name: string): string {
  return name.toLowerCase().replace(/[^\p{L}\p{N}]+/gu, "");
}

/** The values of a microdata property that belong to a company, not to breadcrumbs or the page. */
export function microdata(page: Page, scope: Scope, property: string): string[] {
  const values: string[] = [];
  for (const node of findNodes(scope, `[itemprop~='${property}']`)) {
    const element = page.$(node);
    const owner = element.parent().closest("[itemtype]").attr("itemtype") ?? "";
    const nested = /postaladdress|geocoordinates/i.test(owner);
    if (!nested && NOT_A_COMPANY.test(owner)) continue;
    // A name inside an address names the place, not the company.
    if (nested && property === "name") continue;
    if (element.is("[itemscope]") && property === "name") continue;
    const value = element.attr("content") ?? element.attr("href") ?? element.attr("datetime") ?? element.text();
    const clean = cleanText(value);
    if (clean !== "") values.push(clean);
  }
  return values;
}
