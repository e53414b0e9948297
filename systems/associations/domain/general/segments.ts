/**
 * A page as a row of texts in reading order, each with its kind and its place in the tree.
 *
 * Invariants: every element covers one unbroken range of texts; frames (navigation, footer, forms) hold no texts of members;
 * a text and its place depend on the page alone, so two runs see the same row.
 */
import type { Page, Scope } from "../page.ts";
import { cleanText } from "../page.ts";
import { regionOfPage } from "../regions.ts";
import { isSocial, leadsOut, resolveUrl, sameSite } from "../url.ts";
import type { Kind } from "./kinds.ts";
import { kindOf, takeApart } from "./kinds.ts";

export interface Segment {
  text: string;
  kind: Kind;
  /** Element that holds the text itself. */
  element: any;
  /** Target of the link around it. */
  href: string | null;
  /** Line of the page; inline elements share one. */
  line: number;
  /** Country that the page speaks for, where it is not the United States. */
  region: string | null;
}

export interface Range {
  start: number;
  end: number;
}

export interface Reading {
  page: Page;
  root: any;
  segments: Segment[];
  /** Texts below each element, and of each text node. */
  ranges: Map<any, Range>;
  /** How often a text stands on the page, neighbours counted once. */
  frequency: Map<string, number>;
}

const SKIP = new Set("script style template svg head select option textarea iframe object canvas".split(" "));
const BLOCK = new Set(
  "address article aside blockquote body br dd details div dl dt fieldset figure figcaption footer form h1 h2 h3 h4 h5 h6 header hr li main nav ol p pre section summary table tbody td tfoot th thead tr ul".split(
    " ",
  ),
);
const FRAME_CLASS =
  /(^|[\s_-])(nav|navbar|navigation|menu|mainmenu|mainnav|topnav|sidenav|breadcrumbs?|pagination|pager|paging|footer|cookie|social|skip-link|sidebar|site-header|masthead|topbar|toolbar|a-?z|alphabet|letters?)([\s_-]|$)/i;
const OUTER_FRAME =
  /(^|[\s_-])(header|masthead|banner|bottom|foot|main-?(menu|nav)|(top|side|sub)-?(menu|nav|bar)|copyright)([\s_-]|$)/i;
/** Occurrences nearer than this are one and the same: logo, heading and link of one entry. */
const NEIGHBOURS = 7;

/** Elements that frame a page: nobody's record is in there. */
export function isFrame(node: any): boolean {
  if (node.name === "nav" || node.name === "aside") return true;
  // A card has a foot of its own, and an accordion unfolds by buttons that are headings.
  if (node.name === "footer") return !insideOf(node, /^(article|li)$/);
  if (node.name === "button") return !isHeadingButton(node);
  const { class: words = "", id = "", role = "" } = node.attribs ?? {};
  if (/^(navigation|contentinfo|search|menu|banner|dialog|columnheader)$/.test(role)) return true;
  if (node.name === "header") return !insideOf(node, /^(main|article|li|section)$/);
  if (node.name === "body" || node.name === "main") return false;
  return FRAME_CLASS.test(`${words} ${id}`) || (isOuter(node) && OUTER_FRAME.test(`${words} ${id}`));
}

function isHeadingButton(node: any): boolean {
  const { "aria-controls": controls, "aria-expanded": expanded, "data-bs-target": target } = node.attribs ?? {};
  return (
    insideOf(node, /^(h[1-6]|dt|summary)$/) ||
    ((controls ?? expanded ?? target) !== undefined && !insideOf(node, /^(nav|header|form)$/))
  );
}

/** Near the body: further in, a header is one of a card. */
function isOuter(node: any): boolean {
  const parent = node.parent;
  return parent?.name === "body" || parent?.parent?.name === "body";
}

function insideOf(node: any, names: RegExp): boolean {
  for (let at = node.parent; at !== null && at !== undefined; at = at.parent)
    if (names.test(at.name ?? "")) return true;
  return false;
}

