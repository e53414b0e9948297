/**
 * How a directory turns its pages: what its controls say, and which address follows.
 *
 * Links on the page are believed before computed addresses: they know about zero-based counting, step widths and the last page.
 */

import type { Page, Scope } from "./page.ts";
import { cleanText } from "./page.ts";
import { mergeQuery, resolveUrl, sameSite, urlKey } from "./url.ts";

export type ParamType = "page" | "count" | "offset";

export interface Pagination {
  /** `auto`: follow whatever controls the pages have. */
  type: "none" | "auto" | "next_link" | "query_param" | "path_segment" | "load_more" | "infinite_scroll";
  param: string | null;
  param_type: ParamType | null;
  /** For `path_segment`: the piece of the path, with `{n}` for the number, such as `/page/{n}`. */
  pattern: string | null;
  /** What the first page counts as; 0 on sites that count from zero. */
  start: number;
  /** Members a page; null: as many as the first page has. */
  page_size: number | null;
}

export const NO_PAGINATION: Pagination = {
  type: "none",
  param: null,
  param_type: null,
  pattern: null,
  start: 1,
  page_size: null,
};

export interface Controls {
  /** The page that follows, by link. */
  next: string | null;
  /** Links whose text is a number. */
  numbered: { label: number; url: string }[];
  /** Target of a load-more button or of endless scrolling. */
  more: string | null;
  /** How `more` shows itself. */
  moreKind: "load_more" | "infinite_scroll" | null;
  /** The page has controls at all, so their end means the end. */
  present: boolean;
  /** Further pages open only by a script or a posted form: their controls have no address. */
  closed?: boolean;
  /** Links of an index by letters, in order. */
  letters: string[];
}

const PAGER =
  ".pagination, .pager, .page-numbers, .pages, .paging, .paginator, [class*='pagination'], nav[aria-label*='ag' i], ul.page-list, [class*='pager']";
const NEXT_TEXT =
  /^(next( (page|set|\d{1,4}))?( ?(results|members|companies|listings|entries|records))?|older( entries| posts)?|more( results| members)?|weiter|suivante?|siguiente|volgende|avanti|próxima?)?\s*(›|»|→|>|>>|&gt;|⟩|❯|▶|⏵)?$/i;
const MORE_TEXT = /^(load|show|view|see) (more|next|all remaining)\b/i;
const MORE_ATTRIBUTES = [
  "data-next-url",
  "data-next-page",
  "data-next",
  "data-url",
  "data-href",
  "data-load-more",
  "data-infinite-scroll",
  "hx-get",
  "data-path",
];

export function paramTypeOf(param: string): ParamType {
  const name = param.toLowerCase();
  if (/^(n|count|limit|per_?page|page_?size|size|rows|num|top)$/.test(name)) return "count";
  if (/^(offset|start|skip|from|first|begin|startrow|start_?index)$/.test(name)) return "offset";
  return "page";
}

/** The page's own controls. */
export function readControls(page: Page): Controls {
  const numbered = numberedLinks(page);
  const { url: more, kind: moreKind, present: morePresent } = moreControl(page);
  const next = nextLink(page);
  const present = next !== null || numbered.length > 0 || morePresent || page.$(PAGER).find("a, span, li").length > 1;
  return { next, numbered, more, moreKind, present, letters: letterLinks(page), closed: hasClosedPages(page) };
}

