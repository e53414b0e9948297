/**
 * How fast a site may be asked, as names of the engine's limiters.
 *
 * `host:*` holds the pipeline's rate. Where an association or its robots.txt asks for more time between requests, the host passes a
 * slower limiter as well, the next of a fixed row, because limiters are declared before a run knows any robots.txt.
 */

/** Milliseconds between requests for which there is a limiter `spaced-<ms>:*`. */
export const SPACINGS_MS = [
  10, 20, 50, 100, 200, 500, 1_000, 2_000, 3_000, 5_000, 10_000, 15_000, 20_000, 30_000, 60_000, 120_000, 300_000,
] as const;

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
  if (wantedMs <= 1000 / ratePerSecond + 0.001) return null;
  return SPACINGS_MS.find((ms) => ms >= wantedMs - 0.001) ?? SPACINGS_MS.at(-1)!;
}

/** The limiters to pass before a request to this address. */
export function limitersFor(url: string, spacingMs: number | null): string[] {
  const { host } = new URL(url);
  return spacingMs === null ? [`host:${host}`] : [`host:${host}`, `spaced-${spacingMs}:${host}`];
}

/** A rate as `count` per `perSeconds`. */
export function rateOf(ratePerSecond: number): { count: number; perSeconds: number } {
  return ratePerSecond >= 1 ? { count: ratePerSecond, perSeconds: 1 } : { count: 1, perSeconds: 1 / ratePerSecond };
}
