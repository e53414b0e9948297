/** What kind of page this is, by its address and by what stands on it; and which extractor suits it. */
import type { Page } from "./page.ts";
import { cleanText } from "./page.ts";

export const PAGE_TYPES = [
  "ASSOCIATION_HOME",
  "ASSOCIATION_DIRECTORY",
  "MEMBER_DIRECTORY",
  "MEMBER_DETAIL",
  "EVENTS_LIST",
  "EVENT_DETAIL",
  "PARTICIPANTS_LIST",
  "EXHIBITORS_LIST",
  "SPONSORS_LIST",
  "RESOURCE",
  "OTHER",
] as const;
export type PageType = (typeof PAGE_TYPES)[number];

export interface Classified {
  page_type: PageType;
  /** 0 to 1; below 0.6 the type is OTHER. */
  confidence: number;
  recommended_extractor: "extraction/directory_parser" | "extraction/html_parser" | "extraction/pdf_parser" | null;
}

/** What the structure of the page says, found out elsewhere. */
export interface Structure {
  /** Records that repeat on the page. */
  entries: number;
  /** The page reads as one member. */
  member: boolean;
}

export const MIN_CONFIDENCE = 0.6;

interface Rule {
  type: PageType;
  path: RegExp;
  words: RegExp;
  /** The type says that something repeats on the page. */
  list: boolean;
}

const RULES: readonly Rule[] = [
  { type: "EXHIBITORS_LIST", path: /exhibitor/i, words: /exhibitors?|booth/i, list: true },
  { type: "SPONSORS_LIST", path: /sponsor/i, words: /sponsors?/i, list: true },
  {
    type: "PARTICIPANTS_LIST",
    path: /(participant|attendee|speaker)/i,
    words: /(participants?|attendees?|speakers?)/i,
    list: true,
  },
  {
    type: "EVENT_DETAIL",
    path: /\/events?\/[^/]+|\/(webinar|conference)s?\/[^/]+/i,
    words: /register now|agenda|date and time|venue/i,
    list: false,
  },
  {
    type: "EVENTS_LIST",
    path: /\/(events?|calendar|conferences|webinars)\/?$/i,
    words: /upcoming events|events calendar|past events/i,
    list: true,
  },
  {
    type: "MEMBER_DETAIL",
    path: /\/(members?|compan(y|ies)|profiles?|listings?|firms?|directory|suppliers?)\/[^/]+\/?$|[?&](member|company)?_?id=/i,
    words: /member since|company profile|about the company|products and services|phone|address/i,
    list: false,
  },
  {
    type: "MEMBER_DIRECTORY",
    path: /(members?|membership|director(y|ies)|roster|find-a|compan(y|ies)|suppliers?|listings?)/i,
    words:
      /(member|company|supplier|business)\w* (directory|list|search|roster)|our members|find a (member|company|supplier)|\d+ (members|companies|results)/i,
    list: true,
  },
  {
    type: "ASSOCIATION_DIRECTORY",
    path: /(associations|chapters|affiliates|districts)\/?$/i,
    words: /(our |local |state )?(associations|chapters|affiliates|districts)/i,
    list: true,
  },
  {
    type: "RESOURCE",
    path: /\/(resources?|library|publications?|news|blog|articles?|downloads?)(\/|$)|\.(pdf|docx?)$/i,
    words: /download|white ?paper|read more|published/i,
    list: false,
  },
];

/** Address, words and structure vote; the address of a page and what repeats on it weigh most. */
export function classifyPage(page: Page, { entries, member }: Structure): Classified {
  const { pathname, search } = new URL(page.url);
  if (/\.pdf$/i.test(pathname))
    return { page_type: "RESOURCE", confidence: 0.9, recommended_extractor: "extraction/pdf_parser" };
  const title = cleanText(`${page.$("title").text()} ${page.$("h1").first().text()}`);
  const text = cleanText(page.$("body").text()).slice(0, 20_000);
  const home = pathname === "/" && search === "" ? 0.8 : 0;
  const votes = RULES.map((rule) => ({
    rule,
    confidence: confidenceOf(rule, { address: pathname + search, title, text, entries, member }),
  }));
  const best = votes.reduce((known, next) => (next.confidence > known.confidence ? next : known));
  if (home >= best.confidence) return { page_type: "ASSOCIATION_HOME", confidence: home, recommended_extractor: null };
  if (best.confidence < MIN_CONFIDENCE)
    return { page_type: "OTHER", confidence: best.confidence, recommended_extractor: null };
  const extractor = best.rule.list
    ? "extraction/directory_parser"
    : best.rule.type === "MEMBER_DETAIL"
      ? "extraction/html_parser"
      : null;
  return { page_type: best.rule.type, confidence: best.confidence, recommended_extractor: extractor };
}

interface Evidence extends Structure {
  address: string;
  title: string;
  text: string;
}

function confidenceOf(rule: Rule, { address, title, text, entries, member }: Evidence): number {
  const structure = rule.list
    ? entries >= 3
      ? 0.3
      : -0.2
    : rule.type === "MEMBER_DETAIL"
      ? (member ? 0.3 : -0.2) - (entries >= 5 ? 0.3 : 0)
      : 0;
  const score =
    (rule.path.test(address) ? 0.4 : 0) +
    (rule.words.test(title) ? 0.25 : 0) +
    (rule.words.test(text) ? 0.15 : 0) +
    structure;
  return Math.round(Math.min(1, Math.max(0, score)) * 100) / 100;
}
