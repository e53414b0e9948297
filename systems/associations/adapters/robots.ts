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
const MAX_LENGTH = 500_000;

/** The rules of a robots.txt for one user agent. `robotsUrl` is where the file lies. */
export function readRobots(robotsUrl: string, text: string, userAgent: string): Robots {
  // The package is CommonJS; depending on the loader the function is the module or its default.
  const parse = ((robotsParser as any).default ?? robotsParser) as (url: string, text: string) => any;
  const rules = parse(robotsUrl, text.slice(0, MAX_LENGTH));
  const delay = Number(rules.getCrawlDelay(userAgent) ?? Number.NaN);
  return {
    // undefined: an address of another site, about which this file says nothing.
    allows: (url) => rules.isAllowed(url, userAgent) !== false,
    crawlDelaySeconds: Number.isFinite(delay) && delay > 0 ? delay : null,
    sitemaps: rules.getSitemaps(),
  };
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
    const answer = await http.get(robotsUrl, options);
    // Sites that answer every address with their home page have no robots.txt.
    return /^\s*<(!doctype|html)/i.test(answer.text) ? "" : answer.text;
  } catch (error) {
    if (error instanceof NotFoundError || error instanceof ForbiddenError) return "";
    const { status } = error as { status?: number };
    if (status !== undefined && status >= 400 && status < 500 && status !== 429) return "";
    throw error;
  }
}
