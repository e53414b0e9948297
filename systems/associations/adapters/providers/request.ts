/**
 * One JSON request to a provider, and errors that say what to do next.
 *
 * 1. Keys travel in headers wherever a provider allows it; no error message or log holds one.
 * 2. Answers are bounded in time and size; redirects are not followed, so that no key goes elsewhere.
 * 3. 404 is an answer ("not known") and gives null. What is no JSON, or not of the expected form, is a ParseError.
 */
import { Agent, fetch } from "undici";
import { z } from "zod";
import { ProviderKeyError, ProviderRefusedError } from "../../domain/enrichment/provider-errors.ts";
import {
  ConnectionError,
  PageError,
  ParseError,
  RateLimitError,
  RefusedError,
  ServerError,
  TimeoutError,
} from "../../domain/errors.ts";
import { retryAfterMs } from "../http.ts";

export interface ProviderRequest {
  /** Said in errors. */
  provider: string;
  method?: "GET" | "POST";
  /** Base address, as configured. */
  baseUrl: string;
  path: string;
  /** Empty values are left out. */
  query?: Readonly<Record<string, string | number | null | undefined>>;
  headers?: Readonly<Record<string, string>>;
  body?: unknown;
}

export interface RequestOptions {
  signal?: AbortSignal;
  timeoutMs?: number;
  maxBytes?: number;
  now?: () => number;
}

const TIMEOUT_MS = 30_000;
const MAX_BYTES = 4_000_000;
const RATE_LIMIT_WAIT_MS = 60_000;

const agent = new Agent({ connect: { timeout: 10_000 }, connections: 8 });

/**
 * The answer in the form of `schema`, or null when the provider does not know.
 * @throws ProviderKeyError, ProviderRefusedError, RateLimitError, ServerError, TimeoutError, ConnectionError, ParseError, RefusedError
 */
export async function requestJson<S extends z.ZodType>(
  request: ProviderRequest,
  schema: S,
  options: RequestOptions = {},
): Promise<z.output<S> | null> {
  const { signal, timeoutMs = TIMEOUT_MS, maxBytes = MAX_BYTES, now = Date.now } = options;
  const timeout = AbortSignal.timeout(timeoutMs);
  const both = signal === undefined ? timeout : AbortSignal.any([signal, timeout]);
  try {
    const response = await fetch(urlOf(request), {
      dispatcher: agent,
      method: request.method ?? "GET",
      headers: {
        accept: "application/json",
        ...(request.body === undefined ? {} : { "content-type": "application/json" }),
        ...request.headers,
      },
      ...(request.body === undefined ? {} : { body: JSON.stringify(request.body) }),
      redirect: "manual",
      signal: both,
    });
    if (response.status < 200 || response.status > 299) {
      await response.body?.cancel();
      const wait = retryAfterMs(response.headers.get("retry-after"), now());
      return refused(request, response.status, wait);
    }
    return parsed(request, await bounded(response.body, maxBytes, request), schema);
  } catch (error) {
    if (error instanceof PageError) throw error;
    if (signal?.aborted) throw signal.reason;
    if (timeout.aborted) throw new TimeoutError(`${request.provider} did not answer within ${timeoutMs} ms`);
    throw new ConnectionError(`no connection to ${request.provider}: ${causeOf(error)}`);
  }
}

function urlOf({ baseUrl, path, query = {} }: ProviderRequest): string {
  const url = new URL(`${baseUrl.replace(/\/+$/, "")}${path}`);
  for (const [name, value] of Object.entries(query)) {
    if (value !== null && value !== undefined && value !== "") url.searchParams.set(name, String(value));
  }
  return url.href;
}

/** What an answer other than 2xx means; null for "not known". */
function refused({ provider }: ProviderRequest, status: number, wait: number | undefined): null {
  const message = `${provider} answered ${status}`;
  if (status === 404 || status === 410) return null;
  if (status === 401) {
    throw new ProviderKeyError(`${message}: the key was refused`, {
      status,
      hint: `Check the key of ${provider} in the environment, then retry the run; or leave it out of the providers.`,
    });
  }
  if (status === 402 || status === 403) {
    throw new ProviderRefusedError(`${message}: the account may not do this, or its credit is used up`, { status });
  }
  if (status === 429) throw new RateLimitError(message, { status, retryAfterMs: wait ?? RATE_LIMIT_WAIT_MS });
  if (status >= 500 || status === 408 || status === 425) {
    throw new ServerError(message, { status, ...(wait === undefined ? {} : { retryAfterMs: wait }) });
  }
  throw new RefusedError(`http_${status}`, message, { status });
}

async function bounded(
  body: AsyncIterable<Uint8Array> | null,
  maxBytes: number,
  { provider }: ProviderRequest,
): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of body ?? []) {
    size += chunk.byteLength;
    if (size > maxBytes) throw new ParseError(`${provider} sent more than ${maxBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

function parsed<S extends z.ZodType>({ provider }: ProviderRequest, text: string, schema: S): z.output<S> | null {
  if (text.trim() === "") return null;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new ParseError(`${provider} sent something that is no JSON`);
  }
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  throw new ParseError(`${provider} sent JSON of another form: ${z.prettifyError(result.error).slice(0, 500)}`);
}

function causeOf(error: unknown): string {
  for (let at: any = error, depth = 0; at !== null && typeof at === "object" && depth < 5; at = at.cause, depth++) {
    if (typeof at.code === "string") return at.code;
  }
  return (error as Error | null)?.name ?? "unknown error";
}
