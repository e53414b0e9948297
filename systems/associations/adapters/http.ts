/**
 * The one way out to the web: GET with an honest name, limits on time, size and redirects, and errors that say what to do next.
 *
 * Uses undici's Agent and its plain `request`, which costs half of what `fetch` does. Each hop of a redirect passes `before`, so robots.txt
 * and rate limits hold for it as well, and no public address leads to a private network.
 */
import { Agent } from "undici";
import {
  ConnectionError,
  ForbiddenError,
  NotFoundError,
  PageError,
  RateLimitError,
  RefusedError,
  ServerError,
  TimeoutError,
} from "../domain/errors.ts";
import { sameSite } from "../domain/url.ts";
import type { Answer } from "./body.ts";
import { discard, headerOf, readBody } from "./body.ts";
import { decodeBody } from "./decode.ts";
import { guardedLookup, isPrivateAddress, isWebPort, privateAddressIn } from "./network-guard.ts";

export interface HttpOptions {
  userAgent: string;
  timeoutMs?: number;
  /** Of the body, after decompression. */
  maxBytes?: number;
  maxRedirects?: number;
  now?: () => number;
}

export interface GetOptions {
  signal?: AbortSignal;
  /** Runs before each request, redirects included; throwing stops it. */
  before?: (url: string) => Promise<void>;
  /** Of a longer body only this much is read, instead of refusing it. */
  truncateAt?: number;
}

export interface Fetched {
  /** Where the body came from, after redirects. */
  url: string;
  status: number;
  text: string;
  bytes: number;
  contentType: string | null;
  linkHeader: string | null;
  /** All headers, names in lower case; Set-Cookie once for each cookie. */
  headers: [name: string, value: string][];
  /** The body as it came, for what is no text. */
  body: Uint8Array;
}

export interface HttpClient {
  /** The page. @throws NotFoundError, ForbiddenError, RateLimitError, ServerError, TimeoutError, ConnectionError, RefusedError */
  get(url: string, options?: GetOptions): Promise<Fetched>;
  close(): Promise<void>;
}

/** To one site. */
const CONNECTIONS = 16;
const REDIRECTS = new Set([301, 302, 303, 307, 308]);
const HEADERS = {
  accept: "text/html,application/xhtml+xml,application/xml;q=0.9,application/json;q=0.8,*/*;q=0.5",
  "accept-encoding": "gzip, deflate, br",
  "accept-language": "en",
};

/** A client with its own connections; `close` it at the end. */
export function createHttpClient(options: HttpOptions): HttpClient {
  const { userAgent, timeoutMs = 30_000, maxBytes = 8_000_000, maxRedirects = 5, now = Date.now } = options;
  const connect = { timeout: Math.min(timeoutMs, 10_000) };
  // One limit on time holds for the whole request, below.
  const settings = { connections: CONNECTIONS, headersTimeout: 0, bodyTimeout: 0 };
  const publicAgent = new Agent({ ...settings, connect: { ...connect, lookup: guardedLookup } });
  // Addresses that the caller itself named, such as a site on loopback, are reached without the guard.
  const privateAgent = new Agent({ ...settings, connect });

  async function once(url: string, privateAllowed: boolean, signal: AbortSignal): Promise<Answer> {
    const { origin, pathname, search, hostname, port } = new URL(url);
    if (!privateAllowed && isPrivateAddress(hostname))
      throw new RefusedError("private_address", `${url} is an address of a private network`, { url });
    if (!privateAllowed && !isWebPort(port))
      throw new RefusedError("port", `${url} is at a port where no web server is expected`, { url });
    return await (privateAllowed ? privateAgent : publicAgent).request({
      origin,
      path: pathname + search,
      method: "GET",
      headers: { ...HEADERS, "user-agent": userAgent },
      signal,
    });
  }

  /** One request with its answer's body, or where it redirects to. */
  async function hop(
    url: string,
    { get, privateAllowed }: { get: GetOptions; privateAllowed: boolean },
  ): Promise<Fetched | { redirect: string }> {
    const { signal } = get;
    signal?.throwIfAborted();
    const control = new AbortController();
    let timedOut = false;
    const timer = setTimeout(() => {
      timedOut = true;
      control.abort();
    }, timeoutMs);
    const stop = () => control.abort(signal?.reason);
    signal?.addEventListener("abort", stop, { once: true });
    try {
      const answer = await once(url, privateAllowed, control.signal);
      const location = REDIRECTS.has(answer.statusCode) ? headerOf(answer, "location") : null;
      if (location === null) return await read(answer, url, get.truncateAt);
      await discard(answer);
      return { redirect: location };
    } catch (error) {
      throw translate(error, url, { stopped: signal, timedOut, timeoutMs });
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener("abort", stop);
    }
  }

  async function follow(start: string, get: GetOptions): Promise<Fetched> {
    const privateStart = await privateAddressIn(new URL(start).hostname);
    let url = start;
    for (let hops = 0; hops <= maxRedirects; hops++) {
      await get.before?.(url);
      const answer = await hop(url, { get, privateAllowed: privateStart && sameSite(start, url) });
      if (!("redirect" in answer)) return answer;
      const target = URL.parse(answer.redirect, url);
      if (target === null || !/^https?:$/.test(target.protocol)) {
        throw new RefusedError("bad_redirect", `${url} redirects to ${answer.redirect}, which cannot be followed`, {
          url,
        });
      }
      url = target.href;
    }
    throw new RefusedError("too_many_redirects", `${start} redirects more than ${maxRedirects} times`, { url: start });
  }

  async function read(answer: Answer, url: string, truncateAt: number | undefined): Promise<Fetched> {
    const { statusCode: status } = answer;
    if (status < 200 || status > 299) {
      await discard(answer);
      throw errorForStatus(status, url, retryAfterMs(headerOf(answer, "retry-after"), now()));
    }
    const bytes = await readBody(answer, { url, maxBytes, truncateAt });
    const contentType = headerOf(answer, "content-type");
    return {
      url,
      status,
      text: decodeBody(bytes, contentType),
      bytes: bytes.byteLength,
      contentType,
      linkHeader: headerOf(answer, "link"),
      headers: Object.entries(answer.headers).flatMap(([name, value]) =>
        [value ?? []].flat().map((one): [string, string] => [name, one]),
      ),
      body: bytes,
    };
  }

  return {
    async get(url, get = {}) {
      const parsed = URL.parse(url);
      if (parsed === null || !/^https?:$/.test(parsed.protocol))
        throw new RefusedError("bad_url", `${url} is not an http(s) address`, { url });
      return await follow(parsed.href, get);
    },
    async close() {
      await Promise.all([publicAgent.destroy(), privateAgent.destroy()]);
    },
  };
}

