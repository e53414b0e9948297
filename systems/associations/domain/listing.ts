/**
 * What a directory page gives to a walk: the members on it, as addresses of their own pages or as the records themselves.
 *
 * Decided once on the first page: a schema of the association's own means records; else members' own pages are visited where most
 * entries link to one, because a page of its own says more than a line in a list; else the entries are the records.
 * Invariant: what the directory says of a member travels along, and fills what its own page leaves open.
 */
import type { Fields } from "./field-values.ts";
import type { Entry, ListReading, ListShape } from "./general/list.ts";
import { readList } from "./general/list.ts";
import { contactsIn } from "./general/member.ts";
import { readPart } from "./general/segments.ts";
import { memberLinks } from "./member-links.ts";
import type { Page } from "./page.ts";
import type { Controls } from "./pagination.ts";
import { readControls } from "./pagination.ts";
import type { Schema } from "./schema.ts";
import { urlKey } from "./url.ts";

export const MODES = ["detail", "list", "pdf"] as const;
/** Members have pages of their own, stand on the directory itself, or in a PDF file. */
export type Mode = (typeof MODES)[number];

/** How the pages of one directory are read. */
export interface Listing {
  mode: Mode;
  /** Where the members' addresses come from. */
  by: "selector" | "links" | "structure";
  shape: ListShape | null;
  /** What was read of the page that it was judged by. */
  list: ListReading | null;
}

export interface ListedMember {
  /** Identity: address of the member, or its text. */
  key: string;
  /** What the directory says of it. */
  fields: Fields | null;
}

export interface ListingOptions {
  schema: Schema;
  /** CSS selector of the links to members. */
  selector: string | null;
  /** The site's rules: pages that must not be fetched are no reason to follow links. */
  allows: (url: string) => boolean;
}

/** How to read a directory, judged by its first page. */
export function chooseListing(page: Page, { schema, selector, allows }: ListingOptions): Listing {
  if (selector !== null) return { mode: "detail", by: "selector", shape: null, list: null };
  const list = readList(page, schema, null, { trusting: true });
  if (schema.ownList && list !== null) return { mode: "list", by: "structure", shape: list.shape, list };
  const links = memberLinks(page, { exclude: readControls(page).letters }).filter(allows);
  const entries = list?.entries.length ?? 0;
  const profiles = profilesOf(list).filter(allows);
  if (list !== null && profiles.length >= entries * 0.6 && profiles.length * 1.2 >= alike(links, profiles))
    return { mode: "detail", by: "structure", shape: list.shape, list };
  if (links.length > 0 && links.length * 2 >= entries)
    return { mode: "detail", by: "links", shape: list?.shape ?? null, list };
  return list === null
    ? { mode: "detail", by: "links", shape: null, list }
    : { mode: "list", by: "structure", shape: list.shape, list };
}

/** How many of these links are of the same kind as those to the members: each entry may also link to a form or a map of its own. */
function alike(links: readonly string[], profiles: readonly string[]): number {
  const kind = (url: string) => {
    const { pathname, searchParams } = new URL(url);
    return searchParams.size > 0
      ? `${pathname}?${[...searchParams.keys()].join("&")}`
      : pathname.replace(/[^/]+\/?$/, "");
  };
  const kinds = new Set(profiles.map(kind));
  return links.filter((url) => kinds.has(kind(url))).length;
}

/** The members on a page of the directory, in order. */
export function listedOn(
  page: Page,
  listing: Listing,
  { schema, selector, controls }: { schema: Schema; selector: string | null; controls: Controls },
): ListedMember[] {
  const list = readList(page, schema, listing.shape);
  if (listing.mode === "list") return (list?.entries ?? []).map(({ text }) => ({ key: text, fields: null }));
  const known = new Map(
    (list?.entries ?? []).flatMap((entry) => (entry.profile === null ? [] : [[urlKey(entry.profile), entry]])),
  );
  const urls =
    listing.by === "structure"
      ? profilesOf(list)
      : memberLinks(page, { selector: selector ?? undefined, exclude: turnsOf(controls) });
  return urls.map((url) => ({ key: url, fields: saidOf(known.get(urlKey(url))) }));
}

/** How many members a page shows, as links or as records; `records` of them say how to reach somebody. */
export function countListed(page: Page, schema: Schema, selector: string | null): { shown: number; records: number } {
  const links = memberLinks(page, { selector: selector ?? undefined }).length;
  const entries = readList(page, schema, null, { trusting: true })?.entries ?? [];
  const telling = ["phone", "email", "website", "city", "state", "street"];
  const records = entries.filter(({ fields, sources }) =>
    telling.some((name) => (fields[name] ?? null) !== null && sources[name] !== "default"),
  );
  return { shown: Math.max(links, entries.length), records: records.length };
}

function profilesOf(list: ListReading | null): string[] {
  return [...new Set((list?.entries ?? []).flatMap(({ profile }) => (profile === null ? [] : [profile])))];
}

function turnsOf({ next, more, numbered, letters }: Controls): string[] {
  return [next, more, ...numbered.map(({ url }) => url), ...letters].filter((url): url is string => url !== null);
}

/** The fields that the directory itself gave, without the schema's defaults. */
function saidOf(entry: Entry | undefined): Fields | null {
  if (entry === undefined) return null;
  const said = Object.entries(entry.fields).filter(
    ([name, value]) => value !== null && entry.sources[name] !== "default",
  );
  return said.length === 0 ? null : Object.fromEntries(said);
}

/** Phones and mail addresses of the association's own: in the frame of a page that lists members, and beside what it lists. */
export function foreignContacts(page: Page, list: ListReading | null): string[] {
  const listed = list === null || list.entries.length < 2 ? readPart(page).segments : list.entries;
  const inside = new Set(contactsIn(listed.map(({ text }) => text)));
  const all = contactsIn(readPart(page, page.$("body"), { frames: true }).segments.map(({ text }) => text));
  return all.filter((contact) => !inside.has(contact));
}

const TELLING = ["phone", "email", "website", "street", "city", "state"];

/** The directory says more of a member than its name: enough for a record where its own page cannot be read. */
export function saysEnough(listed: Fields | null): listed is Fields {
  return listed !== null && Boolean(listed.company_name) && TELLING.some((name) => (listed[name] ?? null) !== null);
}
