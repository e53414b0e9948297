/** robots.txt: what it allows our name to fetch and how fast. */
import robotsParser from "robots-parser";
import { ForbiddenError, NotFoundError } from "../domain/errors.ts";
import type { HttpClient } from "./http.ts";

export interface Robots {
  allows(url: string): boolean;
  crawlDelaySeconds: number | null;
  sitemaps: string[];
}

/** Length up to which a robots.txt is read; the rest is ignored, as RFC 9309 allows. */
export const MAX_ROBOTS_BYTES = 512 * 1024;

/** The rules of a robots.txt for one user agent. `robotsUrl` is where the file lies. */
export function readRobots(robotsUrl: string, text: string, userAgent: string): Robots {
  // The package is CommonJS; depending on the loader the function is the module or its default.
  const parse = ((robotsParser as any).default ?? robotsParser) as (url: string, text: string) => any;
  const { lines, sitemaps } = cleanRobots(text);
  const rules = parse(robotsUrl, lines.join("\n"));
  const delay = Number(rules.getCrawlDelay(userAgent) ?? Number.NaN);
  return {
    // undefined: an address of another site, about which this file says nothing.
    allows: (url) => new URL(url).pathname === "/robots.txt" || rules.isAllowed(plainEscapes(url), userAgent) !== false,
    crawlDelaySeconds: Number.isFinite(delay) && delay > 0 ? delay : null,
    sitemaps,
  };
}

const DIRECTIVE =
  /^\s*(user[ -]?agent|dis{1,2}al{1,2}ow|diasllow|disallaw|allow|crawl[ -]?delay|request-rate|site-?map)\s*[:\s]\s*(.*)$/i;

/**
 * The lines that mean something, in the one spelling that the parser knows. Other lines would end a group of user agents there, though
 * RFC 9309 ignores them. A rule cut off at the end of what was read is left out: half of it would forbid too much or too little.
 */
function cleanRobots(text: string): { lines: string[]; sitemaps: string[] } {
  const read = text.slice(0, MAX_ROBOTS_BYTES);
  const whole =
    read.length < text.length || Buffer.byteLength(read) >= MAX_ROBOTS_BYTES
      ? read.slice(0, read.lastIndexOf("\n") + 1)
      : read;
  const lines: string[] = [];
  const sitemaps: string[] = [];
  const add = (delays: string[]) => {
    // Of two wishes in one group the slower one counts.
    const from = lines.findLastIndex((known) => known.startsWith("User-agent")) + 1;
    const before = lines.findIndex((known, at) => at >= from && known.startsWith("Crawl-delay"));
    const slower = (left: string, right: string) =>
      Number.parseFloat(left.slice(12)) - Number.parseFloat(right.slice(12)) || 0;
    for (const delay of delays) {
      if (before < 0) lines.push(delay);
      else if (slower(delay, lines[before]!) > 0) lines[before] = delay;
    }
  };
  for (const line of whole.replace(/^\ufeff/, "").split(/\r\n|\r|\n/)) {
    const match = DIRECTIVE.exec(line.replace(/#.*$/, ""));
    if (match === null) continue;
    const [, word = "", rest = ""] = match;
    const value = rest.trim();
    const name = word.toLowerCase();
    if (name.startsWith("user")) lines.push(`User-agent: ${value}`);
    else if (name === "allow") lines.push(`Allow: ${plainEscapes(value)}`);
    else if (name.startsWith("crawl")) add([`Crawl-delay: ${Number.parseFloat(value)}`]);
    else if (name === "request-rate") add(delayOf(value));
    else if (name.startsWith("site")) sitemaps.push(value);
    else lines.push(`Disallow: ${plainEscapes(value)}`);
  }
  return { lines, sitemaps: sitemaps.filter((url) => url !== "") };
}

/** `Request-rate: 1/10s`: one request every ten seconds. */
function delayOf(value: string): string[] {
  const match = /^(\d+)\s*\/\s*(\d+)\s*([smh]?)/i.exec(value);
  if (match === null || Number(match[1]) === 0) return [];
  const unit = { s: 1, m: 60, h: 3600 }[match[3]!.toLowerCase()] ?? 1;
  return [`Crawl-delay: ${(Number(match[2]) * unit) / Number(match[1])}`];
}

/** Escapes of letters, digits and `-._~` mean the same as the sign itself. */
function plainEscapes(text: string): string {
  return text.replace(/%(2D|2E|5F|7E|3[0-9]|4[1-9A-F]|5[0-9A]|6[1-9A-F]|7[0-9A])/gi, (_, hex) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
}

/**
 * The text of a site's robots.txt; empty when there is none (404, 403 and other 4xx), which allows everything.
 * @throws ServerError, TimeoutError, ConnectionError: a site that cannot say what it allows is not crawled now
 */
export async function fetchRobots(
  http: HttpClient,
  robotsUrl: string,
  options: Parameters<HttpClient["get"]>[1],
): Promise<string> {
  try {
    const answer = await http.get(robotsUrl, { ...options, truncateAt: MAX_ROBOTS_BYTES });
    // Sites that answer every address with their home page have no robots.txt.
    return /^\s*<(!doctype|html)/i.test(answer.text) ? "" : answer.text;
  } catch (error) {
    if (error instanceof NotFoundError || error instanceof ForbiddenError) return "";
    const { status, code } = error as { status?: number; code?: string };
    // As RFC 9309: after five redirects there is none.
    if (code === "too_many_redirects") return "";
    if (status !== undefined && status >= 400 && status < 500 && status !== 429) return "";
    throw error;
  }
}
