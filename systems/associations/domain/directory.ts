/** Is this a member directory, how many members does it have, does it ask for a login: judged from one page. */
import { memberLinks } from "./member-links.ts";
import type { Page } from "./page.ts";
import { cleanText } from "./page.ts";
import { canonicalUrl, isSocial, registrableDomain, resolveUrl, sameSite, urlKey } from "./url.ts";

export interface DirectorySignals {
  words: boolean;
  manyLinks: boolean;
  classes: boolean;
  manyItems: boolean;
}

/** The signals that a page lists members; two of them make it look like a directory. */
export function directorySignals(page: Page): DirectorySignals {
  const { $ } = page;
  const text = cleanText($("body").text()).toLowerCase();
  return {
    words: text.includes("member") && /directory|list/.test(text),
    manyLinks: $("a[href]").length > 20,
    classes: $("[class*='member'], [class*='company'], [class*='directory']").length > 0,
    manyItems: $("li[class], tr[class], div[class]").length > 10,
  };
}

/** At least two signals, one of which speaks of members: any home page has many links and boxes. */
export function looksLikeDirectory(page: Page): boolean {
  const signals = directorySignals(page);
  return Object.values(signals).filter(Boolean).length >= 2 && (signals.words || signals.classes);
}

const AUTH_WORDS =
  /please (?:log|sign) ?in|members[ -]only|(?:log|sign) ?in to (?:view|see|access|continue)|login (?:is )?required|subscription required|must be (?:logged|signed) in|restricted to members|only available to members/i;

/** True when the members stand behind a login. A public list with a "members only" corner is not one. */
export function asksForLogin(page: Page, listed: number): boolean {
  if (listed > 3) return false;
  return AUTH_WORDS.test(cleanText(page.$("body").text())) || page.$("form input[type='password']").length > 0;
}

const ESTIMATES = [
  /showing\s+[\d,]+\s*(?:-|–|to|through)\s*[\d,]+\s+of\s+([\d,]+)/i,
  /([\d,]+)\s+(?:total\s+)?(?:member|compan)(?:s|ies|y)?\b/i,
  /total(?:\s+\w+)?\s*:\s*([\d,]+)/i,
  /([\d,]+)\s+(?:results|listings|entries|organi[sz]ations)\b/i,
  /showing\s+(?:all\s+)?([\d,]+)/i,
];

/** How many members the page says that there are; null when it says nothing. */
export function statedMembers(page: Page): number | null {
  const text = cleanText(page.$("body").text());
  for (const pattern of ESTIMATES) {
    const count = Number(pattern.exec(text)?.[1]?.replaceAll(",", "") ?? Number.NaN);
    if (count >= 10 && count <= 50_000) return count;
  }
  return null;
}

/** How many members the page says or shows; null when it gives no idea. */
export function estimateMembers(page: Page): number | null {
  const stated = statedMembers(page);
  if (stated !== null) return stated;
  const links = memberLinks(page).length;
  if (links > 0) return links;
  const rows = page.$("table tr").length - 1;
  return rows > 0 ? rows : null;
}

/** Links to PDF files that call themselves a directory or list of members. */
export function pdfDirectories(page: Page): string[] {
  const found = new Set<string>();
  for (const node of page.$("a[href]").toArray()) {
    const link = page.$(node);
    const url = canonicalUrl(link.attr("href"), page.base);
    if (url === null || !/\.pdf$/i.test(new URL(url).pathname)) continue;
    const said = `${cleanText(link.text())} ${link.attr("title") ?? ""} ${new URL(url).pathname}`;
    if (/(member|compan|supplier|vendor|exhibitor)\w*[\W_]*(directory|list|roster)|roster|directory of/i.test(said))
      found.add(url);
  }
  return [...found];
}

