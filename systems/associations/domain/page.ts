/** A fetched page, parsed once and handed to every rule. */

import type { Cheerio, CheerioAPI } from "cheerio";
import { load } from "cheerio";
import { resolveUrl } from "./url.ts";

/** A part of a page: one or more elements. */
export type Scope = Cheerio<any>;

export interface Page {
  /** Where it came from, after redirects. */
  url: string;
  /** What its links are relative to: `<base href>` or the URL. */
  base: string;
  $: CheerioAPI;
  /** Every class and attribute name that occurs, so that selectors which cannot match need not be tried. */
  words: { classes: ReadonlySet<string>; attributes: ReadonlySet<string> };
  /** `Link` header, if the answer had one. */
  linkHeader: string | null;
  /** The address of the following page, where a JSON answer names it. */
  jsonNext: string | null;
  /** The answer as data, where it is JSON. */
  json: unknown;
  /** Scripts that may hold data. */
  scripts: string[];
}

export interface PageSource {
  url: string;
  text: string;
  contentType?: string | null;
  linkHeader?: string | null;
}

/** The page, whether it came as HTML, as a fragment, or as JSON that carries HTML (load more). */
export function parsePage(source: PageSource): Page {
  const json = /\bjson\b/i.test(source.contentType ?? "") ? unwrapJson(source.text, source.url) : null;
  const $ = load(json?.html ?? source.text);
  const { scripts, unread, unscripted, preformatted } = partsOf($);
  for (const node of unread) $(node).remove();
  for (const node of unscripted) unwrapUnscripted($, node);
  // Lines of preformatted text are lines like others.
  for (const node of preformatted) $(node).html(preformattedHtml(($(node).html() ?? "").replace(/^\n+|\s+$/g, "")));
  const base = resolveUrl($("base[href]").first().attr("href"), source.url) ?? source.url;
  return {
    url: source.url,
    base,
    $,
    words: wordsOf($),
    linkHeader: source.linkHeader ?? null,
    jsonNext: json?.next ?? null,
    json: json?.value,
    scripts,
  };
}

/** Columns that spaces divide are a table; other lines are lines. */
function preformattedHtml(html: string): string {
  const lines = html.split(/\r?\n/);
  const columns = lines.map((line) => line.trim().split(/\t+| {2,}/));
  const full = lines.filter((line) => line.trim() !== "");
  const divided = columns.filter((cells) => cells.length > 1).length;
  if (full.length < 3 || divided < full.length * 0.7 || /<(?!\/?(?:b|i|a|strong|em|font|span|u)\b)/i.test(html))
    return html.trim().replace(/\r?\n/g, "<br>");
  return `<table>${columns.map((cells) => `<tr>${cells.map((cell) => `<td>${cell}</td>`).join("")}</tr>`).join("")}</table>`;
}

/** What stands here instead of a page that scripts make, and not merely a request to turn them on. */
const MIN_NOSCRIPT_CHARS = 300;

/** The parser gives what stands in `noscript` as text. */
function unwrapUnscripted($: CheerioAPI, node: any): void {
  const html = $(node).text();
  const worth = cleanText(html.replace(/<[^>]*>/g, " ")).length >= MIN_NOSCRIPT_CHARS;
  if (worth) $(node).replaceWith(`<div>${html}</div>`);
  else $(node).remove();
}

/** Scripts that may hold data; what nobody reads on a page; and preformatted text. */
function partsOf($: CheerioAPI): { scripts: string[]; unread: any[]; unscripted: any[]; preformatted: any[] } {
  const parts = { scripts: [] as string[], unread: [] as any[], unscripted: [] as any[], preformatted: [] as any[] };
  const visit = (node: any): void => {
    const { name, attribs = {} } = node;
    if (name === "script" && attribs.type === "application/ld+json") return;
    if (name === "script" && attribs.src === undefined) {
      const text = (node.children ?? []).map((child: any) => child.data ?? "").join("");
      if (text.length > 40 && /[[{]\s*["'{\w]|\b(fetch|getJSON|ajax)\b/.test(text)) parts.scripts.push(text);
    }
    if (name === "noscript") parts.unscripted.push(node);
    else if (name === "script" || name === "style" || name === "template") parts.unread.push(node);
    else {
      if (name === "pre") parts.preformatted.push(node);
      for (const child of node.children ?? []) visit(child);
    }
  };
  visit($.root().get(0));
  return parts;
}

function wordsOf($: CheerioAPI): Page["words"] {
  const classes = new Set<string>();
  const attributes = new Set<string>();
  const visit = (node: any): void => {
    for (const name of Object.keys(node.attribs ?? {})) attributes.add(name);
    for (const word of (node.attribs?.class ?? "").split(/\s+/)) classes.add(word);
    for (const child of node.children ?? []) visit(child);
  };
  visit($.root().get(0));
  return { classes, attributes };
}

/** False when a selector names a class or attribute that the page does not have: a schema has 150 selectors, a page needs ten. */
export function mayMatch(page: Page, css: string): boolean {
  const needed = needs.get(css) ?? neededBy(css);
  needs.set(css, needed);
  const { attributes, classes } = page.words;
  return needed.attributes.every((name) => attributes.has(name)) && needed.classes.every((name) => classes.has(name));
}

interface Needed {
  attributes: string[];
  classes: string[];
}

/** By selector; there are as many as schemas name. */
const needs = new Map<string, Needed>();

function neededBy(css: string): Needed {
  // Lists, :not() and the like are left to the selector engine.
  if (/[:,\\]/.test(css)) return { attributes: [], classes: [] };
  return {
    attributes: [...css.matchAll(/\[\s*([\w-]+)/g)].map((match) => match[1]!.toLowerCase()),
    classes: [...css.replace(/\[[^\]]*\]/g, "").matchAll(/\.([\w-]+)/g)].map((match) => match[1]!),
  };
}

function unwrapJson(text: string, url: string): { value: unknown; html: string; next: string | null } | null {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return null;
  }
  const html: string[] = [];
  let next: string | null = null;
  const visit = (node: unknown, key: string, depth: number): void => {
    if (depth > 6 || node === null) return;
    if (typeof node === "string") {
      if (/next/i.test(key) && next === null) next = resolveUrl(node, url);
      else if (node.includes("<")) html.push(node);
    } else if (typeof node === "object") {
      for (const [name, child] of Object.entries(node)) visit(child, Array.isArray(node) ? key : name, depth + 1);
    }
  };
  visit(value, "", 0);
  return { value, html: html.join("\n"), next };
}

/** Text with runs of white space made one space. */
export function cleanText(text: string): string {
  return text.replace(/[\s\u00a0\u200b\ufeff]+/g, " ").trim();
}
