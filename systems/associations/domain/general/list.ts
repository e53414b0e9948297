/**
 * The records of a page that lists members: where they stand, and each with its fields.
 *
 * Three sources compete: the schema's list items, the structure of the page, and data that the page carries. Data also fills gaps.
 * Invariants: a schema of the association's own is never overruled; a shape found on one page gives the records of the next ones
 * too, even of a last page with a single record; every entry comes out, those without a required field with what is missing.
 */
import type { Fields, Hints } from "../field-values.ts";
import { extractFields } from "../field-values.ts";
import { eligibleLink, namesMember } from "../member-links.ts";
import type { Page, Scope } from "../page.ts";
import { cleanText } from "../page.ts";
import type { Schema } from "../schema.ts";
import { confidenceOf, missingFields } from "../schema.ts";
import { resolveUrl } from "../url.ts";
import { columnsOf } from "./columns.ts";
import { dataFields, fillByName } from "./data-fields.ts";
import type { DataGroup } from "./embedded.ts";
import { dataGroups } from "./embedded.ts";
import type { ContentFields } from "./fill.ts";
import { contentFields } from "./fill.ts";
import type { FoundBlocks, Reach } from "./find.ts";
import { findAgain, findBlocks, reaches, usualFacts } from "./find.ts";
import { listItems } from "./items.ts";
import { nameKeys, namesAt } from "./names.ts";
import type { BlockFacts } from "./score.ts";
import { rangeOf, scoreBlocks, sumsOf } from "./score.ts";
import type { Reading, Segment } from "./segments.ts";
import { linkKind, piecesOf, readPart } from "./segments.ts";
import type { Block, Shape } from "./shape.ts";

/** Where records stand, as it passes from job to job. */
export type ListShape =
  | { by: "items" }
  | { by: "data"; path: string }
  /** `reach`: every record said how to reach somebody, so what does not is none. `usual`: what nearly all of them had. */
  | { by: "structure"; shape: Shape; names: string[]; reach: boolean; usual?: Reach[] };

export interface Entry {
  fields: Fields;
  sources: Record<string, string>;
  confidence: number;
  /** Required fields it lacks. */
  missing: string[];
  text: string;
  /** Its own page on this site. */
  profile: string | null;
}

export interface ListReading {
  shape: ListShape;
  entries: Entry[];
}

/** Structure alone makes a list only with this share of entries that say how to reach somebody. */
const MIN_CONTACT = 0.5;

export interface ReadOptions {
  /** The page is known to list members, so names with links are enough. */
  trusting?: boolean;
}

/** The records of a page, or null where it lists none. */
export function readList(
  page: Page,
  schema: Schema,
  known: ListShape | null = null,
  { trusting = false }: ReadOptions = {},
): ListReading | null {
  const items = listItems(page, schema, known?.by === "items" ? 1 : undefined);
  if (schema.ownList) return items.length === 0 ? null : fromItems(page, schema, items);
  const groups = dataGroups(page);
  const again = known === null ? null : readAgain(page, schema, known, { items, groups });
  if (again !== null) return again;
  const reading = readPart(page);
  const found = bestStructure(reading, items, { trusting: trusting && known === null });
  const data = groups[0];
  // Data on the page of one member speaks of its neighbours and of the association as well.
  const enough = data !== undefined && (trusting || known !== null || (data.records.length > 2 && !headed(page, data)));
  if (enough && prefersData(data, found))
    return { shape: { by: "data", path: data.path }, entries: fromData(page, schema, data) };
  if (found === null && known === null && trusting && items.length < 2) return onlyMember(page, schema);
  if (found === null) return items.length > 1 && known === null ? fromItems(page, schema, items) : null;
  if (found === "items") return withData(fromItems(page, schema, items), groups, page, schema);
  const names = nameKeys(reading, found.facts);
  const entries = fromFacts(reading, schema, withNameless(reading, found, names), names);
  return withData(
    {
      shape: {
        by: "structure",
        shape: found.shape,
        names,
        reach: found.facts.every(reaches),
        usual: usualFacts(found.facts),
      },
      entries,
    },
    groups,
    page,
    schema,
  );
}

