/** Addresses: resolving, identity, merging of queries, and which host is which. */

import { getDomain } from "tldts";

const TRACKING = /^(utm_[a-z]+|fbclid|gclid|msclkid|mc_[ce]id|_ga|_gl|phpsessid|jsessionid)$/i;

/** Hosts whose links never lead to a member's page or website of its own. Compared by host, never by substring. */
const SOCIAL_HOSTS = [
  "facebook.com",
  "twitter.com",
  "x.com",
  "linkedin.com",
  "instagram.com",
  "youtube.com",
  "youtu.be",
  "pinterest.com",
  "tiktok.com",
  "threads.net",
  "google.com",
  "goo.gl",
  "apple.com",
  "yelp.com",
  "whatsapp.com",
  "wa.me",
  "t.me",
];

/** The absolute http(s) URL that `href` means on page `base`, without fragment; null when there is none. */
export function resolveUrl(href: string | undefined | null, base: string): string | null {
  const text = href?.trim();
  if (!text || text.startsWith("#")) return null;
  const url = URL.parse(text, base);
  if (url === null || (url.protocol !== "http:" && url.protocol !== "https:")) return null;
  url.hash = "";
  return url.href;
}

/** As `resolveUrl`, and without the parameters that only track visitors. */
export function canonicalUrl(href: string | undefined | null, base: string): string | null {
  const resolved = resolveUrl(href, base);
  if (resolved === null) return null;
  const url = new URL(resolved);
  const tracking = [...new Set(url.searchParams.keys())].filter((name) => TRACKING.test(name));
  // Untouched queries keep their spelling: URLSearchParams would write it anew.
  for (const name of tracking) url.searchParams.delete(name);
  return url.href;
}

/** What two spellings of one address have in common: for comparing, not for fetching. */
export function urlKey(url: string): string {
  const parsed = URL.parse(url);
  if (parsed === null) return url;
  const path = parsed.pathname.replace(/\/+$/, "");
  const query = [...parsed.searchParams].map(([name, value]) => `${name}=${value}`).sort();
  return `${bareHost(parsed.host)}${path}${query.length > 0 ? `?${query.join("&")}` : ""}`;
}

/** `url` with these parameters set: each replaces what the query already had under its name, the others stay. */
export function mergeQuery(url: string, params: Record<string, string | number>): string {
  const merged = new URL(url);
  for (const [name, value] of Object.entries(params)) merged.searchParams.set(name, String(value));
  return merged.href;
}

/** Host in lower case, without a leading `www.`. */
export function bareHost(host: string): string {
  return host.toLowerCase().replace(/^www\./, "");
}

/** The domain that somebody registered (`example.co.uk` of `www.shop.example.co.uk`); null for IP addresses and names such as localhost. */
export function registrableDomain(url: string): string | null {
  const host = URL.parse(url)?.hostname ?? url;
  return getDomain(host, { allowPrivateDomains: true, validateHostname: false });
}

/** True when both addresses are on one site: same host (with or without `www.`) and port. */
export function sameSite(left: string, right: string): boolean {
  const a = URL.parse(left);
  const b = URL.parse(right);
  return a !== null && b !== null && bareHost(a.host) === bareHost(b.host);
}

/** True for the host itself and for its subdomains. */
export function isSocial(url: string): boolean {
  const host = URL.parse(url)?.hostname.toLowerCase();
  if (host === undefined) return false;
  return SOCIAL_HOSTS.some((social) => host === social || host.endsWith(`.${social}`));
}

/** The address at the head of a redirecting link (`/out?url=https%3A%2F%2F…`), if there is one. */
export function wrappedUrl(url: string): string | null {
  const parsed = URL.parse(url);
  if (parsed === null) return null;
  for (const [name, value] of parsed.searchParams) {
    if (/^(url|u|to|target|dest|destination|link|redirect|goto)$/i.test(name) && /^https?:\/\//i.test(value))
      return value;
  }
  return null;
}

/** A link of this site that only counts those who leave it (`/out?url=https%3A%2F%2F…`). */
export function leadsOut(url: string): boolean {
  const wrapped = wrappedUrl(url);
  return wrapped !== null && !sameSite(wrapped, url) && !isSocial(wrapped);
}
