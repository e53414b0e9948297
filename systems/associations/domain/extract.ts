/**
 * From a page to records, as a schema says. Pure: same page and schema, same records.
 *
 * A page on which the schema's list items occur gives one record for each of them (unless it is known to be of one member); any other
 * page gives one record or a ParseError.
 * A record without a required field is not stored: it is reported as dropped, with what was missing.
 */

import type { Address } from "./address.ts";
import { parseAddress } from "./address.ts";
import { ParseError } from "./errors.ts";
import type { Labelled } from "./labels.ts";
import { labelledValues, textLines } from "./labels.ts";
import type { Page, Scope } from "./page.ts";
import { cleanText, mayMatch } from "./page.ts";
import type { Value } from "./parsers.ts";
import { PARSERS } from "./parsers.ts";
import type { Field, Schema } from "./schema.ts";
import { jsonLdFor, jsonPath, microdata } from "./structured.ts";
import { isSocial, sameSite } from "./url.ts";

export type Fields = Record<string, Value | null>;

export interface Extracted {
  pageType: "MEMBER_DETAIL" | "MEMBER_DIRECTORY";
  records: { fields: Fields; confidence: number }[];
  /** What was left out, and why. */
  dropped: { reason: string; text: string }[];
}

const ADDRESS_FIELDS = ["street", "city", "state", "postal_code", "country"] as const;
/** Headings of sites that are no name of a company. Whole texts only: there are companies called 404 Brewing and Forbidden Ltd. */
const NO_NAME = new RegExp(
  `^(${[
    "(an )?error( [45]\\d\\d)?( (has )?occurred)?",
    "(http |error )?[45]\\d\\d( error)?( ?[-:–]? ?((page )?not found|forbidden|gone|unauthorized|internal server error|bad gateway|service unavailable))?",
    "oops.{0,60}",
    "(sorry,? )?((this|the|that) )?((page|member|profile|record|company|listing) )?((was|is|could|can) ?(not|n't) (be )?)?(not )?found",
    "access (is )?(denied|restricted)|forbidden|unauthorized|page (no longer )?(unavailable|available)",
    "((our|the|all) )?((member|membership|company|business|supplier|profile)s?('s)? )?(directory|list|listings?|profiles?|details?|information|search|results|search results)",
    "((our|all) )?(members?|compan(y|ies))|untitled( document)?|home( ?page)?|welcome|log ?in|sign ?in|menu|search",
  ].join("|")})[.!]*$`,
  "i",
);

/** The list items of a page under this schema; empty for a page of one member. */
export function listItems(page: Page, schema: Schema): Scope[] {
  const container = page.$(schema.listContainer);
  for (const selector of schema.listItem) {
    if (!mayMatch(page, selector)) continue;
    const items = container.find(selector);
    // Nested matches would be counted twice: the outermost one is the item.
    const outer = items.toArray().filter((node) => page.$(node).parent().closest(selector).length === 0);
    // One match of a general guess is as likely the box around a single member.
    if (outer.length > (schema.ownList ? 0 : 1)) return outer.map((node) => page.$(node));
  }
  return [];
}

/** `detail`: the page is of one member, whatever else is listed on it. `auto`: a page with list items is a list. */
export type ExtractMode = "auto" | "detail" | "list";

/** All records of a page. @throws ParseError when a single-member page lacks a required field */
export function extractPage(page: Page, schema: Schema, mode: ExtractMode = "auto"): Extracted {
  const items = mode === "detail" ? [] : listItems(page, schema);
  if (items.length === 0) return extractMember(page, schema);
  const result: Extracted = { pageType: "MEMBER_DIRECTORY", records: [], dropped: [] };
  for (const item of items) {
    const fields = extractFields(page, item, schema, { single: false });
    const missing = missingFields(fields, schema);
    if (missing.length === 0) result.records.push({ fields, confidence: confidence(fields, schema) });
    else result.dropped.push({ reason: `without ${missing.join(", ")}`, text: cleanText(item.text()).slice(0, 200) });
  }
  return result;
}

function extractMember(page: Page, schema: Schema): Extracted {
  const fields = extractFields(page, mainPart(page), schema, { single: true });
  const missing = missingFields(fields, schema);
  if (missing.length > 0) {
    throw new ParseError(`no ${missing.join(", ")} on ${page.url}`, {
      url: page.url,
      hint: `Add a selector to the schema ${schema.name}.`,
    });
  }
  return { pageType: "MEMBER_DETAIL", records: [{ fields, confidence: confidence(fields, schema) }], dropped: [] };
}

/** The page without its frame: the association's own name, phone and links stand there. */
function mainPart(page: Page): Scope {
  const body = page.$("body").clone();
  body
    .find(
      "nav, footer, aside, .sidebar, .breadcrumb, .breadcrumbs, .related, [role='navigation'], [role='contentinfo']",
    )
    .remove();
  body.find("header").not("main header, article header, [role='main'] header").remove();
  return cleanText(body.text()) === "" ? page.$("body") : body;
}

function extractFields(page: Page, scope: Scope, schema: Schema, { single }: { single: boolean }): Fields {
  const known = new Set([...schema.fields.flatMap((field) => field.labels), ...schema.address.labels]);
  const labels = labelledValues(scope, known);
  const source: Source = { page, scope, labels, single, jsonLd: null };
  const fields: Fields = {};
  const address = findAddress(source, schema);
  for (const field of schema.fields) {
    let value = findValue(source, field);
    if (value === null && (ADDRESS_FIELDS as readonly string[]).includes(field.name)) {
      const part = address?.[field.name as keyof Address] ?? null;
      value = part === null ? null : convert(part, field, page.url);
    }
    fields[field.name] = value ?? field.default;
    if (field.name === "company_name" && single && typeof value === "string") source.jsonLd = jsonLdFor(page, value);
  }
  return fields;
}

