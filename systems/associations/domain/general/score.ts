/**
 * How much a set of blocks looks like the records of a directory.
 *
 * A record has a name of its own and says how to reach somebody: phone, mail, website, place. In a good set nearly all blocks have
 * the same kinds of these, each once. Halves of records and rows of several records do worse than the records themselves.
 */
import { namesOthers } from "../directory.ts";
import type { Reading, Segment } from "./segments.ts";
import { isUnusual, linkKind, piecesOf } from "./segments.ts";
import type { Block } from "./shape.ts";
import { classesOf } from "./shape.ts";

type Fact = "name" | "phone" | "email" | "website" | "place" | "profile";

export interface BlockFacts {
  block: Block;
  start: number;
  end: number;
  /** Occurrences of each. */
  counts: Record<Fact, number>;
  /** Best candidate for a name, only for judging the set. */
  name: string | null;
}

/** Sums over the texts of a page, so that any block is judged in constant time. */
export interface Sums {
  reading: Reading;
  /** By text: it stands below a heading that announces others than members. */
  beside: Uint8Array;
  of: Record<Fact | "postal" | "town" | "heading", Int32Array>;
}

export interface Scored {
  score: number;
  facts: BlockFacts[];
  /** Share of blocks that have any way to reach somebody. */
  contact: number;
}

/** A row with a letter between the members speaks neither for them nor against them. */
const LETTER_CHARS = 3;
/** Of staff and news, what members there are is believed first. */
const BESIDE = 0.3;
const FRAMED = 0.3;
const WEIGHTS: Record<Fact, number> = { name: 0.5, phone: 1, email: 0.8, website: 0.8, place: 1, profile: 0.4 };
const LEGAL_FORM =
  /\b(inc|llc|l\.l\.c|ltd|corp|co|company|corporation|group|industries|manufacturing|mfg|products|services|solutions|systems|international|associates|partners|enterprises|technologies|supply|works?|shop|bros|brothers|sons|gmbh|plc|llp|s\.?a\.?)\b\.?/i;
const MEMBER_WORD =
  /(member|compan|director|listing|result|roster|vendor|supplier|exhibitor|business|profile|organi[sz]ation|firm|entry|partner|dealer)/i;

export function sumsOf(reading: Reading): Sums {
  const size = reading.segments.length + 1;
  const names = ["name", "phone", "email", "website", "place", "profile", "postal", "town", "heading"] as const;
  const of = Object.fromEntries(names.map((name) => [name, new Int32Array(size)])) as Sums["of"];
  reading.segments.forEach((segment, at) => {
    const own = factsOf(reading, segment);
    for (const name of names) of[name][at + 1] = of[name][at]! + (own[name] ?? 0);
  });
  return { reading, of, beside: besideMembers(reading) };
}

/** Marks what stands below headings such as "Board of Directors" or "News", up to the next heading of that rank. */
function besideMembers({ segments }: Reading): Uint8Array {
  const marks = new Uint8Array(segments.length);
  const open: { rank: number; others: boolean }[] = [];
  segments.forEach(({ element, text }, at) => {
    const rank = Number(
      /^h([1-6])$/.exec(element?.name ?? "")?.[1] ?? /^h([1-6])$/.exec(element?.parent?.name ?? "")?.[1],
    );
    if (rank > 0) {
      while (open.length > 0 && open.at(-1)!.rank >= rank) open.pop();
      open.push({ rank, others: namesOthers(text) });
    }
    if (open.some(({ others }) => others)) marks[at] = 1;
  });
  return marks;
}

function factsOf(reading: Reading, segment: Segment): Partial<Record<keyof Sums["of"], number>> {
  const facts: Partial<Record<keyof Sums["of"], number>> = {};
  const link = linkKind(reading.page, segment.href);
  for (const { kind, text } of piecesOf([segment])) {
    if (kind === "phone") facts.phone = (facts.phone ?? 0) + 1;
    else if (kind === "email") facts.email = 1;
    else if (kind === "url") facts.website = 1;
    else if (kind === "place" || kind === "state") facts.place = (facts.place ?? 0) + 1;
    if (kind === "place") facts.town = (facts.town ?? 0) + 1;
    if (kind === "postal" || (kind === "place" && /\d{5}/.test(text))) facts.postal = (facts.postal ?? 0) + 1;
    if (kind === "words" && text.length <= 100 && isUnusual(reading, segment)) facts.name = 1;
  }
  if (link === "tel") facts.phone = 1;
  else if (link === "mail") facts.email = 1;
  else if (link === "outside") facts.website = 1;
  else if (link === "inside") facts.profile = 1;
  if (/^h[1-6]$/.test(segment.element?.name ?? "") || /^h[1-6]$/.test(segment.element?.parent?.name ?? ""))
    facts.heading = 1;
  return facts;
}

/** The texts of a block; null where it has none. Frames inside of it, such as a pager at its end, have none. */
export function rangeOf({ ranges }: Reading, { nodes }: Block): { start: number; end: number } | null {
  const known = nodes.flatMap((node) => ranges.get(node) ?? []);
  const [start, end] = [known[0]?.start ?? 0, known.at(-1)?.end ?? 0];
  return end > start ? { start, end } : null;
}

