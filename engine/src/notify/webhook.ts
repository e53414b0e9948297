/**
 * Messages as HTTP requests.
 *
 * Invariants: (1) only http and https; a name is resolved once per request, all its addresses are checked, and the socket
 * connects to one that was checked; addresses of private networks are refused unless allowed (S-20); (2) no redirect is
 * followed, so that neither the message nor a header goes where nobody sent it; (3) of an answer at most 64 KB are read
 * (S-21); (4) a signature is that of Standard Webhooks (S-22); (5) errors name the host only: paths hold secrets.
 */
import { createHmac } from "node:crypto";
import { lookup } from "node:dns";
import { type ClientRequest, request as httpRequest, type IncomingMessage } from "node:http";
import { request as httpsRequest } from "node:https";
import { isIP, type LookupFunction } from "node:net";
import { TenutoError } from "../core/errors.ts";
import type { Message, WebhookSpec } from "../ports/notifier.ts";
import { fill } from "./fill.ts";

const MAX_ANSWER_BYTES = 65_536;

export interface WebhookParts {
  isPrivate(address: string): boolean;
  /** Seconds since 1970. */
  seconds(): number;
}

/** Sends one message. @throws TenutoError, `permanent` where another attempt is of no use */
export async function postMessage(
  spec: WebhookSpec,
  message: Message,
  signal: AbortSignal,
  parts: WebhookParts,
): Promise<void> {
  const url = new URL(spec.url);
  const body = JSON.stringify(spec.body === undefined ? message : fill(spec.body, message));
  const host = url.hostname.replace(/^\[|\]$/g, "");
  if (isIP(host) !== 0) assertAllowed(host, host, spec, parts);
  const headers = {
    ...filledHeaders(spec, message),
    "content-type": "application/json",
    "content-length": String(Buffer.byteLength(body)),
    "user-agent": "tenuto",
    ...signed(spec, message.id, body, parts.seconds()),
  };
  const answer = await exchange(url, body, {
    method: spec.method ?? "POST",
    headers,
    signal,
    lookup: checkedLookup(spec, parts),
  });
  assertTaken(answer, url);
}

function filledHeaders(spec: WebhookSpec, message: Message): Record<string, string> {
  const filled = Object.entries(spec.headers ?? {}).map(([name, value]): [string, string] => [
    name.toLowerCase(),
    // A line break in a value would begin another header.
    String(fill(value, message) ?? "").replaceAll(/[\r\n\0]+/g, " "),
  ]);
  return Object.fromEntries(filled);
}

function assertAllowed(address: string, host: string, spec: WebhookSpec, parts: WebhookParts): void {
  if (spec.allowPrivate === true || !parts.isPrivate(address)) return;
  throw new TenutoError("invalid_config", `the webhook's host ${host} is in a private network (${address})`, {
    hint: "Set webhook.allowPrivate: true if that is meant.",
  });
}

/** Resolves once, refuses if any address is private, and gives what was checked to the socket. */
function checkedLookup(spec: WebhookSpec, parts: WebhookParts): LookupFunction {
  return (host, options, callback) => {
    lookup(host, { all: true, family: options.family ?? 0 }, (error, addresses) => {
      if (error !== null) return callback(error, "", 0);
      try {
        for (const { address } of addresses) assertAllowed(address, host, spec, parts);
      } catch (refused) {
        return callback(refused as Error, "", 0);
      }
      if (options.all === true) return (callback as unknown as (e: null, a: typeof addresses) => void)(null, addresses);
      callback(null, addresses[0]!.address, addresses[0]!.family);
    });
  };
}

/** `webhook-signature`: one per secret, over id, time and body. */
function signed(spec: WebhookSpec, id: string, body: string, seconds: number): Record<string, string> {
  if (spec.secret === undefined) return { "webhook-id": id };
  const secrets = typeof spec.secret === "string" ? [spec.secret] : spec.secret;
  const time = String(seconds);
  const signature = (secret: string) => {
    const key = secret.startsWith("whsec_") ? Buffer.from(secret.slice(6), "base64") : Buffer.from(secret);
    return `v1,${createHmac("sha256", key).update(`${id}.${time}.${body}`).digest("base64")}`;
  };
  return { "webhook-id": id, "webhook-timestamp": time, "webhook-signature": secrets.map(signature).join(" ") };
}

interface Answer {
  status: number;
  retryAfter: string | undefined;
}

function exchange(
  url: URL,
  body: string,
  options: { method: string; headers: Record<string, string>; signal: AbortSignal; lookup: LookupFunction },
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const send = url.protocol === "https:" ? httpsRequest : httpRequest;
    let request: ClientRequest;
    try {
      request = send(url, { ...options, agent: false });
    } catch (error) {
      return reject(unreached(url, error));
    }
    request.on("error", (error) => reject(unreached(url, error)));
    request.on("response", (response: IncomingMessage) => {
      let bytes = 0;
      const done = () => {
        resolve({ status: response.statusCode ?? 0, retryAfter: response.headers["retry-after"] });
        request.destroy();
      };
      response.on("data", (chunk: Buffer) => {
        bytes += chunk.length;
        if (bytes > MAX_ANSWER_BYTES) done();
      });
      response.on("end", done);
      response.on("error", (error) => reject(unreached(url, error)));
    });
    request.end(body);
  });
}

function unreached(url: URL, error: unknown): TenutoError {
  if (error instanceof TenutoError) return error;
  const { code, message } = error as NodeJS.ErrnoException;
  return new TenutoError("agent_error", `${url.host} can't be reached: ${code ?? message}`, { category: "retryable" });
}

function assertTaken({ status, retryAfter }: Answer, url: URL): void {
  if (status >= 200 && status < 300) return;
  const again = status === 408 || status === 425 || status === 429 || status >= 500;
  const redirect = status >= 300 && status < 400;
  throw new TenutoError(
    "agent_error",
    `${url.host} answered ${status}${redirect ? ": redirects are not followed" : ""}`,
    {
      category: again ? "retryable" : "permanent",
      ...(again && /^\d{1,6}$/.test(retryAfter ?? "") ? { retryAfterMs: Number(retryAfter) * 1_000 } : {}),
    },
  );
}

/** Whether a URL can be one of a webhook; what is wrong otherwise. */
export function webhookFault(spec: WebhookSpec): string | null {
  if (typeof spec.url !== "string" || !URL.canParse(spec.url)) return "url must be a whole URL";
  const { protocol, username, password } = new URL(spec.url);
  if (protocol !== "https:" && protocol !== "http:") return "url must begin with https:// or http://";
  if (username !== "" || password !== "") return "url must hold no user and password; use headers";
  if (spec.method !== undefined && spec.method !== "POST" && spec.method !== "PUT") return "method must be POST or PUT";
  for (const [name, value] of Object.entries(spec.headers ?? {}))
    if (!/^[A-Za-z0-9!#$%&'*+.^_`|~-]+$/.test(name) || typeof value !== "string")
      return `headers: ${JSON.stringify(name)} must be the name of a header with a text`;
  const secrets = spec.secret === undefined ? [] : [spec.secret].flat();
  if (secrets.some((secret) => typeof secret !== "string" || secret === ""))
    return "secret must be a text that is not empty; is its variable set?";
  return null;
}