/** The error for an answer that is not a page. */
export function errorForStatus(status: number, url: string, retryAfter: number | undefined): PageError {
  const facts = { url, status, ...(retryAfter === undefined ? {} : { retryAfterMs: retryAfter }) };
  const message = `${url} answered ${status}`;
  if (status === 404 || status === 410) return new NotFoundError(message, facts);
  if (status === 401 || status === 403) return new ForbiddenError(message, facts);
  if (status === 429) return new RateLimitError(message, { ...facts, retryAfterMs: retryAfter ?? 60_000 });
  if (status >= 500 || status === 408 || status === 425) return new ServerError(message, facts);
  return new RefusedError(`http_${status}`, message, facts);
}

/** Milliseconds to wait that a Retry-After header asks for: seconds or a date; at most a day. */
export function retryAfterMs(header: string | null, now: number): number | undefined {
  const text = header?.trim();
  if (!text) return undefined;
  const at = /^\d+(\.\d+)?$/.test(text) ? now + Number(text) * 1000 : Date.parse(text);
  return Number.isNaN(at) ? undefined : Math.min(Math.max(0, Math.round(at - now)), 86_400_000);
}

interface Circumstances {
  stopped: AbortSignal | undefined;
  timedOut: boolean;
  timeoutMs: number;
}

function translate(error: unknown, url: string, { stopped, timedOut, timeoutMs }: Circumstances): unknown {
  if (error instanceof PageError) return error;
  // The caller gave up: its own reason is the answer, not a fault of the site.
  if (stopped?.aborted) return stopped.reason;
  if (timedOut) return new TimeoutError(`${url} did not answer within ${timeoutMs} ms`, { url, cause: error });
  const code = errorCode(error);
  if (code === "EPRIVATE")
    return new RefusedError("private_address", `${url} leads into a private network`, { url, cause: error });
  if (code !== undefined && /TIMEOUT|ETIMEDOUT/.test(code))
    return new TimeoutError(`${url}: ${code}`, { url, cause: error });
  return new ConnectionError(`no connection to ${url}: ${code ?? String(error)}`, {
    url,
    cause: error,
    ...(code === undefined ? {} : { code }),
  });
}

/** The code of an error or of what caused it: undici wraps the socket's error. */
function errorCode(error: unknown): string | undefined {
  for (
    let at: any = error, depth = 0;
    at !== null && typeof at === "object" && depth < 5;
    at = at.cause ?? at.errors?.[0], depth++
  ) {
    if (typeof at.code === "string") return at.code;
  }
  return undefined;
}