interface Source {
  page: Page;
  scope: Scope;
  labels: Map<string, Labelled>;
  single: boolean;
  jsonLd: Record<string, unknown> | null;
}

function findValue(source: Source, field: Field): Value | null {
  for (const text of candidates(source, field)) {
    const value = text === "" ? null : convert(text, field, source.page.url);
    if (value !== null && !(field.name === "company_name" && NO_NAME.test(String(value)))) return value;
  }
  return null;
}

/** Texts that may be the value, best first. A generator, so that what is not needed is not searched. */
function* candidates(source: Source, field: Field): Generator<string> {
  const { page, scope, labels } = source;
  for (const { css, attribute } of field.selectors) {
    if (!mayMatch(page, css)) continue;
    const wanted = attribute === null ? field.extract : [attribute];
    const matches = scope.find(css).toArray();
    // The item itself may be the element sought (`<a class="member" href>`).
    if (matches.length === 0 && scope.is(css)) matches.push(...scope.toArray());
    for (const node of matches.slice(0, 5)) {
      const element = page.$(node);
      for (const name of wanted) if (name !== "text") yield cleanText(element.attr(name) ?? "");
      yield cleanText(element.text()) || cleanText(element.attr("content") ?? "");
    }
  }
  if (page.words.attributes.has("itemprop"))
    for (const property of field.itemprop) yield* microdata(page, scope, property);
  for (const label of field.labels) {
    const found = labels.get(label);
    if (found === undefined) continue;
    if (field.extract.includes("href") && found.href !== null) yield found.href;
    yield found.lines[0] ?? "";
  }
  if (source.jsonLd !== null) for (const path of field.jsonld) yield jsonPath(source.jsonLd, path) ?? "";
  yield* fallbacks(source, field);
}

function* fallbacks({ page, scope, single }: Source, field: Field): Generator<string> {
  if (field.fallback === "heading") {
    const headings = single
      ? ["main h1", "article h1", "h1", "main h2", "article h2"]
      : ["h1", "h2", "h3", "h4", "h5", "a.name", ".name", "strong a", "a", "strong", "b"];
    for (const css of headings)
      for (const node of scope.find(css).toArray().slice(0, 3)) yield cleanText(page.$(node).text());
    if (!single && scope.is("a")) yield cleanText(scope.text());
  } else if (field.fallback === "tel_link") {
    for (const node of scope.find("a[href^='tel:']").toArray()) yield page.$(node).attr("href") ?? "";
  } else if (field.fallback === "mailto_link") {
    for (const node of scope.find("a[href^='mailto:']").toArray()) yield page.$(node).attr("href") ?? "";
  } else if (field.fallback === "external_link") yield* externalLinks(page, scope);
}

/** Links that name themselves a website; otherwise a link to the only foreign host there is. */
function* externalLinks(page: Page, scope: Scope): Generator<string> {
  const hosts = new Map<string, string>();
  for (const node of scope.find("a[href]").toArray()) {
    const url = URL.parse(page.$(node).attr("href") ?? "", page.base);
    if (url === null || !/^https?:$/.test(url.protocol) || sameSite(url.href, page.url) || isSocial(url.href)) continue;
    const text = cleanText(page.$(node).text()).toLowerCase();
    if (
      /\b(web ?site|home ?page|visit)\b|^(www\.|https?:)/.test(text) ||
      text.includes(url.hostname.replace(/^www\./, ""))
    )
      yield url.href;
    if (!hosts.has(url.host)) hosts.set(url.host, url.href);
  }
  if (hosts.size === 1) yield* hosts.values();
}

function convert(text: string, field: Field, pageUrl: string): Value | null {
  const mapped = lookUp(field.mapping, text);
  if (mapped === undefined && field.enum.length > 0) return canonical(field.enum, text);
  if (mapped !== undefined) return field.enum.length > 0 ? canonical(field.enum, String(mapped)) : mapped;
  return PARSERS[field.parser]!(text, { pageUrl });
}

function lookUp(mapping: Field["mapping"], text: string): Value | undefined {
  const wanted = text.toLowerCase();
  return Object.entries(mapping).find(([key]) => key.toLowerCase() === wanted)?.[1];
}

/** The canonical word that the text is, or that it contains as a word of its own ("Gold Member"). */
function canonical(words: string[], text: string): string | null {
  const lower = text.toLowerCase();
  const exact = words.find((word) => word.toLowerCase() === lower);
  return (
    exact ??
    words.find((word) => ` ${lower.replace(/[^\p{L}\p{N}]+/gu, " ")} `.includes(` ${word.toLowerCase()} `)) ??
    null
  );
}

function findAddress({ page, scope, labels }: Source, schema: Schema): Address | null {
  for (const label of schema.address.labels) {
    const found = labels.get(label);
    const address = found === undefined ? null : parseAddress(found.lines);
    if (address !== null) return address;
  }
  for (const css of schema.address.selectors) {
    if (!mayMatch(page, css)) continue;
    for (const node of scope.find(css).toArray().slice(0, 3)) {
      const address = parseAddress(textLines(page.$(node)));
      if (address !== null) return address;
    }
  }
  return null;
}

function missingFields(fields: Fields, schema: Schema): string[] {
  return schema.fields
    .filter((field) => field.required && (fields[field.name] ?? null) === null)
    .map((field) => field.name);
}

/** Share of the schema's fields that the page itself filled. */
function confidence(fields: Fields, schema: Schema): number {
  const filled = schema.fields.filter(
    (field) => (fields[field.name] ?? null) !== null && fields[field.name] !== field.default,
  );
  return Math.round((filled.length / schema.fields.length) * 100) / 100;
}
