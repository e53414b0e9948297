/**
 * The fields of one record, from the part of a page that holds it.
 *
 * Sources in order: selectors, microdata, labels, JSON-LD, the schema's fallback, then what the text looks like. The first that
 * yields a usable value wins, and is named in `sources`, so that every value can be traced to its place.
 */

import type { Address } from "./address.ts";
import { parseAddress } from "./address.ts";
import type { ContentFields } from "./general/fill.ts";
import { takeApart } from "./general/kinds.ts";
import type { Labelled } from "./labels.ts";
import { labelledValues, textLines } from "./labels.ts";
import type { Page, Scope } from "./page.ts";
import { cleanText, mayMatch } from "./page.ts";
import type { Value } from "./parsers.ts";
import { PARSERS } from "./parsers.ts";
import { isProvince, nameOfRegion, regionOf, stateCode } from "./places.ts";
import { findNodes, isNode } from "./plain-selectors.ts";
import { regionOfPage } from "./regions.ts";
import type { Field, Schema } from "./schema.ts";
import { select } from "./selectors.ts";
import { jsonLdFor, jsonPath, microdata } from "./structured.ts";
import { isSocial, leadsOut, sameSite, wrappedUrl } from "./url.ts";

export type Fields = Record<string, Value | null>;

/** What is known of a record beside the schema. */
export interface Hints {
  /** Its name, as the page's structure tells it. */
  name?: string | null;
  /** Address the record was reached by, or of its profile. */
  profile?: string | null;
  /** What its texts look like. */
  content?: ContentFields;
  /** Values by column heading. */
  columns?: ReadonlyMap<string, Labelled>;
  /** Phones and mail addresses of the association, which no guess may take for the record's. */
  foreign?: readonly string[];
  /** A name that may be used when the page itself gives none. */
  lastName?: string | null;
}

export interface FieldValues {
  fields: Fields;
  /** Where each value stands: `selector .city`, `label phone`, `content`, `default` … */
  sources: Record<string, string>;
}