/** A directory of one member: a box that calls itself an entry, below a heading that is not the member's. */
function onlyMember(page: Page, schema: Schema): ListReading | null {
  const items = listItems(page, schema, 1);
  const list = items.length === 1 ? fromItems(page, schema, items) : null;
  const [entry] = list?.entries ?? [];
  if (entry === undefined || entry.missing.length > 0) return null;
  const heading = cleanText(page.$("h1").first().text()).toLowerCase();
  const reached = ["phone", "email", "website", "city", "state"].some(
    (name) => (entry.fields[name] ?? null) !== null && entry.sources[name] !== "default",
  );
  return reached && heading !== "" && heading !== String(entry.fields.company_name).toLowerCase() ? list : null;
}

function readAgain(
  page: Page,
  schema: Schema,
  known: ListShape,
  { items, groups }: { items: Scope[]; groups: DataGroup[] },
): ListReading | null {
  if (known.by === "items")
    return items.length === 0 ? null : withData(fromItems(page, schema, items), groups, page, schema);
  if (known.by === "data") {
    const group = groups.find(({ path }) => path === known.path);
    return group === undefined ? null : { shape: known, entries: fromData(page, schema, group) };
  }
  const reading = readPart(page);
  const found = findAgain(reading, known.shape, { reach: known.reach, usual: known.usual ?? [] });
  if (found === null) return null;
  return withData(
    { shape: known, entries: fromFacts(reading, schema, withNameless(reading, found, known.names), known.names) },
    groups,
    page,
    schema,
  );
}

/** The blocks with a text in the name's place, in the order of the page. */
function withNameless(reading: Reading, { facts, nameless }: FoundBlocks, keys: readonly string[]): BlockFacts[] {
  const named = namesAt(reading, nameless, keys.slice(0, 1));
  return [...facts, ...nameless.filter((_, at) => named[at] !== null)].sort((a, b) => a.start - b.start);
}

/** The structure that scores best; the schema's guesses are believed where they do about as well. */
function bestStructure(
  reading: Reading,
  items: Scope[],
  { trusting }: { trusting: boolean },
): FoundBlocks | "items" | null {
  const found = findBlocks(reading);
  const guessed =
    items.length < 2
      ? null
      : scoreBlocks(
          sumsOf(reading),
          items.map((item) => ({ nodes: item.toArray() })),
        );
  if (guessed !== null && guessed.score * 1.1 >= (found?.score ?? 0)) return "items";
  if (found === null) return null;
  if (isMenu(reading, found)) return null;
  return trusting || (found.contact >= MIN_CONTACT && found.facts.length > 2) ? found : null;
}

/** Fewer names than this, without a word of how to reach them, are as likely anything else. */
const MIN_BARE_NAMES = 5;

/** Links to parts of the site itself, or too few names to tell. */
function isMenu({ page, segments }: Reading, { facts, contact }: FoundBlocks): boolean {
  const own = facts.map(
    ({ start, end }) => segments.slice(start, end).find(({ href }) => linkKind(page, href) === "inside")?.href ?? null,
  );
  const linked = own.filter((href) => href !== null);
  // A line of the menu beside the one member of a page.
  const stray = facts.some(
    (one, at) => !reaches(one) && (own[at] ?? null) !== null && !namesMember(resolveUrl(own[at]!, page.base) ?? ""),
  );
  if (contact >= MIN_CONTACT) return facts.length < MIN_BARE_NAMES && stray;
  if (facts.length < MIN_BARE_NAMES)
    return linked.length < facts.length || !linked.every((href) => namesMember(resolveUrl(href, page.base) ?? ""));
  return (
    linked.length * 2 > facts.length &&
    linked.filter((href) => eligibleLink(page, href) !== null).length < linked.length * 0.7
  );
}

function headed(page: Page, { records }: DataGroup): boolean {
  const heading = cleanText(page.$("h1").first().text()).toLowerCase();
  return records.some(({ company_name }) => company_name!.toLowerCase() === heading);
}