/** The facts of one block; null where it holds no text. */
export function factsOfBlock(sums: Sums, block: Block): BlockFacts | null {
  const { reading, of } = sums;
  const range = rangeOf(reading, block);
  if (range === null) return null;
  const { start, end } = range;
  const count = (fact: keyof Sums["of"]) => of[fact][end]! - of[fact][start]!;
  const counts: BlockFacts["counts"] = {
    name: count("name"),
    phone: count("phone"),
    email: count("email"),
    website: count("website"),
    place: Math.max(count("postal"), count("town"), Math.min(count("place"), 1)),
    profile: count("profile"),
  };
  let name: string | null = null;
  for (let at = start; at < end && name === null; at++) {
    const segment = reading.segments[at]!;
    if (of.name[at + 1]! > of.name[at]!) name = segment.text;
  }
  return { block, start, end, counts, name };
}

/** Judges a set of blocks; null where it cannot be one of records. */
export function scoreBlocks(sums: Sums, blocks: readonly Block[]): Scored | null {
  const all = blocks
    .map((block) => factsOfBlock(sums, block))
    .filter((one): one is BlockFacts => one !== null && textLength(sums.reading, one.start, one.end) > LETTER_CHARS);
  const named = all.filter(({ counts }) => counts.name > 0);
  const among = named.filter(({ start }) => sums.beside[start] === 0);
  const facts = among.length < 2 ? named : among;
  if (facts.length < 2) return null;
  const share = (fact: Fact) => facts.filter(({ counts }) => counts[fact] > 0).length / facts.length;
  const names = new Set(facts.map(({ name }) => name!.toLowerCase()));
  const distinct = names.size / facts.length;
  if (distinct < 0.5) return null;
  const contact =
    facts.filter(({ counts }) => counts.phone + counts.email + counts.website + counts.place > 0).length / facts.length;
  let profile = 0;
  for (const fact of Object.keys(WEIGHTS) as Fact[]) profile += WEIGHTS[fact] * share(fact) ** 2;
  const purity = named.length / all.length;
  const score =
    ((among.length < 2 ? BESIDE : 1) *
      (isFramed(facts) ? FRAMED : 1) *
      (facts.length ** 0.8 * profile ** 1.5 * distinct * purity * wording(sums, facts))) /
    crowding(sums, facts);
  return { score, facts, contact };
}

/** A few blocks of which one has nearly everything: the page between its head and its foot. */
function isFramed(facts: readonly BlockFacts[]): boolean {
  const sizes = facts.map(({ start, end }) => end - start);
  const largest = Math.max(...sizes);
  return facts.length <= 5 && largest >= 6 && largest > sizes.reduce((sum, size) => sum + size, 0) * 0.65;
}

/** Several postal codes or headings in one block: it holds several records. */
function crowding({ of }: Sums, facts: readonly BlockFacts[]): number {
  const mean = (value: (one: BlockFacts) => number, free: number) => {
    const present = facts.map(value).filter((count) => count > 0);
    if (present.length * 2 < facts.length) return 1;
    return Math.max(1, present.reduce((sum, count) => sum + count, 0) / present.length / free);
  };
  const inside = (name: keyof Sums["of"]) => (one: BlockFacts) => of[name][one.end]! - of[name][one.start]!;
  // A record with one heading may have a second address, for its mail.
  const headed = facts.filter((one) => inside("heading")(one) === 1).length >= facts.length * 0.9;
  return Math.max(
    mean((one) => one.counts.place, headed ? 2 : 1),
    mean((one) => one.counts.phone, 3),
    mean((one) => one.counts.email, 2),
    mean(inside("heading"), 2),
  );
}

/** Words of members around the blocks and forms of companies in the names speak for a set, sentences against it. */
function wording({ reading }: Sums, facts: readonly BlockFacts[]): number {
  const lengths = facts.map(({ name }) => name!.length);
  const mean = lengths.reduce((sum, length) => sum + length, 0) / lengths.length;
  const legal = facts.filter(({ name }) => LEGAL_FORM.test(name!)).length / facts.length;
  const long = facts.filter(({ start, end }) => textLength(reading, start, end) > 2_500).length / facts.length;
  return (
    (1 + 0.5 * legal) *
    (aboutMembers(facts[0]!.block.nodes[0]) ? 1.3 : 1) *
    (mean > 60 ? 0.5 : 1) *
    (mean < 3 ? 0.2 : 1) *
    (1 - 0.7 * long)
  );
}

function textLength({ segments }: Reading, start: number, end: number): number {
  let length = 0;
  for (let at = start; at < end; at++) length += segments[at]!.text.length;
  return length;
}

function aboutMembers(node: any): boolean {
  for (
    let at = node, depth = 0;
    at !== null && at !== undefined && depth < 4 && at.name !== "body";
    at = at.parent, depth++
  ) {
    if (MEMBER_WORD.test(`${classesOf(at).join(" ")} ${at.attribs?.id ?? ""}`)) return true;
  }
  return false;
}