const DIRECTORY_TEXT = new RegExp(
  [
    "(member|company|supplier|business|contractor|vendor|exhibitor|industry|buyers?'?s?)\\w*\\s+(directory|list|listings?|roster|search|finder|locator|guide)",
    "(member|corporate|associate|affiliate)\\w*\\s+(companies|firms|organi[sz]ations|businesses)",
    "directory of|who (we represent|are our members)|our (members|companies)|meet (our|the) members|(member|membership) roster",
    "find (an?|your)( local)? (member|company|supplier|contractor|provider|professional|business|vendor|manufacturer|firm|dealer|expert|consultant|installer|broker|agent)",
    "^\\s*(the )?(directory|roster|members|mitglieder(verzeichnis)?|membres|(nos|liste des) membres|socios|soci|leden)\\s*$",
  ].join("|"),
  "i",
);

/** Links of a home page that call themselves a directory or list of members. */
export function directoryLinks(page: Page): string[] {
  const found = new Set<string>();
  for (const node of page.$("a[href]").toArray()) {
    const link = page.$(node);
    const text = `${cleanText(link.text())} ${link.attr("title") ?? ""}`;
    const url = canonicalUrl(link.attr("href"), page.base);
    if (url === null || !sameSite(url, page.url) || new URL(url).pathname === "/") continue;
    if (DIRECTORY_TEXT.test(text) && !namesOthers(cleanText(link.text()))) found.add(url);
  }
  return [...found];
}

export interface Sitemap {
  /** Further sitemaps (of an index). */
  sitemaps: string[];
  /** Pages that may be a directory, shortest address first. */
  candidates: string[];
}