/** Data wins where it knows clearly more members than the page shows, or where the page shows none. */
function prefersData(data: DataGroup, found: FoundBlocks | "items" | null): boolean {
  if (found === null) return data.records.length > 1;
  if (found === "items") return false;
  return (
    data.records.length > found.facts.length * 1.2 ||
    (found.contact < 0.3 && data.records.length >= found.facts.length * 0.8)
  );
}

function fromItems(page: Page, schema: Schema, items: Scope[]): ListReading {
  const reading = readPart(page, page.$("body"), { frames: true });
  const facts = items.map((item) => blockOf(reading, { nodes: item.toArray() }));
  const names = schema.ownList ? [] : nameKeys(reading, facts);
  return { shape: { by: "items" }, entries: fromFacts(reading, schema, facts, names, { plain: schema.ownList }) };
}

function blockOf(reading: Reading, block: Block): BlockFacts {
  const { start, end } = rangeOf(reading, block) ?? { start: 0, end: 0 };
  return { block, start, end, counts: { name: 0, phone: 0, email: 0, website: 0, place: 0, profile: 0 }, name: null };
}

/** `plain`: the schema says where everything is, and nothing is guessed beside it. */
function fromFacts(
  reading: Reading,
  schema: Schema,
  facts: readonly BlockFacts[],
  keys: readonly string[],
  { plain = false } = {},
): Entry[] {
  const { page } = reading;
  const { names, tails } = withoutTails(namesAt(reading, facts, keys), textsIn(reading, facts));
  const towns = new Set(tails.flatMap((town) => (town === null ? [] : [town.toLowerCase()])));
  const profiles = profileLinks(reading, facts, names);
  return facts.map(({ block, start, end }, at) => {
    const name = names[at] ?? null;
    const scope = scopeOf(page, block);
    const hints: Hints = plain
      ? {}
      : {
          name: name === null ? null : bareName(name.text),
          profile: profiles[at] ?? null,
          content: withTown(
            contentFields(reading, start, end, name?.text ?? null),
            tails[at] ?? townIn(reading, { start, end, towns }),
          ),
          columns: columnsOf(block),
        };
    const { fields, sources } = extractFields(page, scope, schema, { single: false, hints });
    return {
      fields,
      sources,
      confidence: confidenceOf(fields, schema),
      missing: missingFields(fields, schema),
      // Logos have no text.
      text: cleanText(scope.text()) || String(fields.company_name ?? ""),
      profile: profiles[at] ?? null,
    };
  });
}

function scopeOf(page: Page, { nodes }: Block): Scope {
  if (nodes.length === 1 && nodes[0].type === "tag") return page.$(nodes[0]);
  const wrapper = page.$("<div></div>");
  for (const node of nodes) wrapper.append(page.$(node).clone());
  return wrapper;
}

/**
 * "Acme, Dayton" beside "Beta, Dayton": what stands behind the last comma is the place, and no part of the name, where it repeats
 * or where it stands behind nearly every name.
 */
