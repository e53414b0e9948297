/**
 * The fields of a record by what its texts are, where nothing names them.
 *
 * Invariants: a value is text of the record itself; what a label says goes before what a text looks like; a fax number is no
 * phone number, and the address of a mail server no website.
 */
import { parseAddress } from "../address.ts";
import { emailIn } from "../parsers.ts";
import { phonesInText } from "../phone.ts";
import { nameOfRegion, regionOf, stateCode } from "../places.ts";
import { foreignStreet, foreignTown } from "../regions.ts";
import type { Reading, Segment } from "./segments.ts";
import { linkKind, piecesOf } from "./segments.ts";

export interface ContentFields {
  phone?: string;
  email?: string;
  website?: string;
  street?: string;
  city?: string;
  state?: string;
  postal_code?: string;
  country?: string;
}

/** What the texts of a range say. `name` is what the record is called: it is no street, even where it looks like one. */
export function contentFields(reading: Reading, start: number, end: number, name: string | null): ContentFields {
  const segments = reading.segments.slice(start, end);
  const own = name?.toLowerCase();
  const pieces = piecesOf(segments).filter(({ text }) => text.toLowerCase() !== own);
  const place = address(pieces);
  const region = place.country === undefined ? null : regionOf(place.country);
  return { ...reach(reading, pieces, { segments, region }), ...place };
}

function reach(
  reading: Reading,
  pieces: readonly Segment[],
  { segments, region }: { segments: readonly Segment[]; region: string | null },
): ContentFields {
  const fields: ContentFields = {};
  for (let at = 0; at < pieces.length; at++) {
    const { text, kind } = pieces[at]!;
    const fax = kind === "fax" || /^(fax|f|facsimile)\b/i.test(pieces[at - 1]?.text ?? "");
    // A number that is one only where its record says that it is.
    const maybe = region !== null && region !== "US" && (kind === "noise" || kind === "words") && /\d/.test(text);
    if ((kind === "phone" || maybe) && !fax)
      fields.phone ??= phonesInText(text, region ?? pieces[at]!.region ?? undefined).find(
        (phone) => !phone.fax,
      )?.number;
    else if (kind === "email") fields.email ??= emailIn(text) ?? undefined;
    else if (kind === "url" && linkKind(reading.page, `https://${text.replace(/^https?:\/\//i, "")}`) === "outside")
      fields.website ??= text;
  }
  for (const text of [...segments.map((segment) => segment.text), ...joinedLines(segments)]) {
    if (fields.email !== undefined) break;
    fields.email = emailIn(plainMail(text)) ?? undefined;
  }
  return withoutUndefined(fields);
}

/** A mail address may be cut into elements, so that robots do not see it: lines with a bare "@" are read in one. */
function joinedLines(segments: readonly Segment[]): string[] {
  const lines = new Map<number, string[]>();
  for (const { line, text, kind } of segments)
    if (kind !== "phone" && kind !== "label") lines.set(line, [...(lines.get(line) ?? []), text]);
  return [...lines.values()].flatMap((texts) => {
    const at = texts.findIndex((text) => /^[\s@]*@|@\s*$|^[[({]\s*at\s*[\])}]$/i.test(text));
    // The parts around the sign, as long as they could belong to an address.
    return at < 0 || texts.length < 2 ? [] : [around(texts, at)];
  });
}

function around(texts: readonly string[], at: number): string {
  const part = /^[\w.+@-]+$|^[[({]\s*(at|dot)\s*[\])}]$/i;
  let [first, last] = [at, at];
  while (first > 0 && part.test(texts[first - 1]!)) first--;
  while (last < texts.length - 1 && part.test(texts[last + 1]!)) last++;
  return texts.slice(first, last + 1).join("");
}

/** "office [at] acme [dot] com": written for people. */
function plainMail(text: string): string {
  return text.replace(/\s*[[({]\s*at\s*[\])}]\s*/gi, "@").replace(/\s*[[({]\s*dot\s*[\])}]\s*/gi, ".");
}

