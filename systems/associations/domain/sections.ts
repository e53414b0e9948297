/**
 * A landing page: it lists no members, but the parts of the directory, by trade, place or letter.
 *
 * Invariant: a page that tells how to reach members, or links to more pages that look like members' than to parts, is none,
 * whatever filters stand beside its list.
 */
import { isFrame } from "./general/segments.ts";
import { countListed } from "./listing.ts";
import { memberLinks } from "./member-links.ts";
import type { Page } from "./page.ts";
import { cleanText } from "./page.ts";
import type { Schema } from "./schema.ts";
import { canonicalUrl, mergeQuery, resolveUrl, sameSite, urlKey } from "./url.ts";
import { textOf } from "./xpath.ts";

const WORDS =
  "categor(?:y|ies)|cat|industr(?:y|ies)|sectors?|trades?|regions?|count(?:y|ies)|states?|provinces?|cit(?:y|ies)|towns?|districts?|chapters?|types?|class(?:es)?|groups?|services?|products?|specialt(?:y|ies)|alpha|letters?|browse";
const SECTION_PATH = new RegExp(`/(?:by-)?(${WORDS})[-_]?(?:id)?(?:/|[-_=])[^/?]+`, "i");
const SECTION_PARAM = new RegExp(`^(?:\\w+[-_])?(?:${WORDS})(?:[-_]?id)?$`, "i");
const COUNTED = /\S\s*[([]\s*\d{1,5}\s*[)\]]$/;
const BROWSE =
  /\b(browse|search|select|choose|find|view|shop|list(?:ed)?)\b.{0,40}\b(categor|industr|sector|trade|region|count(?:y|ies)|state|city|letter)|\b(categories|industries|trades|sectors)\b/i;
const MIN_SECTIONS = 3;
/** A page with more members than this lists members; one or two may be featured. */
const FEW_MEMBERS = 2;

/** The parts of the directory in the order of the page; empty where the page itself lists members, or lists nothing. */
export function sectionLinks(page: Page, schema: Schema): string[] {
  const links = linksOf(page);
  const said = links.filter(({ url, text }) => isSection(url, text, page));
  const linked = said.length >= MIN_SECTIONS ? said : belowHeading(page, links);
  const sections = linked.length >= MIN_SECTIONS ? linked : chosenParts(page);
  if (sections.length < MIN_SECTIONS) return [];
  if (countListed(page, schema, null).records > FEW_MEMBERS) return [];
  const keys = new Set(sections.map(({ url }) => urlKey(url)));
  const others = memberLinks(page).filter((url) => !keys.has(urlKey(url)));
  if (others.length > FEW_MEMBERS && others.length * 2 > keys.size) return [];
  return [...new Map(sections.map(({ url }) => [urlKey(url), url])).values()];
}

const MAX_PARTS = 120;

/** Parts that a form offers in a list to choose from, as the addresses that choosing them leads to. */
function chosenParts(page: Page): Link[] {
  for (const node of page.$("form select[name]").toArray()) {
    const select = page.$(node);
    const form = select.closest("form");
    const name = select.attr("name")!;
    if (/^post$/i.test(form.attr("method") ?? "") || !SECTION_PARAM.test(name)) continue;
    // This page is what has been chosen.
    if (new URL(page.url).searchParams.get(name)) continue;
    const hidden = (form.find("input[type='hidden'][name]").toArray() as any[]).map(({ attribs }) => [
      attribs.name,
      attribs.value ?? "",
    ]);
    const action = resolveUrl(form.attr("action"), page.base) ?? page.url;
    const parts = (select.find("option").toArray() as any[]).flatMap((option) => {
      const text = cleanText(textOf(option));
      const value = option.attribs.value ?? text;
      const none = value === "" || /^(-|all\b|any\b|select\b|choose\b|please\b)/i.test(text);
      const url = none ? null : mergeQuery(action, { ...Object.fromEntries(hidden), [name]: value });
      return url !== null && sameSite(url, page.url) && urlKey(url) !== urlKey(page.url)
        ? [{ url, text, node: option }]
        : [];
    });
    if (parts.length >= MIN_SECTIONS && parts.length <= MAX_PARTS) return parts;
  }
  return [];
}

const CURRENT = /(^|[\s_-])(active|current|selected|is-active|on)([\s_-]|$)/i;

