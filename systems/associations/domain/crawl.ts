/**
 * The walk through a directory, one page at a time: what is new on a page, and where to go next or why to stop.
 *
 * A directory may be divided by letters or categories: when one part is at its end, the walk goes on with the next. Parts may have parts.
 * Invariants: no address is given out twice; a walk ends after at most `maxPages` pages; a member is reported once.
 * Feeding the same pages again gives the same walk, so a crashed crawl is continued by feeding it the pages it already has.
 */
import type { Controls, Pagination } from "./pagination.ts";
import { pageUrl } from "./pagination.ts";
import { urlKey } from "./url.ts";

export type StopReason = "not_found" | "empty_pages" | "repeated_page" | "no_next" | "max_pages" | "all_on_one_page";

export interface CrawlOptions {
  entryUrl: string;
  pagination: Pagination;
  maxPages: number;
}

export interface VisitedPage {
  url: string;
  controls: Controls;
  /** Identities of what the page lists: member addresses, or the items themselves. */
  keys: string[];
  /** The page lists parts of the directory, as `controls.letters`, and no members. */
  landing?: boolean;
}

export interface Visit {
  /** The keys not seen before. */
  fresh: string[];
  next: string | null;
  stop: StopReason | null;
}

export interface Crawl {
  /** Takes the page fetched last; `null` when it was not there (404). */
  visit(page: VisitedPage | null): Visit;
}

const MAX_BARREN_PAGES = 3;
/** Parts of a directory without anybody, in a row. */
const MAX_EMPTY_PARTS = 12;

/** A walk that begins at the entry page. */
export function startCrawl({ entryUrl, pagination, maxPages }: CrawlOptions): Crawl {
  const seen = new Set<string>();
  const asked = new Set([urlKey(entryUrl)]);
  const signatures = new Set<string>();
  const letters: string[] = [];
  let pages = 0;
  let barrenLetters = 0;
  let emptyLetters = 0;
  let part = startPart(entryUrl);

  const nextOf = (page: VisitedPage): string | null => {
    const linked = [page.controls.next, page.controls.more, nextNumber(page, asked)];
    // The first part may fit on one page where others do not.
    const none = pagination.type === "none";
    if (none && part.entryUrl === entryUrl) return null;
    const candidates = none ? linked : [...linked, computed(page)];
    return candidates.find((url): url is string => url !== null && !asked.has(urlKey(url))) ?? null;
  };

  /** Computed addresses are tried where the configuration names them, or where a page shows no controls to read. */
  const computed = (page: VisitedPage): string | null => {
    const { next, more, numbered } = page.controls;
    // A page without the marker that those before it had, or with links to other pages but none onwards, is the last.
    if (part.hadNext || next !== null || more !== null || numbered.length > 0) return null;
    return pageUrl(pagination, { entryUrl: part.entryUrl, page: part.pages + 1, firstCount: part.firstCount });
  };

  /** The end of this part; the next letter, if there is one and letters still bring members. */
  const endPart = (fresh: string[], stop: StopReason): Visit => {
    if (part.fresh > 0 || part.landing) [barrenLetters, emptyLetters] = [0, 0];
    // Nothing under a letter says less than what is known already.
    else if (part.firstCount === 0) emptyLetters++;
    else barrenLetters++;
    const enough = barrenLetters > MAX_BARREN_PAGES || emptyLetters > MAX_EMPTY_PARTS;
    const next = enough ? undefined : letters.find((url) => !asked.has(urlKey(url)));
    if (next === undefined || pages >= maxPages)
      return { fresh, next: null, stop: next === undefined ? stop : "max_pages" };
    asked.add(urlKey(next));
    part = startPart(next);
    return { fresh, next, stop: null };
  };

  return {
    visit(page) {
      if (page === null) return endPart([], "not_found");
      pages++;
      part.pages++;
      asked.add(urlKey(page.url));
      const parts = page.controls.letters.filter((url) => !letters.includes(url));
      // The parts of a part come before its neighbours: many empty ones in a row end the walk.
      if (page.landing === true) letters.unshift(...parts);
      else letters.push(...parts);
      if (page.landing === true) {
        part.landing = true;
        return endPart([], "no_next");
      }
      const keys = [...new Set(page.keys)];
      if (part.pages === 1) part.firstCount = keys.length;
      const fresh = keys.filter((key) => !seen.has(key));
      for (const key of fresh) seen.add(key);
      part.fresh += fresh.length;
      const signature = keys.toSorted().join("\n");
      const repeated = keys.length > 0 && signatures.has(signature);
      signatures.add(signature);
      part.barren = fresh.length === 0 ? part.barren + 1 : 0;

      if (repeated) return endPart(fresh, "repeated_page");
      if (part.barren >= MAX_BARREN_PAGES) return endPart(fresh, "empty_pages");
      const next = nextOf(page);
      part.hadNext ||= page.controls.next !== null;
      if (next === null) return endPart(fresh, pages === 1 && !page.controls.present ? "all_on_one_page" : "no_next");
      // An empty page may be a gap when it links onwards; behind a computed address it is the end.
      if (keys.length === 0 && !isLinked(page, next)) return endPart(fresh, "empty_pages");
      if (pages >= maxPages) return { fresh, next: null, stop: "max_pages" };
      asked.add(urlKey(next));
      return { fresh, next, stop: null };
    },
  };
}

/** One letter of the directory, or all of it where it has none. */
interface Part {
  entryUrl: string;
  pages: number;
  barren: number;
  fresh: number;
  firstCount: number;
  hadNext: boolean;
  landing: boolean;
}

function startPart(entryUrl: string): Part {
  return { entryUrl, pages: 0, barren: 0, fresh: 0, firstCount: 0, hadNext: false, landing: false };
}

function isLinked({ controls }: VisitedPage, next: string): boolean {
  return next === controls.next || next === controls.more || controls.numbered.some(({ url }) => url === next);
}

/** The lowest numbered link that was not followed yet. */
function nextNumber({ controls }: VisitedPage, asked: ReadonlySet<string>): string | null {
  const open = controls.numbered
    .filter(({ url, label }) => label >= 2 && !asked.has(urlKey(url)))
    .sort((a, b) => a.label - b.label);
  return open[0]?.url ?? null;
}