/** What a sitemap offers: `<loc>` that names members, a directory or companies. */
export function readSitemap(xml: string, url: string): Sitemap {
  const index = /<sitemapindex[\s>]/i.test(xml);
  // A sitemap may also be a plain list of addresses.
  const plain = /<\w/.test(xml) ? [] : xml.split(/\s+/).filter((line) => /^https?:\/\//i.test(line));
  const marked = [...xml.matchAll(/<loc>\s*(?:<!\[CDATA\[)?\s*([^<\]\s]+)/gi)].map((match) => match[1]!);
  const locations = [...marked, ...plain]
    .map((location) => canonicalUrl(location.replaceAll("&amp;", "&"), url))
    .filter((location): location is string => location !== null && belongs(location, url));
  // Those that speak of members first: only so many are read.
  if (index)
    return { sitemaps: [...locations.filter(speaks), ...locations.filter((one) => !speaks(one))], candidates: [] };
  const named = locations.filter(speaks);
  return { sitemaps: [], candidates: named.sort((a, b) => a.length - b.length || (a < b ? -1 : 1)) };
}

function speaks(url: string): boolean {
  return /member|director(y|ies)|compan/i.test(new URL(url).pathname);
}

function belongs(url: string, to: string): boolean {
  const domain = registrableDomain(url);
  return sameSite(url, to) || (domain !== null && domain === registrableDomain(to));
}

/** Pages shown inside of this one: directories of other makers are built in so. */
export function framedPages(page: Page): string[] {
  const urls = page
    .$("iframe[src], frame[src]")
    .toArray()
    .map((node) => canonicalUrl(page.$(node).attr("src"), page.base));
  return [...new Set(urls.filter((url): url is string => url !== null && !isSocial(url)))];
}

/** Where a page sends its reader by itself: `<meta http-equiv="refresh">`, or a script that does nothing else. */
export function refreshTarget(page: Page): string | null {
  const metas = page.$("meta[http-equiv]").toArray() as any[];
  const content = metas.find(({ attribs }) => /^refresh$/i.test(attribs["http-equiv"]))?.attribs.content ?? "";
  const [, seconds = "", target = ""] = /^\s*(\d+)[^;,]*[;,]\s*url\s*=\s*["']?([^"']+)/i.exec(content) ?? [];
  const short = cleanText(page.$("body").text()).length < 300;
  const scripted = short
    ? page.scripts.map(
        (text) =>
          /^\s*(?:window\.|document\.)?location(?:\.href)?\s*(?:=|\.replace\()\s*["']([^"']+)["']/.exec(text)?.[1],
      )[0]
    : undefined;
  const url = resolveUrl(Number(seconds) <= 10 && target !== "" ? target : scripted, page.base);
  return url !== null && sameSite(url, page.url) && urlKey(url) !== urlKey(page.url) ? url : null;
}

const ENDPOINT_ATTRIBUTE = /^data-(?:[\w-]+-)?(?:endpoint|url|src|source|ajax|ajax-url|api|json|feed)$/;
const ENDPOINT_IN_SCRIPT =
  /\b(?:ajax|url|endpoint|source|src|dataUrl|apiUrl|fetch|getJSON|get)\b["']?\s*[:=(]\s*(?:\{\s*["']?url["']?\s*:\s*)?["'`]([^"'`\s<>$]{2,300})["'`]/g;
const DATA_ADDRESS = /json|\bapi\b|ajax|feed|rest|data|member|director|compan|listing|supplier/i;
const NO_DATA_ADDRESS =
  /admin-ajax|graphql|\.(?:js|css|png|jpe?g|gif|svg|webp|woff2?|pdf|php\?rsd)(?:$|\?)|oembed|analytics|login|cart/i;

/** Addresses of this site from which the scripts of a page may take what it lists, best first. */
export function dataAddresses(page: Page): string[] {
  const attributes = page
    .$("body *")
    .toArray()
    .flatMap((node: any) =>
      Object.entries<string>(node.attribs ?? {}).flatMap(([name, value]) =>
        ENDPOINT_ATTRIBUTE.test(name) ? [value] : [],
      ),
    );
  const scripted = page.scripts.flatMap((text) => [...text.matchAll(ENDPOINT_IN_SCRIPT)].map((match) => match[1]!));
  const urls = [...attributes, ...scripted]
    .filter((text) => /^(https?:)?\/|^[\w.-]+[/?]/.test(text) && DATA_ADDRESS.test(text) && !NO_DATA_ADDRESS.test(text))
    .map((text) => resolveUrl(text.replaceAll("\\/", "/"), page.base))
    .filter((url): url is string => url !== null && sameSite(url, page.url) && urlKey(url) !== urlKey(page.url));
  return [...new Set(urls)];
}

/** Headings of what associations show beside their members: people of their own, news, dates, sponsors. */
const NOT_MEMBERS =
  /^(?:meet )?(?:our |the |your )?(?:\d{4}(?:[-/]\d{2,4})? )?(?:(?:board|executive|leadership|management|governing)(?: (?:of directors|of trustees|members|team|committee|board|council))*|staff(?: (?:directory|members|contacts|list))?|officers(?: (?:and|&) directors)?|directors|trustees|(?:our )?team|committees?|(?:latest |recent |upcoming |past |industry |association |in the )?(?:news|events?|posts|articles|webinars|blog|press releases?)(?: (?:&|and) (?:news|events))?|(?:event )?calendar|(?:our |thank you to our |event )?(?:sponsors?|advertisers?)|(?:member(?:ship)? )?benefits|testimonials|quick links|resources|related (?:posts|members|companies|articles)|we value your privacy|cookies?(?: settings| policy| notice)?|contact (?:us|information))$/i;

/** True for the heading of a part that lists others than members. */
export function namesOthers(heading: string): boolean {
  return heading.length < 60 && NOT_MEMBERS.test(heading.replace(/[\s:!.*]+$/, ""));
}

/** The page as a whole is about others: its staff, its board, its news. */
export function listsOthers(page: Page): boolean {
  const title = cleanText(page.$("title").first().text()).split(/\s+[|–—-]\s+/)[0] ?? "";
  return [cleanText(page.$("h1").first().text()), title].some(namesOthers);
}