interface Found {
  text: string;
  via: string;
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

/** Where a link with such a text leads is not the company's own site. */
const NO_WEBSITE =
  /^((view|get|see|show|open)?( on| in)?( the| a| google)? ?(map|maps|directions?)|share|print|log ?in|sign ?in|donate|review us|reviews?|apply( now)?|register|buy tickets?)$/;

/** Labels that name the company beyond doubt; a mere "Name" may be a person's. */
const CERTAIN_LABEL = /compan|organi|business|member name/;

/** All fields of a schema for one record. `single`: the page is of this record alone. */
export function extractFields(
  page: Page,
  scope: Scope,
  schema: Schema,
  { single, hints = {} }: { single: boolean; hints?: Hints },
): FieldValues {
  const labels = new Map([...labelledValues(scope, schema.labels), ...(hints.columns ?? [])]);
  const home = regionOfPage(page);
  const source: Source = { page, scope, labels, single, hints, jsonLd: null, region: home ?? undefined };
  const found: FieldValues = { fields: Object.fromEntries(schema.fields.map(({ name }) => [name, null])), sources: {} };
  const address = findAddress(source, schema);
  for (const field of inOrder(schema)) {
    const best = findValue(source, field) ?? fromAddress(source, field, address);
    found.fields[field.name] = best?.value ?? field.default;
    if (best !== null) found.sources[field.name] = best.via;
    else if (field.default !== null) found.sources[field.name] = "default";
    if (field.name === "company_name" && single && best !== null) source.jsonLd = jsonLdFor(page, String(best.value));
    if (field.name === "country" && best !== null) source.region = regionOf(String(best.value)) ?? undefined;
  }
  if (found.sources.country === "default") correctCountry(found, home);
  return found;
}

/** What stands in every schema is no more than a guess: a province, and the country that the page speaks for, know better. */
function correctCountry({ fields, sources }: FieldValues, home: string | null): void {
  const american = typeof fields.state === "string" && stateCode(fields.state) !== null && !isProvince(fields.state);
  const country =
    isProvince(fields.state) && home !== "AU"
      ? "Canada"
      : home === null || (american && home !== "AU")
        ? null
        : nameOfRegion(home);
  if (country === null) return;
  fields.country = country;
  sources.country = country === "Canada" ? "state" : "page";
}

const orders = new WeakMap<Schema, Field[]>();

/** The name finds the JSON-LD object, and the country says how its telephone numbers are read. */
function inOrder(schema: Schema): Field[] {
  const rank = ({ name }: Field) => (name === "company_name" ? 0 : name === "country" ? 1 : 2);
  const order = orders.get(schema) ?? [...schema.fields].sort((a, b) => rank(a) - rank(b));
  orders.set(schema, order);
  return order;
}

interface Source {
  page: Page;
  scope: Scope;
  labels: ReadonlyMap<string, Labelled>;
  single: boolean;
  hints: Hints;
  jsonLd: Record<string, unknown> | null;
  region: string | undefined;
}

interface Best {
  value: Value;
  via: string;
}

function findValue(source: Source, field: Field): Best | null {
  for (const { text, via } of candidates(source, field)) {
    const value = text === "" ? null : convert(text, field, source);
    const guess = via.startsWith("fallback") && source.hints.foreign?.includes(String(value)) === true;
    if (value !== null && !guess && !(field.name === "company_name" && NO_NAME.test(String(value))))
      return { value, via };
  }
  return null;
}

/** An address that stands in one piece gives what no field of its own gave; then what looks like one. */
function fromAddress(source: Source, field: Field, address: Address | null): Best | null {
  if (!(ADDRESS_FIELDS as readonly string[]).includes(field.name)) return null;
  const name = field.name as keyof Address;
  const part = address?.[name] ?? null;
  const value = part === null ? null : convert(part, field, source);
  if (value !== null) return { value, via: "address" };
  const text = source.hints.content?.[name];
  const guess = text === undefined ? null : convert(text, field, source);
  return guess === null ? null : { value: guess, via: "content" };
}

/** Texts that may be the value, best first. A generator, so that what is not needed is not searched. */
function* candidates(source: Source, field: Field): Generator<Found> {
  const { page, scope, hints } = source;
  yield* selected(source, field);
  if (page.words.attributes.has("itemprop"))
    for (const property of field.itemprop)
      for (const text of microdata(page, scope, property)) yield { text, via: `itemprop ${property}` };
  const naming = field.name === "company_name";
  yield* labelled(source, field, (label) => !naming || CERTAIN_LABEL.test(label));
  if (naming && hints.name) yield { text: hints.name, via: "structure" };
  if (naming) yield* labelled(source, field, (label) => !CERTAIN_LABEL.test(label));
  if (field.name === "profile_url" && hints.profile) yield { text: hints.profile, via: "structure" };
  if (source.jsonLd !== null)
    for (const path of field.jsonld) yield { text: jsonPath(source.jsonLd, path) ?? "", via: `jsonld ${path}` };
  for (const text of fallbacks(source, field)) yield { text, via: `fallback ${field.fallback}` };
  const content = hints.content?.[field.name as keyof ContentFields];
  if (content !== undefined && !(ADDRESS_FIELDS as readonly string[]).includes(field.name))
    yield { text: content, via: "content" };
  if (naming && hints.lastName) yield { text: hints.lastName, via: "directory" };
}

function* selected({ page, scope }: Source, field: Field): Generator<Found> {
  for (const selector of field.selectors) {
    const via = `selector ${selector.source}`;
    for (const match of select(page, scope, selector)) {
      if ("text" in match) yield { text: cleanText(match.text), via };
      else {
        const element = page.$(match.node);
        for (const name of field.extract) if (name !== "text") yield { text: cleanText(element.attr(name) ?? ""), via };
        yield { text: cleanText(element.text()) || cleanText(element.attr("content") ?? ""), via };
      }
    }
  }
}

function* labelled({ labels }: Source, field: Field, wanted: (label: string) => boolean): Generator<Found> {
  for (const label of field.labels) {
    const found = wanted(label) ? labels.get(label) : undefined;
    if (found === undefined) continue;
    const via = `label ${label}`;
    if (field.extract.includes("href") && found.href !== null) yield { text: found.href, via };
    yield { text: found.lines[0] ?? "", via };
  }
}

function* fallbacks({ page, scope, single }: Source, field: Field): Generator<string> {
  if (field.fallback === "heading") {
    const headings = single
      ? ["main h1", "article h1", "h1", "main h2", "article h2"]
      : ["h1", "h2", "h3", "h4", "h5", "a.name", ".name", "strong a", "a", "strong", "b"];
    for (const css of headings) for (const node of findNodes(scope, css, 3)) yield cleanText(page.$(node).text());
    if (!single && scope.is("a")) yield cleanText(scope.text());
  } else if (field.fallback === "tel_link") {
    for (const node of findNodes(scope, "a[href^='tel:']")) yield page.$(node).attr("href") ?? "";
  } else if (field.fallback === "mailto_link") {
    for (const node of findNodes(scope, "a[href^='mailto:']")) yield page.$(node).attr("href") ?? "";
  } else if (field.fallback === "external_link") yield* externalLinks(page, scope);
}

/** Links that name themselves a website; otherwise a link to the only foreign host there is. */
function* externalLinks(page: Page, scope: Scope): Generator<string> {
  const hosts = new Map<string, string>();
  // The whole record may be one link.
  const links = [...(isNode(scope, "a[href]") ? scope.toArray() : []), ...findNodes(scope, "a[href]")];
  for (const node of links) {
    const linked = URL.parse(page.$(node).attr("href") ?? "", page.base);
    const url =
      linked !== null && sameSite(linked.href, page.url) && leadsOut(linked.href)
        ? URL.parse(wrappedUrl(linked.href)!)
        : linked;
    if (url === null || !/^https?:$/.test(url.protocol) || sameSite(url.href, page.url) || isSocial(url.href)) continue;
    const text = cleanText(page.$(node).text()).toLowerCase();
    if (NO_WEBSITE.test(text)) continue;
    if (
      /\b(web ?site|home ?page|visit)\b|^(www\.|https?:)/.test(text) ||
      text.includes(url.hostname.replace(/^www\./, ""))
    )
      yield url.href;
    if (!hosts.has(url.host)) hosts.set(url.host, url.href);
  }
  if (hosts.size === 1) yield* hosts.values();
}

function convert(text: string, field: Field, { page, region }: Source): Value | null {
  const mapped = lookUp(field.mapping, text);
  if (mapped === undefined && field.enum.length > 0) return canonical(field.enum, text);
  if (mapped !== undefined) return field.enum.length > 0 ? canonical(field.enum, String(mapped)) : mapped;
  return PARSERS[field.parser]!(text, { pageUrl: page.url, region });
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

/** "Address: 12 Main St", with the town behind labels of its own. */
function streetAlone([line = "", ...more]: readonly string[]): Address | null {
  const street = more.length === 0 && takeApart(line).every(({ kind }) => kind === "street");
  return street && line !== "" ? { street: line, city: null, state: null, postal_code: null, country: null } : null;
}

function findAddress({ page, scope, labels }: Source, schema: Schema): Address | null {
  for (const label of schema.address.labels) {
    const found = labels.get(label);
    const address =
      found === undefined ? null : (parseAddress(found.lines, regionOfPage(page)) ?? streetAlone(found.lines));
    if (address !== null) return address;
  }
  for (const css of schema.address.selectors) {
    if (!mayMatch(page, css)) continue;
    for (const node of findNodes(scope, css, 3)) {
      const address = parseAddress(textLines(page.$(node)), regionOfPage(page));
      if (address !== null) return address;
    }
  }
  return null;
}
