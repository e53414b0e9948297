/** A fetched page, parsed once and handed to every rule. */
import { load } from "cheerio";
import type { Cheerio, CheerioAPI } from "cheerio";
import { resolveUrl } from "./url.ts";

/** A part of a page: one or more elements. */
export type Scope = Cheerio<any>;

export interface Page {
  /** Where it came from, after redirects. */
  url: string;
  /** What its links are relative to: `<base href>` or the URL. */
  base: string;
  $: CheerioAPI;
  /** `Link` header, if the answer had one. */
  linkHeader: string | null;
  /** The address of the following page, where a JSON answer names it. */
  jsonNext: string | null;
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
  $("script:not([type='application/ld+json']), style, noscript, template").remove();
  const base = resolveUrl($("base[href]").first().attr("href"), source.url) ?? source.url;
  return { url: source.url, base, $, linkHeader: source.linkHeader ?? null, jsonNext: json?.next ?? null };
}

function unwrapJson(text: string, url: string): { html: string; next: string | null } | null {
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
  return { html: html.join("\n"), next };
}

/** Text with runs of white space made one space. */
export function cleanText(text: string): string {
  return text.replace(/[\s\u00a0\u200b\ufeff]+/g, " ").trim();
}
