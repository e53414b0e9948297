/**
 * Which links of a directory page lead to members.
 *
 * Evidence, strongest first: an address such as /member/…, or a class that says member; a link in a container that says directory or
 * listing (one for each entry); the first link of each table row. Links of weaker evidence count only where they are the more numerous.
 */
import type { Page, Scope } from "./page.ts";
import { canonicalUrl, isSocial, leadsOut, sameSite, urlKey } from "./url.ts";

export interface MemberLinkOptions {
  /** CSS selector of the links, where the rules do not do; nothing else is taken then. */
  selector?: string | undefined;
  /** Addresses that are pages of the directory itself, not members. */
  exclude?: Iterable<string>;
}

const MEMBER_PATH =
  /\/(members?|compan(?:y|ies)|profiles?|organi[sz]ations?|listings?|director(?:y|ies)|business(?:es)?|suppliers?|exhibitors?|breweries|brewery|firms?)\/[^/?]+/i;
const MEMBER_QUERY =
  /\/[^/?]*(?:profile|member|company|organi[sz]ation|detail|listing)[^/?]*\?(?:[^#]*&)?(?:[a-z_]*id|slug|company|member|no|key|code)=[^&]+/i;
const EXCLUDED_PATH =
  /\/(login|log-in|signin|sign-in|logout|register|signup|contact(?:-us)?|about(?:-us)?|faqs?|privacy(?:-policy)?|terms(?:-of-(?:use|service))?|search|join|cart|account|feed|rss|news|events?|benefits|renew|apply|donate|sponsors?|categor(?:y|ies)|tags?|wp-admin|cdn-cgi)(\/|\.[a-z]+$|$)/i;
const EXCLUDED_FILE = /\.(pdf|docx?|xlsx?|pptx?|zip|csv|jpe?g|png|gif|svg|webp|ics|vcf|xml|json|rss)$/i;
const PAGING_PATH = /\/(page|p|seite)[-/]?\d+\/?$/i;
const PAGING_PARAM =
  /^(page|p|pg|paged|pagenum|pageno|page_no|page_num|offset|start|skip|from|limit|count|n|per_page|perpage|sort|order|orderby|dir|view|letter|alpha|filter)$/i;
const MEMBER_CLASS = /(^|[-_ ])(member|company|profile|listing|organization)s?([-_ ]|$)/i;
const NOT_MEMBER_CLASS = /(benefit|login|menu|nav|button|btn|join|header|footer|breadcrumb|pagination|pager)/i;
const CONTAINER = /(^|\s)(members?|compan(?:y|ies)|directory|listings?|results?)([-_\s]|$)/i;
const FRAME =
  "nav, footer, .pagination, .pager, .page-numbers, .breadcrumb, .breadcrumbs, .menu, .navbar, [role='navigation'], [rel~='next'], [rel~='prev'], aside, .sidebar, .social, .tags";
const ENTRY =
  "li, tr, article, [class*='item'], [class*='entry'], [class*='card'], [class*='row'], [class*='listing'], [class*='member'], [class*='company'], [class*='result']";

/** Addresses of member pages on this page, each once, in order of appearance. */
export function memberLinks(page: Page, options: MemberLinkOptions = {}): string[] {
  const excluded = new Set([page.url, ...(options.exclude ?? [])].map(urlKey));
  if (options.selector !== undefined) {
    return unique(
      page
        .$(options.selector)
        .toArray()
        .map((node) => canonicalUrl(page.$(node).attr("href"), page.base)),
    );
  }
  const strong: string[] = [];
  const contained: string[] = [];
  const rows: string[] = [];
  const entriesSeen = new Set<unknown>();
  const rowsSeen = new Set<unknown>();
  for (const node of page.$("a[href]").toArray()) {
    const link = page.$(node);
    const url = eligible(page, link, excluded);
    if (url === null) continue;
    if (isStrong(link, url)) strong.push(url);
    else if (insideContainer(link)) {
      const entry = link.closest(ENTRY).get(0) ?? node;
      if (!entriesSeen.has(entry)) contained.push(url);
      entriesSeen.add(entry);
    } else {
      const row = link.closest("tr").get(0);
      if (row !== undefined && !rowsSeen.has(row)) rows.push(url);
      rowsSeen.add(row);
    }
  }
  return strongest([unique(strong), unique(contained), unique(rows)]);
}

/** The address that `href` means, where it may be the page of a member; null for pages of the site itself, files and pagers. */
export function eligibleLink(page: Page, href: string | null): string | null {
  const url = canonicalUrl(href, page.base);
  if (url === null || !sameSite(url, page.url) || isSocial(url) || urlKey(url) === urlKey(page.url)) return null;
  const { pathname } = new URL(url);
  const excluded = EXCLUDED_PATH.test(pathname) || EXCLUDED_FILE.test(pathname) || PAGING_PATH.test(pathname);
  return pathname === "/" || excluded || isPaging(url, page.url) || leadsOut(url) ? null : url;
}

function strongest([strong = [], contained = [], rows = []]: string[][]): string[] {
  if (strong.length > 0 && strong.length * 2 >= contained.length && strong.length * 2 >= rows.length) return strong;
  const weaker = contained.length >= rows.length ? contained : rows;
  return unique([...strong, ...weaker]);
}

function eligible(page: Page, link: Scope, excluded: ReadonlySet<string>): string | null {
  const url = canonicalUrl(link.attr("href"), page.base);
  if (url === null || !sameSite(url, page.url) || isSocial(url) || excluded.has(urlKey(url))) return null;
  const { pathname } = new URL(url);
  if (pathname === "/" || EXCLUDED_PATH.test(pathname) || EXCLUDED_FILE.test(pathname) || PAGING_PATH.test(pathname))
    return null;
  if (isPaging(url, page.url) || leadsOut(url) || link.closest(FRAME).length > 0) return null;
  return url;
}

/** Another view of the same page: same path, and only parameters that turn or sort pages differ. */
function isPaging(url: string, pageUrl: string): boolean {
  const target = new URL(url);
  const here = new URL(pageUrl);
  if (target.pathname.replace(/\/$/, "") !== here.pathname.replace(/\/$/, "")) return false;
  const names = new Set([...target.searchParams.keys(), ...here.searchParams.keys()]);
  const changed = [...names].filter((name) => target.searchParams.get(name) !== here.searchParams.get(name));
  return changed.every((name) => PAGING_PARAM.test(name));
}

/** An address that says by itself that it is a member's. */
export function namesMember(url: string): boolean {
  const parsed = URL.parse(url);
  return parsed !== null && (MEMBER_PATH.test(parsed.pathname) || MEMBER_QUERY.test(parsed.pathname + parsed.search));
}

function isStrong(link: Scope, url: string): boolean {
  const { pathname, search } = new URL(url);
  if (MEMBER_PATH.test(pathname) || MEMBER_QUERY.test(pathname + search)) return true;
  const own = link.attr("class") ?? "";
  return MEMBER_CLASS.test(own) && !NOT_MEMBER_CLASS.test(own);
}

function insideContainer(link: Scope): boolean {
  return link
    .parents("[class], [id]")
    .toArray()
    .some((node: any) => {
      const words = `${node.attribs.class ?? ""} ${node.attribs.id ?? ""}`;
      return node.name !== "body" && node.name !== "html" && CONTAINER.test(words) && !NOT_MEMBER_CLASS.test(words);
    });
}

function unique(urls: (string | null)[]): string[] {
  const byKey = new Map<string, string>();
  for (const url of urls) if (url !== null && !byKey.has(urlKey(url))) byKey.set(urlKey(url), url);
  return [...byKey.values()];
}
