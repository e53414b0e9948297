/**
 * Telephone numbers by libphonenumber: stored as E.164, found in running text, never guessed.
 *
 * Invariants: what is returned stands on the page; a number in running text counts only when it is valid in its country, a labelled
 * one also when merely its length is possible; a fax number is no telephone number.
 */
import type { CountryCode } from "libphonenumber-js";
import { findPhoneNumbersInText, isSupportedCountry, parsePhoneNumberFromString } from "libphonenumber-js";

export const DEFAULT_REGION = "US";

/** The number as E.164 (`+15055550123`), without its extension; null when the text is no number of a possible length. */
export function e164(text: string, region: string = DEFAULT_REGION): string | null {
  const plain = text
    .replace(/^tel:/i, "")
    .replace(/[\u2010-\u2015\u2212]/g, "-")
    .trim();
  const usual = usualForm(plain, region) ?? wordForm(plain);
  if (usual !== null) return usual;
  const parsed = parsePhoneNumberFromString(plain, regionOf(region));
  // A list of another country may have members of North America.
  if (parsed?.isValid() === false && region !== "US" && region !== "CA") {
    const american = usualForm(plain, "US");
    if (american !== null) return american;
  }
  if (parsed === undefined || !parsed.isPossible()) return null;
  // Local numbers without an area code have a possible length, but cannot be dialled from elsewhere.
  if (parsed.country === undefined && !plain.startsWith("+") && parsed.nationalNumber.length < 8) return null;
  return parsed.number;
}

/** Ten digits of North America need no table of the world's numbers; the library takes a hundred times as long to say the same. */
function usualForm(text: string, region: string): string | null {
  if (region !== "US" && region !== "CA") return null;
  const digits = /^(?:\+?1[\s.-]?)?\(?([2-9]\d{2})\)?[\s./-]{0,3}([2-9]\d{2})[\s.-]{0,3}(\d{4})$/.exec(text);
  return digits === null ? null : `+1${digits[1]}${digits[2]}${digits[3]}`;
}

const WORDS =
  /(?<![\d.(/-])(?:\+?1[\s.-]?)?\(?(8(?:00|33|44|55|66|77|88))\)?[\s.-]{1,3}(?=[\dA-Z-]*[A-Z]{2})([\dA-Z](?:[\s.-]?[\dA-Z]){6,10})(?![a-z\d])/g;

/** `1-800-FLOWERS`: letters for the digits of the keys they stand on; what is more than seven is only for the eye. */
function wordForm(text: string): string | null {
  const match = new RegExp(`^${WORDS.source}$`).exec(text);
  return match === null ? null : wordNumber(match);
}

const KEYS = ["ABC", "DEF", "GHI", "JKL", "MNO", "PQRS", "TUV", "WXYZ"];

function wordNumber([, area, word = ""]: RegExpExecArray | RegExpMatchArray): string | null {
  const digits = word
    .replace(/[^\dA-Z]/g, "")
    .replace(/[A-Z]/g, (letter) => String(KEYS.findIndex((key) => key.includes(letter)) + 2))
    .slice(0, 7);
  return `+1${area}${digits}`;
}

/** True when the number is valid where it belongs. */
export function isValidPhone(text: string, region: string = DEFAULT_REGION): boolean {
  return parsePhoneNumberFromString(text, regionOf(region))?.isValid() ?? false;
}

export interface PhoneInText {
  number: string;
  start: number;
  end: number;
  /** The words before it say fax. */
  fax: boolean;
}

// Written as numbers of North America are written; whether such a number is in service, its digits cannot tell.
const NORTH_AMERICAN = /(?<![\d.(/-])(?:\+?1[\s.-]?)?(?:\(\d{3}\)\s?|\d{3}[\s.-])\d{3}[\s.-]\d{4}(?![\d-])/g;

/** The numbers in running text, in order: valid ones, and those in the shape of North American numbers. */
export function phonesInText(text: string, region: string = DEFAULT_REGION): PhoneInText[] {
  const found: Omit<PhoneInText, "fax">[] = [];
  if (/8\d\d/.test(text))
    for (const match of text.matchAll(WORDS))
      found.push({ number: wordNumber(match)!, start: match.index, end: match.index + match[0].length });
  if (!DIGITS.test(text)) return found.map((phone) => ({ ...phone, fax: false }));
  const abroad = region !== "US" && region !== "CA";
  for (const match of text.matchAll(NORTH_AMERICAN)) {
    // "089 123 4567": elsewhere such a group may be an area code of another kind.
    if (abroad && !/^(?:\+?1[\s.-]?)?\(?[2-9]/.test(match[0])) continue;
    const number = e164(match[0]);
    if (number !== null) found.push({ number, start: match.index, end: match.index + match[0].length });
  }
  const rest = found.reduce(
    (left, { start, end }) => left.slice(0, start) + "#".repeat(end - start) + left.slice(end),
    text,
  );
  if (DIGITS.test(rest))
    for (const { number, startsAt, endsAt } of findPhoneNumbersInText(rest, regionOf(region)))
      found.push({ number: number.number, start: startsAt, end: endsAt });
  return found
    .sort((a, b) => a.start - b.start)
    .map((phone) => ({ ...phone, fax: FAX.test(text.slice(Math.max(0, phone.start - 14), phone.start)) }));
}

const DIGITS = /\d[\d\s().\-\u2010-\u2015/+]{5,}\d/;
const FAX = /\b(fax|facsimile|fx|f)( ?(no|number))?\W{0,4}$/i;

function regionOf(region: string): CountryCode {
  return isSupportedCountry(region) ? region : DEFAULT_REGION;
}
