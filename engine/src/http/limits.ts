/**
 * How much a client may ask: token buckets, requests in flight, and the bounds of a request.
 *
 * Owner: http. Invariant: what is remembered of clients is bounded; the oldest is forgotten first.
 */
import { HttpProblem } from "./problems.ts";

export interface ServerLimits {
  /** Of a JSON body. Default 1 MiB. */
  bodyBytes: number;
  urlChars: number;
  headerBytes: number;
  /** Requests a second of one token, and how many at once. */
  perSecond: number;
  burst: number;
  inFlight: number;
  /** Live streams of one token, and of all. */
  streamsPerToken: number;
  streams: number;
  headersTimeoutMs: number;
  requestTimeoutMs: number;
  /** Attempts to log in from one address in a minute. */
  loginsPerMinute: number;
  /** Bytes that wait for a slow client before nothing more is sent to it. */
  queueBytes: number;
  /** After this time without reading a slow client is let go. */
  stuckMs: number;
  heartbeatMs: number;
}

export const LIMITS: ServerLimits = {
  bodyBytes: 1_048_576,
  urlChars: 8_192,
  headerBytes: 16_384,
  perSecond: 50,
  burst: 100,
  inFlight: 100,
  streamsPerToken: 20,
  streams: 1_000,
  headersTimeoutMs: 10_000,
  requestTimeoutMs: 60_000,
  loginsPerMinute: 5,
  queueBytes: 1_048_576,
  stuckMs: 30_000,
  heartbeatMs: 5_000,
};

const CLIENTS_KEPT = 10_000;

interface Bucket {
  level: number;
  at: number;
}

/** Token buckets by key; `now` in milliseconds, monotonic. */
export class Buckets {
  private readonly buckets = new Map<string, Bucket>();
  private readonly perSecond: number;
  private readonly burst: number;
  private readonly now: () => number;

  constructor(perSecond: number, burst: number, now: () => number = () => performance.now()) {
    this.perSecond = perSecond;
    this.burst = burst;
    this.now = now;
  }

  /** Takes one; gives what is left, or how long to wait. */
  take(key: string): { ok: boolean; left: number; waitMs: number } {
    const at = this.now();
    const bucket = this.buckets.get(key) ?? { level: this.burst, at };
    bucket.level = Math.min(this.burst, bucket.level + ((at - bucket.at) / 1_000) * this.perSecond);
    bucket.at = at;
    this.buckets.delete(key);
    this.buckets.set(key, bucket);
    if (this.buckets.size > CLIENTS_KEPT) this.buckets.delete(this.buckets.keys().next().value as string);
    if (bucket.level < 1)
      return { ok: false, left: 0, waitMs: Math.ceil(((1 - bucket.level) / this.perSecond) * 1_000) };
    bucket.level -= 1;
    return { ok: true, left: Math.floor(bucket.level), waitMs: 0 };
  }

  /** Headers of draft-ietf-httpapi-ratelimit-headers. */
  headers(left: number): Record<string, string> {
    const window = Math.max(1, Math.ceil(this.burst / this.perSecond));
    return {
      "ratelimit-policy": `"default";q=${this.burst};w=${window}`,
      ratelimit: `"default";r=${left};t=${Math.max(1, Math.ceil((this.burst - left) / this.perSecond))}`,
    };
  }
}

export function tooMany(what: string, waitMs: number, headers: Record<string, string> = {}): HttpProblem {
  return new HttpProblem(429, "rate_limited", `too many ${what}`, {
    hint: `Wait ${Math.max(1, Math.ceil(waitMs / 1_000))} s, then go on more slowly.`,
    headers: { ...headers, "retry-after": String(Math.max(1, Math.ceil(waitMs / 1_000))) },
  });
}

/** Counts what is going on at once, by key. */
export class InFlight {
  private readonly counts = new Map<string, number>();
  private readonly max: number;

  constructor(max: number) {
    this.max = max;
  }

  /** @throws HttpProblem 429. Gives how to give it back. */
  enter(key: string, what: string): () => void {
    const now = this.counts.get(key) ?? 0;
    if (now >= this.max) throw tooMany(`${what} at once, at most ${this.max}`, 1_000);
    this.counts.set(key, now + 1);
    let inside = true;
    return () => {
      if (!inside) return;
      inside = false;
      const left = (this.counts.get(key) ?? 1) - 1;
      if (left <= 0) this.counts.delete(key);
      else this.counts.set(key, left);
    };
  }

  get total(): number {
    let sum = 0;
    for (const count of this.counts.values()) sum += count;
    return sum;
  }
}