function withoutTails(
  found: readonly (Segment | null)[],
  texts: ReadonlySet<string>,
): { names: (Segment | null)[]; tails: (string | null)[] } {
  const tails = found.map((name) => {
    const match = /^(.{2,}),\s+(\p{Lu}[\p{L} .'-]{2,29})$/u.exec(name?.text ?? "");
    return match === null || LEGAL_TAIL.test(match[2]!) ? null : { name: match[1]!, town: match[2]! };
  });
  const towns = tails.flatMap((tail) => (tail === null ? [] : [tail.town.toLowerCase()]));
  const repeated = new Set(towns).size <= towns.length * 0.7;
  // Behind a linked name the place is a text of its own, behind others it is not.
  const known = towns.length >= 3 && towns.filter((town) => texts.has(town)).length >= towns.length * 0.7;
  const isColumn = known || (towns.length >= 5 && towns.length >= found.length * (repeated ? 0.6 : 0.9));
  if (!isColumn) return { names: [...found], tails: found.map(() => null) };
  return {
    names: found.map((name, at) => (name === null || !tails[at] ? name : { ...name, text: tails[at].name })),
    tails: tails.map((tail) => tail?.town ?? null),
  };
}

/** A text that stands behind other names as their place. */
function townIn(
  { segments }: Reading,
  { start, end, towns }: { start: number; end: number; towns: ReadonlySet<string> },
): string | null {
  if (towns.size === 0) return null;
  return piecesOf(segments.slice(start + 1, end)).find(({ text }) => towns.has(text.toLowerCase()))?.text ?? null;
}

function textsIn({ segments }: Reading, facts: readonly BlockFacts[]): ReadonlySet<string> {
  const all = facts.flatMap(({ start, end }) => piecesOf(segments.slice(start, end)));
  return new Set(all.map(({ text }) => text.toLowerCase()));
}

function withTown(content: ContentFields, town: string | null): ContentFields {
  return town === null || content.city !== undefined || content.state !== undefined
    ? content
    : { ...content, city: town };
}

const LEGAL_TAIL = /^(inc|llc|l\.l\.c|ltd|corp|co|company|limited|lp|llp|plc|gmbh|jr|sr)\.?$/i;

function bareName(text: string): string {
  return text
    .replace(/^(?:company|member|business|organi[sz]ation|firm)?\s*(?:name)?\s*:\s*/i, "")
    .replace(/^\d{1,4}[.)]\s+/, "");
}

const PROFILE_TEXT = /\b(profile|details?|more|view|learn|info|information|listing|full|page)\b/i;
const OTHER_TEXT =
  /\b(map|directions?|e-?mail|contact|website|visit|call|claim|share|print|save|favou?rite|compare|edit|log ?in|vcard|review|quote)\b/i;

/** The link of each record to its own page: around its name, else the one that says so, else the only one. Distinct, or none at all. */
function profileLinks(
  reading: Reading,
  facts: readonly BlockFacts[],
  names: readonly (Segment | null)[],
): (string | null)[] {
  const { page } = reading;
  const inside = (href: string | null) => (linkKind(page, href) === "inside" ? eligibleLink(page, href) : null);
  const links = facts.map(({ start, end }, at) => {
    const own = inside(names[at]?.href ?? null);
    if (own !== null) return own;
    const linked = reading.segments.slice(start, end).filter(({ href }) => inside(href) !== null);
    const saying = linked.find(({ text }) => PROFILE_TEXT.test(text) && !OTHER_TEXT.test(text));
    const all = new Set(linked.filter(({ text }) => !OTHER_TEXT.test(text)).map(({ href }) => inside(href)));
    return inside(saying?.href ?? null) ?? (all.size === 1 ? [...all][0]! : null);
  });
  const given = links.filter((link) => link !== null);
  const distinct = new Set(given).size;
  return distinct * 2 > facts.length && distinct > given.length * 0.6 ? links : links.map(() => null);
}

function fromData(page: Page, schema: Schema, group: DataGroup): Entry[] {
  return group.records.map((record) => {
    const { fields, sources } = dataFields(record, schema, page.url);
    return {
      fields,
      sources,
      confidence: confidenceOf(fields, schema),
      missing: missingFields(fields, schema),
      text: Object.values(record).join(" "),
      profile: eligibleLink(page, record.profile_url ?? record.website ?? null),
    };
  });
}

/** Gaps filled from the page's data where it names the same member. */
function withData(list: ListReading, groups: readonly DataGroup[], page: Page, schema: Schema): ListReading {
  for (const group of groups.slice(0, 3)) {
    const named = new Map(group.records.map((record) => [record.company_name!.toLowerCase(), record]));
    for (const entry of list.entries) {
      const record =
        typeof entry.fields.company_name === "string" ? named.get(entry.fields.company_name.toLowerCase()) : undefined;
      if (record !== undefined) fillByName(entry, dataFields(record, schema, page.url));
    }
  }
  return list;
}