/** Numbers, "next" and lists of pages that call a script or post a form. */
function hasClosedPages(page: Page): boolean {
  const turns = (node: any): boolean => {
    const element = page.$(node);
    const href = (element.attr("href") ?? "").trim();
    const addressed = node.name === "a" && href !== "" && !/^(javascript:|#!?$)/i.test(href);
    if (addressed || !enabled(element)) return false;
    const text = cleanText(element.text() || element.attr("value") || "");
    const says =
      /^(\d{1,4}|next( (page|\d{1,4}))?|older|more results|[›»>]{1,2})( ?(›|»|→|>|>>))?$/i.test(text) && text !== "1";
    return (
      says &&
      (/page\$|gotopage|topage|changepage|setpage|paging/i.test(href + (element.attr("onclick") ?? "")) ||
        element.closest(PAGER).length > 0 ||
        isPosted(element))
    );
  };
  return page.$("a, button, input[type='submit'], input[type='button']").toArray().some(turns);
}

function isPosted(element: Scope): boolean {
  return element.is("button, input") && /^post$/i.test(element.closest("form").attr("method") ?? "");
}

/** "Next 12" as the button of a form that asks for its fields by address. */
function nextForm(page: Page): string | null {
  for (const node of page.$("form input[type='submit'], form button").toArray()) {
    const button = page.$(node);
    const form = button.closest("form");
    const text = cleanText(button.text() || button.attr("value") || "");
    if (/^post$/i.test(form.attr("method") ?? "") || !/^(next|older|more)\b/i.test(text) || !NEXT_TEXT.test(text))
      continue;
    if (!enabled(button) || button.is("[disabled]")) continue;
    const hidden = form.find("input[type='hidden']").toArray() as any[];
    const fields = Object.fromEntries(hidden.map(({ attribs }) => [attribs.name ?? "", attribs.value ?? ""]));
    const { "": _, ...named } = fields;
    const action = resolveUrl(form.attr("action"), page.base) ?? page.url;
    const url = turn(page, mergeQuery(action, named));
    if (url !== null) return url;
  }
  return null;
}

const MIN_LETTERS = 8;

/** An index by first letters: each letter once, most of the alphabet, all of this site. */
function letterLinks(page: Page): string[] {
  const found = new Map<string, string>();
  for (const node of page.$("a[href]").toArray()) {
    const letter = cleanText(page.$(node).text()).toUpperCase();
    if (!/^([A-Z]|#|0-9|0–9|NUM|123)$/.test(letter) || found.has(letter)) continue;
    const url = turn(page, page.$(node).attr("href"));
    if (url !== null) found.set(letter, url);
  }
  const urls = [...new Set(found.values())];
  return urls.length >= MIN_LETTERS ? urls : [];
}

function nextLink(page: Page): string | null {
  const header = /<([^>]+)>\s*;[^,]*\brel\s*=\s*"?next\b/i.exec(page.linkHeader ?? "")?.[1];
  const fromHeader = turn(page, header);
  if (fromHeader !== null) return fromHeader;
  for (const node of page.$("link[rel~='next'], a[rel~='next']").toArray()) {
    const url = enabled(page.$(node)) ? turn(page, page.$(node).attr("href")) : null;
    if (url !== null) return url;
  }
  for (const node of page.$("a[href]").toArray()) {
    const link = page.$(node);
    if (!enabled(link) || !saysNext(link)) continue;
    const url = turn(page, link.attr("href"));
    if (url !== null) return url;
  }
  return page.jsonNext ?? nextForm(page) ?? moreLink(page);
}

/** "More members" outside of any pager: the same list, further on. */
function moreLink(page: Page): string | null {
  for (const node of page.$("a[href]").toArray()) {
    const link = page.$(node);
    if (!/^more (results|members|companies|listings|entries|records)\s*(›|»|→|>|>>)?$/i.test(cleanText(link.text())))
      continue;
    const url = enabled(link) ? turn(page, link.attr("href")) : null;
    if (url !== null && changedNumber(page.url, url) !== null) return url;
  }
  return null;
}

function saysNext(link: Scope): boolean {
  const words = `${link.attr("class") ?? ""} ${link.parent("li, span, div").attr("class") ?? ""}`;
  const inPager = link.closest(PAGER).length > 0;
  const named =
    /(^|[\s_-])next([\s_-]|$)/i.test(words) || /^next\b/i.test(link.attr("aria-label") ?? link.attr("title") ?? "");
  const text = cleanText(link.text()) || cleanText(link.find("img[alt]").first().attr("alt") ?? "");
  const spoken = text !== "" && NEXT_TEXT.test(text);
  // ">" and "more" alone are arrows and teasers everywhere; inside a pager, or as the word "next", they turn the page.
  return (
    (named && (inPager || spoken || text === "" || /next/i.test(text))) ||
    (spoken && (inPager || /^(next|older)/i.test(text)))
  );
}

function enabled(link: Scope): boolean {
  const disabled = /(^|\s)(disabled|inactive|is-disabled)(\s|$)/i;
  return (
    link.attr("aria-disabled") !== "true" &&
    !disabled.test(link.attr("class") ?? "") &&
    !disabled.test(link.parent("li, span").attr("class") ?? "")
  );
}

/** A link target that is another page of this site. */
function turn(page: Page, href: string | undefined): string | null {
  const url = resolveUrl(href, page.base);
  return url !== null && sameSite(url, page.url) && urlKey(url) !== urlKey(page.url) ? url : null;
}

function numberedLinks(page: Page): { label: number; url: string }[] {
  const found: { label: number; url: string }[] = [];
  for (const node of page.$("a[href]").toArray()) {
    const link = page.$(node);
    const text = cleanText(link.text()).replace(/^page\s+/i, "");
    const url = /^\d{1,5}$/.test(text) ? turn(page, link.attr("href")) : null;
    if (url === null) continue;
    const change = changedNumber(page.url, url);
    // "/members/17" may be a member; as the seventeenth page it is called so.
    if (change?.pattern === "/{n}" && change.value !== Number(text)) continue;
    if (link.closest(PAGER).length > 0 || change !== null) found.push({ label: Number(text), url });
  }
  return found.length > 0 ? found : chosenNumbers(page);
}

/** Pages offered in a list to choose from: an address each, or a number that the form adds to the query. */
function chosenNumbers(page: Page): { label: number; url: string }[] {
  const found: { label: number; url: string }[] = [];
  for (const node of page.$("select").toArray()) {
    const select = page.$(node);
    const form = select.closest("form");
    const name = select.attr("name") ?? "";
    if (/^post$/i.test(form.attr("method") ?? "")) continue;
    for (const option of select.find("option").toArray()) {
      const value = page.$(option).attr("value") ?? cleanText(page.$(option).text());
      const label = /^(?:page )?(\d{1,5})\b/i.exec(cleanText(page.$(option).text()))?.[1];
      if (label === undefined) continue;
      const named = /^(p|pg|page|paged|pageno|page_?num(ber)?)$/i.test(name) && /^\d+$/.test(value);
      const action = resolveUrl(form.attr("action"), page.base) ?? page.url;
      const url = named ? mergeQuery(action, { [name]: value }) : /[/?]/.test(value) ? turn(page, value) : null;
      if (url !== null && urlKey(url) !== urlKey(page.url)) found.push({ label: Number(label), url });
    }
  }
  return found;
}

function moreControl(page: Page): { url: string | null; kind: Controls["moreKind"]; present: boolean } {
  const named =
    "[class*='load-more'], [class*='loadmore'], [id*='load-more'], [id*='loadmore'], [data-next-page], [data-next-url], [data-infinite-scroll], [data-load-more]";
  const buttons = page
    .$("a, button")
    .toArray()
    .filter((node) => MORE_TEXT.test(cleanText(page.$(node).text())));
  let present = false;
  for (const node of [...buttons, ...page.$(named).toArray()]) {
    const element = page.$(node);
    if (!enabled(element) || element.is("[hidden], [disabled]")) continue;
    const kind =
      element.is("[data-infinite-scroll]") || (element.is("[data-next-page]") && !element.is("a, button"))
        ? "infinite_scroll"
        : "load_more";
    present ||= element.is("a, button") || kind === "infinite_scroll";
    for (const value of [...MORE_ATTRIBUTES.map((name) => element.attr(name)), element.attr("href")]) {
      // A bare number or flag is no address; the computed one serves then.
      const url = value === undefined || /^(\d+|true|false|)$/i.test(value.trim()) ? null : turn(page, value);
      if (url !== null) return { url, kind, present: true };
    }
  }
  return { url: null, kind: present ? "load_more" : null, present };
}

interface ChangedNumber {
  kind: "query" | "path";
  param: string;
  pattern: string;
  value: number;
}

/** The one number in which two addresses differ; null when they differ in anything else. */
function changedNumber(from: string, to: string): ChangedNumber | null {
  const here = new URL(from);
  const there = new URL(to);
  const samePath = here.pathname.replace(/\/+$/, "") === there.pathname.replace(/\/+$/, "");
  if (samePath) {
    const names = new Set([...there.searchParams.keys(), ...here.searchParams.keys()]);
    const changed = [...names].filter((name) => here.searchParams.get(name) !== there.searchParams.get(name));
    const value = changed.length === 1 ? there.searchParams.get(changed[0]!) : null;
    return value !== null && /^\d{1,7}$/.test(value)
      ? { kind: "query", param: changed[0]!, pattern: "", value: Number(value) }
      : null;
  }
  const below = /^(.+)\/(\d{1,5})\/?$/.exec(there.pathname);
  if (below?.[1] === here.pathname.replace(/\/+$/, ""))
    return { kind: "path", param: "", pattern: "/{n}", value: Number(below[2]) };
  const match = /(\/(?:[a-z_]+[-/_])?|\/p)(\d{1,5})(\.\w{3,5})?\/?$/i.exec(there.pathname);
  if (match === null) return null;
  const stem = (path: string) =>
    path.replace(/(\/(?:[a-z_]+[-/_])?|\/p)\d{1,5}(\.\w{3,5})?\/?$/i, "").replace(/\/+$|\/index\.\w{3,5}$/i, "");
  return stem(there.pathname) === stem(here.pathname)
    ? { kind: "path", param: "", pattern: `${match[1]}{n}${match[3] ?? ""}`, value: Number(match[2]) }
    : null;
}

/** What the first page of a directory says about its paging. */
export function detectPagination(page: Page): Pagination {
  const controls = readControls(page);
  const numbers = controls.numbered
    .map(({ label, url }) => ({ label, change: changedNumber(page.url, url) }))
    .filter((entry): entry is { label: number; change: ChangedNumber } => entry.change !== null)
    .sort((a, b) => a.label - b.label);
  const first = numbers.find((entry) => entry.label >= 2);
  const second = numbers.find(
    (entry) => first !== undefined && entry.label > first.label && entry.change.param === first.change.param,
  );
  const nextChange = controls.next === null ? null : changedNumber(page.url, controls.next);
  const change = first?.change ?? nextChange;
  const label = first?.label ?? 2;
  if (change?.kind === "path")
    return { ...NO_PAGINATION, type: "path_segment", pattern: change.pattern, start: change.value - label + 1 };
  if (change?.kind === "query") {
    const step =
      first !== undefined && second !== undefined
        ? (second.change.value - first.change.value) / (second.label - first.label)
        : null;
    return queryPagination(page.url, change, label, step);
  }
  if (controls.next !== null) return { ...NO_PAGINATION, type: "next_link" };
  if (controls.moreKind !== null) return { ...NO_PAGINATION, type: controls.moreKind };
  return NO_PAGINATION;
}

function queryPagination(url: string, change: ChangedNumber, label: number, step: number | null): Pagination {
  const named = paramTypeOf(change.param);
  const base = { ...NO_PAGINATION, type: "query_param" as const, param: change.param };
  const width =
    step !== null && step > 1
      ? step
      : named === "page" || label < 2
        ? null
        : change.value / (named === "count" ? label : label - 1);
  if (named === "count") return { ...base, param_type: "count", page_size: width };
  // Whatever it is called: what grows by more than one a page is an offset.
  if (named === "offset" || (step !== null && step > 1)) return { ...base, param_type: "offset", page_size: width };
  const here = Number(new URL(url).searchParams.get(change.param) ?? Number.NaN);
  return { ...base, param_type: "page", start: Number.isInteger(here) ? here : change.value - label + 1 };
}

export interface Position {
  entryUrl: string;
  /** 1 for the entry page, 2 for the one after it. */
  page: number;
  /** Members that the entry page had. */
  firstCount: number;
}

/** The computed address of page number `position.page`; null where it cannot be computed or everything came with the first page. */
export function pageUrl(pagination: Pagination, { entryUrl, page, firstCount }: Position): string | null {
  if (pagination.type === "path_segment") {
    const piece = (pagination.pattern ?? "/page/{n}").replace("{n}", String(pagination.start + page - 1));
    const url = new URL(entryUrl);
    const any = new RegExp(`${escapePattern(pagination.pattern ?? "/page/{n}").replace("\\{n\\}", "\\d+")}/?$`, "i");
    const slash = url.pathname.endsWith("/") && url.pathname !== "/";
    url.pathname = url.pathname.replace(any, "").replace(/\/+$/, "") + piece + (slash ? "/" : "");
    return url.href;
  }
  if (pagination.type !== "query_param" && pagination.type !== "infinite_scroll" && pagination.type !== "load_more")
    return null;
  if (pagination.param === null) return null;
  const type = pagination.param_type ?? paramTypeOf(pagination.param);
  const given = Number(new URL(entryUrl).searchParams.get(pagination.param) ?? Number.NaN);
  const known = Number.isInteger(given) ? given : null;
  if (type === "page") return mergeQuery(entryUrl, { [pagination.param]: (known ?? pagination.start) + page - 1 });
  if (type === "count") {
    const size = known ?? pagination.page_size ?? 100;
    // Fewer than were asked for: that was all of them.
    return firstCount < size * (page - 1) && known !== null && page === 2
      ? null
      : mergeQuery(entryUrl, { [pagination.param]: size * page });
  }
  const size = pagination.page_size ?? (firstCount > 0 ? firstCount : 100);
  return mergeQuery(entryUrl, { [pagination.param]: (known ?? 0) + size * (page - 1) });
}

function escapePattern(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
}
