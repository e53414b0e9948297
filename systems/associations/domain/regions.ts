/**
 * Addresses and pages outside of North America: which country a page speaks for, and how towns are written there.
 *
 * Some postal codes say their country by themselves (S1 2HE, NSW 2150, 1012 AB); others are digits that mean something only where the
 * page or the record says its country. Invariant: without such a sign nothing is foreign, so lists of the United States read as before.
 */
import type { Page } from "./page.ts";
import { cleanText } from "./page.ts";

export interface Town {
  city: string | null;
  state: string | null;
  postal_code: string;
  /** ISO code of the country. */
  region: string;
  /** The postal code stands before the town, and the number behind the street. */
  before: boolean;
}

const BRITISH = "(?:GIR ?0AA|[A-Z]{1,2}\\d[A-Z\\d]? ?\\d[ABD-HJLNP-UW-Z]{2})";
const IRISH = "(?:[AC-FHKNPRTV-Y]\\d[\\dW] ?[\\dAC-FHKNPRTV-Y]{4})";
const CITY = "\\p{L}[\\p{L} .'’()/-]{1,38}";
/** The town may be missing: it stands in the line before. */
const BEHIND: readonly { region: string; form: RegExp }[] = [
  { region: "GB", form: new RegExp(`^(?:(?<city>${CITY}?)[\\s,]+)?(?<code>${BRITISH})$`, "iu") },
  { region: "IE", form: new RegExp(`^(?:(?<city>${CITY}?)[\\s,]+)?(?<code>${IRISH})$`, "u") },
  {
    region: "AU",
    form: new RegExp(
      `^(?:(?<city>${CITY}?)[\\s,]+)?(?<state>NSW|VIC|QLD|WA|SA|TAS|ACT|NT|Vic|Qld|Tas)\\.?[\\s,]+(?<code>\\d{4})$`,
      "u",
    ),
  },
];
const DUTCH = new RegExp(`^(?:NL-)?(?<code>\\d{4} ?[A-Z]{2}) +(?<city>${CITY})$`, "u");
/** Digits before the town, by the countries that write them so. */
const DIGITS: readonly { regions: string; code: string }[] = [
  { regions: "DE FR IT ES FI EE HR RS UA TR KR", code: "\\d{5}" },
  { regions: "AT CH BE DK NO LU HU SI BG LV", code: "\\d{4}" },
  { regions: "SE CZ SK GR", code: "\\d{3} ?\\d{2}" },
  { regions: "PL", code: "\\d{2}-\\d{3}" },
  { regions: "PT", code: "\\d{4}-\\d{3}" },
];
/** `D-70173 Stuttgart`: the sign of a country before the code. */
const SIGNS: Record<string, string> = { D: "DE", F: "FR", I: "IT", E: "ES", A: "AT", B: "BE", L: "LU", S: "SE" };

/** A line that is a town with its postal code, or such a code alone; null for everything that is written as in North America. */
export function foreignTown(text: string, region: string | null): Town | null {
  if (text.length > 70 || !/\d/.test(text)) return null;
  for (const { region: own, form } of BEHIND) {
    const found = form.exec(text)?.groups;
    if (found) return town(found, own, false);
  }
  const dutch = DUTCH.exec(text)?.groups;
  if (dutch && !/^(?:\d{4} ?(?:NE|NW|SE|SW|ST)) /.test(text)) return town(dutch, "NL", true);
  const sign = /^([A-Z]{1,2})[- ](?=\d)/.exec(text);
  const said = sign === null ? region : (SIGNS[sign[1]!] ?? sign[1]!);
  const code = DIGITS.find(({ regions }) => said !== null && regions.split(" ").includes(said))?.code;
  if (code === undefined || said === null) return null;
  const found = new RegExp(`^(?<code>${code}) +(?<city>${CITY})$`, "u").exec(text.slice(sign?.[0].length ?? 0))?.groups;
  return found ? town(found, said, true) : null;
}

function town({ city, state, code }: Record<string, string | undefined>, region: string, before: boolean): Town {
  return {
    city: city?.trim() || null,
    state: state?.toUpperCase() ?? null,
    postal_code: code!.toUpperCase(),
    region,
    before,
  };
}

/** A street as it stands before such a town: `Hauptstraße 95`, or any line with a number. */
export function foreignStreet(text: string, { before }: Pick<Town, "before">): boolean {
  if (text.length > 70 || !/\d/.test(text) || !/\p{L}{2}/u.test(text)) return false;
  return (
    /^\d/.test(text) || (before && /^\p{L}[\p{L}\d .'’&-]* \d{1,4} ?[a-z]?(?: ?[-/+] ?\d{1,4} ?[a-z]?)?$/iu.test(text))
  );
}

/** Countries whose language is theirs alone, or nearly so. */
const LANGUAGES: Record<string, string> = {
  de: "DE",
  it: "IT",
  nl: "NL",
  sv: "SE",
  da: "DK",
  nb: "NO",
  nn: "NO",
  no: "NO",
  fi: "FI",
  pl: "PL",
  cs: "CZ",
  ja: "JP",
  ko: "KR",
  tr: "TR",
  hu: "HU",
  sk: "SK",
  el: "GR",
};
/** Endings of addresses that many use who are not from there. */
const FOR_ANYBODY = new Set(["us", "io", "co", "tv", "me", "ai", "cc", "to", "fm", "ly", "am", "la", "ws", "eu", "su"]);
const regions = new WeakMap<Page, { region: string | null }>();

/** The country that a page speaks for where it is not the United States; null where nothing says so. */
export function regionOfPage(page: Page): string | null {
  const known = regions.get(page);
  if (known !== undefined) return known.region;
  const region = findRegion(page);
  regions.set(page, { region });
  return region;
}

function findRegion(page: Page): string | null {
  const ending = /\.([a-z]{2})$/.exec(new URL(page.url).hostname)?.[1] ?? "";
  if (ending !== "" && !FOR_ANYBODY.has(ending)) return ending === "uk" ? "GB" : ending.toUpperCase();
  const [language = "", place = ""] = (page.$("html").attr("lang") ?? "").split(/[-_]/);
  // en-US is what programs write where nobody has said anything.
  if (/^[a-z]{2}$/i.test(place) && place.toUpperCase() !== "US") return place.toUpperCase();
  return byPostalCodes(cleanText(page.$("body").text())) ?? LANGUAGES[language.toLowerCase()] ?? null;
}

/** Postal codes that nobody else has, several of them and more than those of North America. */
function byPostalCodes(text: string): string | null {
  const count = (pattern: RegExp) => text.match(pattern)?.length ?? 0;
  const american = count(/\b[A-Z]{2},? +(?:\d{5}\b|[A-Z]\d[A-Z] ?\d[A-Z]\d\b)/g);
  const british = count(new RegExp(`\\b${BRITISH}\\b`, "g"));
  const australian = count(/\b(?:NSW|VIC|QLD|TAS|ACT|WA|SA)[ ,]+\d{4}\b(?!-)/g);
  const [most, region] = british >= australian ? [british, "GB"] : [australian, "AU"];
  return most >= 3 && most > american * 2 ? region : null;
}
