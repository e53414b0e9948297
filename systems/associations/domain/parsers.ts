/**
 * Parsers of single values. Each takes the text found and gives the value to store, or null when the text is not one.
 *
 * Decisions where the source contradicts itself: an unknown state stays as written (not its first two letters); names in mixed case
 * keep it (McAllen); `mailto:` and its subject are cut off; a link back to the directory is no website.
 */
import { e164, phonesInText } from "./phone.ts";
import { countryName, stateCode } from "./places.ts";
import { canonicalUrl, sameSite, wrappedUrl } from "./url.ts";

export type Value = string | number;
export interface ParserContext {
  pageUrl: string;
  /** Where numbers without a country code are dialled, as ISO code. Default: United States. */
  region?: string | undefined;
}
export type Parser = (text: string, context: ParserContext) => Value | null;

const SMALL_WORDS = /^(of|and|the|de|du|la|le|del|at|on|in)$/i;

/** Longer than any name of a place: the text is a part of the page that is called so by its class. */
const MAX_PLACE = 60;

function titleCase(text: string): string | null {
  if (text === "" || text.length > MAX_PLACE) return null;
  const mixed = text !== text.toUpperCase() && text !== text.toLowerCase();
  if (mixed) return text;
  const words = text.toLowerCase().split(" ");
  return words.map((word, index) => (index > 0 && SMALL_WORDS.test(word) ? word : capitalise(word))).join(" ");
}

function capitalise(word: string): string {
  const capital = word.replace(
    /(^|[-/(.])(\p{L})/gu,
    (_, before: string, letter: string) => before + letter.toUpperCase(),
  );
  return capital.replace(/^([OD]')(\p{L})/u, (_, before: string, letter: string) => before + letter.toUpperCase());
}

function phone(text: string, { region }: ParserContext): string | null {
  const whole = /fax/i.test(text) ? null : e164(text, region);
  return whole ?? phonesInText(text, region).find(({ fax }) => !fax)?.number ?? null;
}

function email(text: string): string | null {
  const address = safeDecode(text.replace(/^mailto:/i, "").split("?")[0]!)
    .trim()
    .toLowerCase();
  return /^[^\s@<>()]+@[^\s@<>()]+\.[^\s@<>().]+$/.test(address) ? address : null;
}

/** The first address of the net in running text. */
export function emailIn(text: string): string | null {
  const found = /[a-z0-9][a-z0-9._%+'-]*@[a-z0-9-]+(?:\.[a-z0-9-]+)*\.[a-z]{2,}/i.exec(text)?.[0];
  return found === undefined ? null : email(found);
}

function safeDecode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function website(text: string, { pageUrl }: ParserContext): string | null {
  const bare = text.trim();
  const absolute = /^https?:\/\//i.test(bare);
  if (!absolute && !/^(\/\/)?[\p{L}\p{N}-]+(\.[\p{L}\p{N}-]+)*\.\p{L}{2,}([/?#:]|$)/u.test(bare)) {
    const wrapped = bare.startsWith("/") ? wrappedUrl(URL.parse(bare, pageUrl)?.href ?? "") : null;
    return wrapped === null ? null : tidyUrl(wrapped);
  }
  const url = absolute ? bare : `https://${bare.replace(/^\/\//, "")}`;
  if (!sameSite(url, pageUrl)) return tidyUrl(url);
  const wrapped = wrappedUrl(url);
  return wrapped === null ? null : tidyUrl(wrapped);
}

function tidyUrl(url: string): string | null {
  const parsed = URL.parse(url);
  if (parsed === null || !parsed.hostname.includes(".")) return null;
  const bare = parsed.pathname === "/" && parsed.search === "" && parsed.hash === "";
  return bare ? parsed.href.replace(/\/$/, "") : parsed.href;
}

function postalCode(text: string): string | null {
  const us = /\b\d{5}(?:-\d{4})?\b/.exec(text)?.[0];
  const canadian = /\b[A-Z]\d[A-Z][ -]?\d[A-Z]\d\b/i.exec(text)?.[0]?.toUpperCase();
  const other = /^[A-Z\d][A-Z\d -]{2,9}$/i.test(text) && /\d/.test(text) ? text.toUpperCase() : null;
  return us ?? canadian ?? other;
}

function numberIn(text: string, pattern: RegExp): number | null {
  const match = pattern.exec(text.replace(/(?<=\d),(?=\d{3}\b)/g, ""))?.[0];
  const value = match === undefined ? Number.NaN : Number(match);
  return Number.isFinite(value) ? value : null;
}

function beforeComma(text: string): string | null {
  const at = text.lastIndexOf(",");
  return titleCase((at < 0 ? text : text.slice(0, at)).trim());
}

function afterComma(text: string): string | null {
  const at = text.lastIndexOf(",");
  if (at < 0) return null;
  const state = text.slice(at + 1).trim();
  return stateCode(state) ?? (state || null);
}

/** What is known, else the text as it stands where it can be a place. */
const placeOr =
  (known: (text: string) => string | null): Parser =>
  (text) =>
    known(text) ?? (text === "" || text.length > MAX_PLACE || /\d{3}|@/.test(text) ? null : text);

/** All parsers that a schema may name. */
export const PARSERS: Readonly<Record<string, Parser>> = {
  text: (text) => text || null,
  title_case: titleCase,
  state_code: placeOr(stateCode),
  country: placeOr(countryName),
  postal_code: postalCode,
  year: (text) => numberIn(text, /\b(?:19|20)\d{2}\b/),
  integer: (text) => numberIn(text, /-?\d+/),
  number: (text) => numberIn(text, /-?\d+(?:\.\d+)?/),
  phone,
  email,
  url: website,
  page_url: (text, { pageUrl }) => canonicalUrl(text, pageUrl),
  pma_city: beforeComma,
  pma_state: afterComma,
  pma_member_id: (text) => /[?&]id=(\d+)/i.exec(text)?.[1] ?? null,
};
