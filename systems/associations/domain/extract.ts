/**
 * From a page to records, as a schema says. Pure: same page and schema, same records.
 *
 * A page on which records repeat gives one for each of them (unless it is known to be of one member); any other page gives one
 * record or a ParseError. What repeats is what the schema calls a list item, else what `general/` finds by itself.
 * A record without a required field is not stored: it is reported as dropped, with what was missing.
 */

import { ParseError } from "./errors.ts";
import type { Fields, FieldValues, Hints } from "./field-values.ts";
import { extractFields } from "./field-values.ts";
import type { ListShape } from "./general/list.ts";
import { readList } from "./general/list.ts";
import { contentOfMember } from "./general/member.ts";
import type { Page, Scope } from "./page.ts";
import { cleanText } from "./page.ts";
import type { Schema } from "./schema.ts";
import { confidenceOf, missingFields } from "./schema.ts";

export type { Fields } from "./field-values.ts";
export { listItems } from "./general/items.ts";

export interface ExtractedRecord {
  fields: Fields;
  sources: Record<string, string>;
  confidence: number;
}

export interface Extracted {
  pageType: "MEMBER_DETAIL" | "MEMBER_DIRECTORY";
  records: ExtractedRecord[];
  /** What was left out, and why. */
  dropped: { reason: string; text: string }[];
}

/** `detail`: the page is of one member, whatever else is listed on it. `auto`: a page with repeated records is a list. */
export type ExtractMode = "auto" | "detail" | "list";

export interface ExtractOptions {
  mode?: ExtractMode;
  /** Where the records stand, as another page of the same directory has shown. */
  shape?: ListShape | null;
  /** What the directory says of this member: fills what its page leaves open. */
  listed?: Fields | null;
  /** Phones and mail addresses of the association itself, which stand on all of its pages. */
  foreign?: readonly string[];
}

/** All records of a page. @throws ParseError when a single-member page lacks a required field */
export function extractPage(page: Page, schema: Schema, options: ExtractOptions | ExtractMode = {}): Extracted {
  const {
    mode = "auto",
    shape = null,
    listed = null,
    foreign = [],
  } = typeof options === "string" ? { mode: options } : options;
  const list = mode === "detail" ? null : readList(page, schema, shape);
  if (list === null) return extractMember(page, schema, { listed, foreign });
  const result: Extracted = { pageType: "MEMBER_DIRECTORY", records: [], dropped: [] };
  for (const { fields, sources, missing, text, confidence } of list.entries) {
    if (missing.length === 0) result.records.push({ fields, sources, confidence });
    else result.dropped.push({ reason: `without ${missing.join(", ")}`, text: text.slice(0, 200) });
  }
  return result;
}

function extractMember(
  page: Page,
  schema: Schema,
  { listed, foreign }: { listed: Fields | null; foreign: readonly string[] },
): Extracted {
  const main = mainPart(page);
  // The name from the directory counts only where this page knows it too: an error page does not.
  const known = listed !== null && knows(page, listed);
  const hints: Hints = {
    content: contentOfMember(page, main, { foreign, named: known ? String(listed.company_name) : null }),
    // Where the page is headed by it, beside the name of the site.
    name: known && headedBy(page, String(listed.company_name)) ? String(listed.company_name) : null,
    lastName: known ? String(listed.company_name) : null,
    foreign,
  };
  const values = extractFields(page, main, schema, { single: true, hints });
  const missing = missingFields(values.fields, schema);
  if (missing.length > 0) {
    throw new ParseError(`no ${missing.join(", ")} on ${page.url}`, {
      url: page.url,
      hint: `Add a selector to the schema ${schema.name}.`,
    });
  }
  if (listed !== null) fillFromList(values, listed);
  return {
    pageType: "MEMBER_DETAIL",
    records: [{ ...values, confidence: confidenceOf(values.fields, schema) }],
    dropped: [],
  };
}

/** The page speaks of the member that the directory has named. */
export function knows(page: Page, { company_name: named }: Fields): boolean {
  return typeof named === "string" && pageText(page).includes(named.toLowerCase());
}

function headedBy(page: Page, name: string): boolean {
  const texts = page
    .$("h1, h2, h3, h4")
    .toArray()
    .map((node) => cleanText(page.$(node).text()).toLowerCase());
  return texts.includes(name.toLowerCase());
}

/** A record of what the directory says alone. */
export function recordOfListed(listed: Fields, schema: Schema): ExtractedRecord {
  const fields: Fields = Object.fromEntries(
    schema.fields.map(({ name, default: usual }) => [name, listed[name] ?? usual]),
  );
  const sources = Object.fromEntries(
    schema.fields
      .filter(({ name }) => fields[name] !== null)
      .map(({ name }) => [name, (listed[name] ?? null) === null ? "default" : "directory"]),
  );
  return { fields, sources, confidence: confidenceOf(fields, schema) };
}

function pageText(page: Page): string {
  return cleanText(`${page.$("title").text()} ${page.$("body").text()}`).toLowerCase();
}

/** The directory's values for what the member's own page does not say; an address is taken whole or not at all. */
function fillFromList({ fields, sources }: FieldValues, listed: Fields): void {
  const elsewhere = ["city", "state"].some((name) => differs(fields[name], listed[name]));
  for (const [name, value] of Object.entries(listed)) {
    const open = (fields[name] ?? null) === null || sources[name] === "default";
    if (value === null || !open || !(name in fields)) continue;
    if (elsewhere && ["street", "city", "state", "postal_code", "country"].includes(name)) continue;
    fields[name] = value;
    sources[name] = "directory";
  }
}

function differs(left: unknown, right: unknown): boolean {
  return typeof left === "string" && typeof right === "string" && left.toLowerCase() !== right.toLowerCase();
}

/** The page without its frame: the association's own name, phone and links stand there. */
function mainPart(page: Page): Scope {
  const body = page.$("body");
  const whole = body.get(0);
  if (whole === undefined) return body;
  const main = page.$(copyWithoutFrames(whole, false));
  return cleanText(main.text()) === "" ? body : main;
}

const FRAME_CLASSES = /(^|\s)(sidebar|breadcrumbs?|related)(\s|$)/;

function copyWithoutFrames(node: any, insideMain: boolean): any {
  const copy = node.cloneNode(false);
  const inside = insideMain || node.name === "main" || node.name === "article" || node.attribs?.role === "main";
  for (const child of node.children ?? []) {
    if (isFrame(child, inside)) continue;
    const part = copyWithoutFrames(child, inside);
    part.parent = copy;
    part.prev = copy.children.at(-1) ?? null;
    if (part.prev !== null) part.prev.next = part;
    copy.children.push(part);
  }
  return copy;
}

function isFrame(node: any, insideMain: boolean): boolean {
  if (node.type !== "tag") return false;
  const { class: words = "", role = "" } = node.attribs ?? {};
  if (node.name === "nav" || node.name === "footer" || node.name === "aside") return true;
  if (role === "navigation" || role === "contentinfo" || FRAME_CLASSES.test(words)) return true;
  return node.name === "header" && !insideMain;
}
