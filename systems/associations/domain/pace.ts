/**
 * How fast a site may be asked, as names of the engine's limiters.
 *
 * `host:*` holds the pipeline's rate. Where an association or its robots.txt asks for more time between requests, the host passes a
 * slower limiter as well, the next of a fixed row, because limiters are declared before a run knows any robots.txt.
 */
import { registrableDomain } from "./url.ts";

const STEP = 1.045;

/**
 * Milliseconds between requests for which there is a limiter `spaced-<ms>:*`: those of every usual rate and delay exactly, and
 * between them no step wider than a twentieth, so that a wish is kept within 5 % and never exceeded.
 */
export const SPACINGS_MS: readonly number[] = spacings();

function spacings(): number[] {
  const rates = [
    0.1, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.9, 1, 1.2, 1.25, 1.5, 1.75, 2, 2.5, 3, 3.5, 4, 5, 6, 7, 8, 9,
    10, 12, 15, 20,
  ];
  const usual = [
    ...rates.map((rate) => Math.ceil(1000 / rate)),
    ...Array.from({ length: 60 }, (_, at) => (at + 1) * 1000),
  ];
  const all = new Set([...usual, 90_000, 120_000, 180_000, 240_000, 300_000]);
  for (let ms = 1; ms <= 60; ms++) all.add(ms);
  const marks = [...all].sort((a, b) => a - b);
  marks.forEach((mark, at) => {
    for (let ms = mark * STEP; ms < (marks[at + 1] ?? 0) && mark >= 60; ms *= STEP) all.add(Math.floor(ms));
  });
  return [...all].sort((a, b) => a - b);
}

/** A rate above this is no limit: nothing is booked, so that a site of one's own is read as fast as it answers. */
export const UNLIMITED_ABOVE = 1000;

export interface PaceWishes {
  /** Rate of `host:*`. */
  ratePerSecond: number;
  /** `rate_limit` of the association, requests a second. */
  rateLimit: number | null;
  crawlDelaySeconds: number | null;
}

/** The slower limiter that all wishes need, or null when `host:*` is slow enough. */
export function slowerSpacing({ ratePerSecond, rateLimit, crawlDelaySeconds }: PaceWishes): number | null {
  const wantedMs = Math.max(rateLimit === null ? 0 : 1000 / rateLimit, (crawlDelaySeconds ?? 0) * 1000);
  if (wantedMs < 1 || wantedMs <= 1000 / ratePerSecond + 0.001) return null;
  return SPACINGS_MS.find((ms) => ms >= wantedMs - 0.001) ?? SPACINGS_MS.at(-1)!;
}

/** Whose patience a request costs: the registered domain, so that subdomains share one rate; host and port where there is none. */
export function paceKey(url: string): string {
  return registrableDomain(url) ?? new URL(url).host;
}

/** The limiters to pass before a request to this address. `unlimited`: the pipeline itself sets no pace. */
export function limitersFor(url: string, spacingMs: number | null, { unlimited = false } = {}): string[] {
  const host = paceKey(url);
  if (unlimited) return spacingMs === null ? [] : [`spaced-${spacingMs}:${host}`];
  return spacingMs === null ? [`host:${host}`] : [`host:${host}`, `spaced-${spacingMs}:${host}`];
}

/** A rate as `count` per `perSeconds`. */
export function rateOf(ratePerSecond: number): { count: number; perSeconds: number } {
  return ratePerSecond >= 1 ? { count: ratePerSecond, perSeconds: 1 } : { count: 1, perSeconds: 1 / ratePerSecond };
}