function address(pieces: readonly Segment[]): ContentFields {
  const at = pieces.findIndex(({ kind }) => kind === "place");
  const parsed =
    at >= 0
      ? parseAddress([...streetLines(pieces, at), placeText(pieces, at), ...behind(pieces, at)], pieces[at]!.region)
      : fromCells(pieces);
  if (parsed === null) {
    const street = pieces.find(({ kind }) => kind === "street")?.text;
    return street === undefined ? {} : { street };
  }
  return withoutUndefined({
    street: parsed.street ?? undefined,
    city: parsed.city ?? undefined,
    state: parsed.state ?? undefined,
    postal_code: parsed.postal_code ?? undefined,
    country: parsed.country ?? undefined,
  });
}

/** "Washington" and "DC 20001" in elements of their own: the place begins with the city before it. */
function placeText(pieces: readonly Segment[], at: number): string {
  const { text, region } = pieces[at]!;
  const before = pieces[at - 1];
  const abroad = foreignTown(text, region);
  if (abroad !== null) {
    const bareTown = abroad.city === null && before?.kind === "words" && /^[\p{L} .'’-]{2,40}$/u.test(before.text);
    return bareTown ? `${before.text}, ${text}` : text;
  }
  const bare = stateCode(text.replace(/ [A-Z]?\d.*$/, "")) !== null;
  const city = bare && before !== undefined && (before.kind === "words" || before.kind === "state");
  return city && /^[\p{L} .'’-]{2,40}$/u.test(before.text) ? `${before.text}, ${text}` : text;
}

/** The lines before `City, ST` that are a street: up to three, as long as one of them looks like it. */
function streetLines(pieces: readonly Segment[], place: number): string[] {
  const lines: string[] = [];
  const abroad = foreignTown(pieces[place]!.text, pieces[place]!.region);
  const from = placeText(pieces, place) === pieces[place]!.text ? place - 1 : place - 2;
  for (let at = from; at >= Math.max(0, from - 2); at--) {
    const { kind, text } = pieces[at]!;
    if (kind !== "street" && !/^\d+\s+\S/.test(text) && !(abroad !== null && foreignStreet(text, abroad))) break;
    if (kind !== "street" && kind !== "words") break;
    lines.unshift(text);
  }
  return lines;
}

/** A postal code or a country may stand in an element of its own. */
function behind(pieces: readonly Segment[], place: number): string[] {
  const next = pieces[place + 1];
  if (next?.kind === "postal" && !/\d{5}/.test(pieces[place]!.text)) return [next.text];
  return [];
}

const SUITE = /^(suite|ste|unit|floor|room|rm|bldg|building|#)\b/i;

/** City, state and postal code in elements of their own. */
function fromCells(pieces: readonly Segment[]): ReturnType<typeof parseAddress> {
  let at = pieces.findIndex(({ kind }) => kind === "state");
  const postal = pieces.find(({ kind }) => kind === "postal")?.text ?? null;
  if (at < 0 && postal === null) return null;
  // "New York", "NY": the first is the city.
  if (pieces[at + 1]?.kind === "state") at++;
  const state = at < 0 ? null : stateCode(pieces[at]!.text);
  const code = pieces.findIndex(({ kind }) => kind === "postal");
  const abroad = at < 0 && code >= 0 ? foreignTown(pieces[code]!.text, pieces[code]!.region) : null;
  if (abroad !== null) at = code;
  const town = pieces[at - 1];
  const words = town?.kind === "words" || town?.kind === "state";
  const city = words && /^[\p{L} .'’-]{2,40}$/u.test(town.text) ? town.text : null;
  const isStreet = ({ kind, text }: Segment) => kind === "street" || /^\d+ \p{L}/u.test(text);
  const before = pieces.slice(0, Math.max(at, 0));
  const last = before.findLastIndex(isStreet);
  // "31 Main St", "Suite 200": a line that a comma divided.
  const divided = last > 0 && SUITE.test(before[last]!.text) && isStreet(before[last - 1]!);
  const street = last < 0 ? null : divided ? `${before[last - 1]!.text}, ${before[last]!.text}` : before[last]!.text;
  return { street, city, state, postal_code: postal, country: abroad === null ? null : nameOfRegion(abroad.region) };
}

function withoutUndefined<T extends object>(fields: T): T {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as T;
}
