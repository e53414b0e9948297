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
  const parsed = parsePhoneNumberFromString(plain, regionOf(region));
  if (parsed === undefined || !parsed.isPossible()) return null;
  // Local numbers without an area code have a possible length, but cannot be dialled from elsewhere.
  if (parsed.country === undefined && !plain.startsWith("+") && parsed.nationalNumber.length < 8) return null;
  return parsed.number;
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
  if (!/\d[\d\s().\-\u2010-\u2015/+]{5,}\d/.test(text)) return [];
  const found = findPhoneNumbersInText(text, regionOf(region)).map(({ number, startsAt, endsAt }) => ({
    number: number.number as string,
    start: startsAt,
    end: endsAt,
  }));
  for (const match of text.matchAll(NORTH_AMERICAN)) {
    const [start, end] = [match.index, match.index + match[0].length];
    const number = e164(match[0]);
    if (number !== null && !found.some((known) => known.start < end && start < known.end))
      found.push({ number, start, end });
  }
  return found
    .sort((a, b) => a.start - b.start)
    .map((phone) => ({ ...phone, fax: FAX.test(text.slice(Math.max(0, phone.start - 14), phone.start)) }));
}

const FAX = /\b(fax|facsimile|fx|f)( ?(no|number))?\W{0,4}$/i;

function regionOf(region: string): CountryCode {
  return isSupportedCountry(region) ? region : DEFAULT_REGION;
}