/** Reads a part of a page; by default the body without its frames. */
export function readPart(page: Page, scope: Scope = page.$("body"), options: { frames?: boolean } = {}): Reading {
  const reading: Reading = { page, root: scope.get(0) ?? null, segments: [], ranges: new Map(), frequency: new Map() };
  const region = regionOfPage(page);
  let line = 0;
  const push = (node: any, text: string, href: string | null) => {
    const whole = tidy(text);
    if (whole === "") return;
    // "(Dayton, OH)" behind a name.
    const inner = /^\(([^()]+)\)$/.exec(whole)?.[1]?.trim();
    const clean = inner !== undefined && kindOf(inner, region) === "place" ? inner : whole;
    reading.segments.push({ text: clean, kind: kindOf(clean, region), element: node, href, line, region });
  };
  const visit = (node: any, href: string | null): void => {
    if (node.type === "text") {
      const from = reading.segments.length;
      if (node.data.trim() !== "") push(node.parent, node.data, href);
      reading.ranges.set(node, { start: from, end: reading.segments.length });
      return;
    }
    if (node.type !== "tag" && node.type !== "root") return;
    if (SKIP.has(node.name) || (!options.frames && node !== reading.root && isFrame(node)) || isHidden(node)) return;
    const start = reading.segments.length;
    const block = BLOCK.has(node.name);
    if (block) line++;
    const link = node.name === "a" && node.attribs.href ? (node.attribs.href as string) : href;
    for (const child of node.children ?? []) visit(child, link);
    if (reading.segments.length === start) for (const text of attributeTexts(node)) push(node, text, link);
    const secret =
      node.attribs?.["data-cfemail"] ??
      (node.name === "a" ? /\/email-protection#([\da-f]{8,})$/i.exec(node.attribs.href ?? "")?.[1] : undefined);
    if (secret) push(node, shieldedEmail(secret), link);
    reading.ranges.set(node, { start, end: reading.segments.length });
    if (block) line++;
  };
  for (const node of scope.toArray()) visit(node, null);
  countTexts(reading);
  return reading;
}

/**
 * What is never shown. A box that is hidden may be shown at a click, as the closed parts of an accordion and the later pages of a list
 * are; inside of a line, hidden text is there to mislead.
 */
function isHidden(node: any): boolean {
  const hidden = node.attribs?.hidden !== undefined || /display\s*:\s*none/i.test(node.attribs?.style ?? "");
  return hidden && (!BLOCK.has(node.name) || /\{\{|<%/.test(firstText(node)));
}

function firstText(node: any): string {
  for (const child of node.children ?? []) {
    const text = child.type === "text" ? child.data.trim() : firstText(child);
    if (text !== "") return text;
  }
  return "";
}

/** What stands in place of text: the name under a logo, the title of an empty link. */
function attributeTexts(node: any): string[] {
  if (node.name === "img")
    return [
      cleanText(node.attribs.alt ?? "")
        .replace(/\s*\blogo\b\s*(of|for)?\s*/i, " ")
        .trim(),
    ];
  if (node.name === "a") return [node.attribs["aria-label"] ?? node.attribs.title ?? ""];
  return [];
}

/** An address hidden from robots that read no scripts: hexadecimal, the first byte is the key. */
function shieldedEmail(hex: string): string {
  const bytes = (hex.match(/../g) ?? []).map((pair) => Number.parseInt(pair, 16));
  return bytes
    .slice(1)
    .map((byte) => String.fromCharCode(byte ^ (bytes[0] ?? 0)))
    .join("");
}

function countTexts(reading: Reading): void {
  const last = new Map<string, number>();
  reading.segments.forEach(({ text }, at) => {
    const key = text.toLowerCase();
    const before = last.get(key);
    last.set(key, at);
    if (before === undefined || at - before > NEIGHBOURS)
      reading.frequency.set(key, (reading.frequency.get(key) ?? 0) + 1);
  });
}

/** Signs at the ends that only divide texts. */
function tidy(text: string): string {
  return cleanText(text).replace(/^[\s,;|•·–—>»-]+(?=\S)|[\s,;|•·–—»-]+$/g, "");
}

/** Texts that stand for one entry each cannot stand on the page again and again. */
export function isUnusual(reading: Reading, segment: Segment): boolean {
  return (reading.frequency.get(segment.text.toLowerCase()) ?? 0) < 3;
}

const pieces = new WeakMap<Segment, Segment[]>();

/** The pieces of a range: long lines taken apart, everything else as it stands. */
export function piecesOf(segments: readonly Segment[]): Segment[] {
  return segments.flatMap((segment) => {
    const known = pieces.get(segment);
    if (known !== undefined) return known;
    const long = segment.text.length > 12 && segment.kind !== "label";
    const apart = long
      ? takeApart(segment.text, segment.region).map(({ text, kind }) => ({ ...segment, text, kind }))
      : [segment];
    pieces.set(segment, apart);
    return apart;
  });
}

export type LinkKind = "inside" | "outside" | "social" | "mail" | "tel" | "none";

/** Where a link leads, as seen from the page. */
export function linkKind(page: Page, href: string | null): LinkKind {
  if (href === null) return "none";
  if (/^mailto:/i.test(href)) return "mail";
  if (/^(tel|callto|sms):/i.test(href)) return "tel";
  const url = resolveUrl(href, page.base);
  if (url === null) return "none";
  if (sameSite(url, page.url)) return leadsOut(url) ? "outside" : "inside";
  return isSocial(url) ? "social" : "outside";
}
