/** What the texts of a member's own page look like. */
import type { Page, Scope } from "../page.ts";
import { cleanText } from "../page.ts";
import { phonesInText } from "../phone.ts";
import type { ContentFields } from "./fill.ts";
import { contentFields } from "./fill.ts";
import { readPart } from "./segments.ts";

const OTHERS =
  /^(related|similar|other|more|nearby|recent|featured|latest|you (may|might)|see also|people also|next|previous|back to)\b/i;

/** The fields in the part of the page that is about the member: from its heading to where other things begin. */
export function contentOfMember(
  page: Page,
  main: Scope,
  { foreign, named }: { foreign: readonly string[]; named: string | null },
): ContentFields {
  const reading = readPart(page, main);
  const { segments } = reading;
  const own = segments.findIndex(
    ({ element, text }) => /^h[1-4]$/.test(element?.name ?? "") && text.toLowerCase() === named?.toLowerCase(),
  );
  const heading = own >= 0 ? own : segments.findIndex(({ element }) => /^h[12]$/.test(element?.name ?? ""));
  const others = segments.findIndex(
    ({ element, text }, at) => at > Math.max(heading, 0) && /^h[1-6]$/.test(element?.name ?? "") && OTHERS.test(text),
  );
  const end = others < 0 ? segments.length : others;
  const start = Math.max(heading, 0);
  const name = heading < 0 ? cleanText(page.$("title").text()) : segments[heading]!.text;
  return withoutForeign(contentFields(reading, start, end, name), foreign);
}

/** The association's own phone and mail stand on every page, and belong to nobody listed. */
export function withoutForeign(fields: ContentFields, foreign: readonly string[]): ContentFields {
  const { phone, email, ...rest } = fields;
  return {
    ...rest,
    ...(phone === undefined || foreign.includes(phone) ? {} : { phone }),
    ...(email === undefined || foreign.includes(email) ? {} : { email }),
  };
}

/** Phones and mail addresses in these texts, as they are compared. */
export function contactsIn(texts: readonly string[]): string[] {
  const found = texts.flatMap((text) => [
    ...phonesInText(text).map(({ number }) => number),
    ...[...text.matchAll(/[a-z0-9][a-z0-9._%+-]*@[a-z0-9.-]+\.[a-z]{2,}/gi)].map((match) => match[0].toLowerCase()),
  ]);
  return [...new Set(found)];
}