/**
 * On a page that shows one part of the directory, the addresses of the others: tabs that differ in one parameter, of which one is
 * marked as the one that is open. Empty where that one is called "all".
 */
export function neighbourParts(page: Page): string[] {
  const here = new URL(page.url);
  const byList = new Map<any, Link[]>();
  for (const link of linksOf(page, { self: true })) {
    const url = new URL(link.url);
    const names = new Set([...url.searchParams.keys(), ...here.searchParams.keys()]);
    const changed = [...names].filter((name) => url.searchParams.get(name) !== here.searchParams.get(name));
    const open = isOpen(link.node);
    const part = url.pathname === here.pathname && (changed.length === 1 ? SECTION_PARAM.test(changed[0]!) : open);
    if (!part) continue;
    const list = link.node.parent?.name === "li" ? link.node.parent.parent : link.node.parent;
    byList.set(list, [...(byList.get(list) ?? []), link]);
  }
  for (const links of byList.values()) {
    const open = links.find(({ node }) => isOpen(node));
    if (
      links.length < 2 ||
      links.length > MAX_PARTS ||
      open === undefined ||
      /^(all|any|everyone|a ?[-–] ?z)\b/i.test(open.text)
    )
      continue;
    return links.filter((link) => link !== open && !/^(all|any)\b/i.test(link.text)).map(({ url }) => url);
  }
  return [];
}

function isOpen(node: any): boolean {
  const own = (one: any) =>
    CURRENT.test(one?.attribs?.class ?? "") ||
    ["true", "page"].includes(one?.attribs?.["aria-selected"] ?? one?.attribs?.["aria-current"]);
  return own(node) || (node.parent?.name === "li" && own(node.parent));
}

interface Link {
  url: string;
  text: string;
  node: any;
}

/** The links of the page outside of its frames. */
function linksOf(page: Page, { self = false } = {}): Link[] {
  const links: Link[] = [];
  const visit = (node: any): void => {
    for (const child of node.children ?? []) {
      if (child.type !== "tag") continue;
      // An index by letters is framed as navigation is, and here it is what the page is for.
      if (isFrame(child) && !/alpha|a-?z|letter/i.test(`${child.attribs?.class ?? ""} ${child.attribs?.id ?? ""}`))
        continue;
      if (child.name === "a") {
        const url = canonicalUrl(child.attribs?.href, page.base);
        const text = cleanText(textOf(child));
        // A count may stand behind its link.
        const behind = child.next?.type === "text" ? cleanText(child.next.data) : "";
        if (url !== null && text !== "" && sameSite(url, page.url) && (self || urlKey(url) !== urlKey(page.url)))
          links.push({ url, text: `${text} ${behind}`.trim(), node: child });
      }
      visit(child);
    }
  };
  for (const node of page.$("body").toArray()) visit(node);
  return links;
}

function isSection(url: string, text: string, page: Page): boolean {
  const { pathname, searchParams } = new URL(url);
  if (COUNTED.test(text)) return true;
  const here = new URL(page.url);
  const named = [...searchParams.keys()].some((name) => SECTION_PARAM.test(name) && !here.searchParams.has(name));
  if (named) return true;
  const word = wordIn(pathname);
  // On the page of one part, links to its neighbours are no parts of it.
  return (
    word !== null && (word !== wordIn(here.pathname) || pathname.startsWith(`${here.pathname.replace(/\/$/, "")}/`))
  );
}

/** What the parts are called in an address. */
function wordIn(pathname: string): string | null {
  return SECTION_PATH.exec(pathname)?.[1]?.toLowerCase() ?? null;
}

/** Links without a word for it, where the page's headings say that it is divided by something: those below one element. */
function belowHeading(page: Page, links: readonly Link[]): Link[] {
  const headings = page
    .$("h1, h2, h3, title, legend")
    .toArray()
    .map((node) => cleanText(textOf(node)));
  if (!headings.some((heading) => BROWSE.test(heading))) return [];
  const byList = new Map<any, Link[]>();
  for (const link of links) {
    const list =
      link.node.parent?.name === "li" || link.node.parent?.name === "td" ? link.node.parent.parent : link.node.parent;
    byList.set(list, [...(byList.get(list) ?? []), link]);
  }
  const best = [...byList.values()].reduce<Link[]>((most, next) => (next.length > most.length ? next : most), []);
  return best.length * 2 > links.length ? best : [];
}
