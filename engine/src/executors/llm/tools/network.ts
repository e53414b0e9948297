/**
 * Requests that a model asks for, through a guard: allowed hosts only, no private addresses unless allowed, what was checked
 * is what is connected to.
 *
 * Invariants: (1) a name is resolved once per connection, all its addresses are checked, and the socket connects to a
 * checked one; (2) each redirect is checked anew and at most five are followed, with no body and no header of the first
 * request but Accept; (3) size and time are bounded over all of it; (4) no proxy, cookie or credential of the engine is used.
 */
import { lookup } from "node:dns";
import { request as httpRequest, type IncomingMessage, type RequestOptions } from "node:http";
import { request as httpsRequest } from "node:https";
import { BlockList, isIP } from "node:net";
import { type HttpRights, hostAllowed } from "../../../core/llm.ts";
import { ToolProblem } from "../tool.ts";

const MAX_REDIRECTS = 5;

const PRIVATE_NETWORKS = {
  ipv4: [
    ["0.0.0.0", 8],
    ["10.0.0.0", 8],
    ["100.64.0.0", 10],
    ["127.0.0.0", 8],
    ["169.254.0.0", 16],
    ["172.16.0.0", 12],
    ["192.0.0.0", 24],
    ["192.0.2.0", 24],
    ["192.88.99.0", 24],
    ["192.168.0.0", 16],
    ["198.18.0.0", 15],
    ["198.51.100.0", 24],
    ["203.0.113.0", 24],
    ["224.0.0.0", 3],
  ],
  // Anything but global unicast, and of that what carries an IPv4 address or is set aside.
  ipv6: [
    ["::", 3],
    ["2001::", 23],
    ["2001:db8::", 32],
    ["2002::", 16],
    ["3fff::", 20],
    ["4000::", 2],
    ["8000::", 1],
  ],
} as const;
/** Two lists: one would look up an IPv4 address among the IPv6 networks as well. */
const PRIVATE = { ipv4: new BlockList(), ipv6: new BlockList() };
for (const version of ["ipv4", "ipv6"] as const)
  for (const [network, bits] of PRIVATE_NETWORKS[version]) PRIVATE[version].addSubnet(network, bits, version);

/** Addresses of private, local and special networks. */
export function isPrivate(address: string): boolean {
  const version = isIP(address);
  if (version === 0) return true;
  const family = version === 4 ? "ipv4" : "ipv6";
  return PRIVATE[family].check(address, family);
}

export interface NetworkRequest {
  url: string;
  method: string;
  headers: Record<string, string>;
  body: string | undefined;
}

export interface NetworkAnswer {
  url: string;
  status: number;
  headers: Record<string, string>;
  /** At most `maxBytes`. */
  body: Buffer;
  cut: boolean;
}

/** Carries a request out within the rights. @throws ToolProblem for what is refused or does not work */
export async function guardedRequest(
  rights: HttpRights,
  asked: NetworkRequest,
  signal: AbortSignal,
): Promise<NetworkAnswer> {
  const timeout = AbortSignal.timeout(rights.timeoutSeconds * 1_000);
  const until = AbortSignal.any([signal, timeout]);
  let current = asked;
  try {
    for (let redirects = 0; ; redirects++) {
      const url = checkedUrl(rights, current.url, current.method);
      const answer = await once(rights, url, current, until);
      const location = answer.headers["location"];
      if (location === undefined || ![301, 302, 303, 307, 308].includes(answer.status)) return answer;
      if (redirects >= MAX_REDIRECTS) throw new ToolProblem(`more than ${MAX_REDIRECTS} redirects`);
      if (!["GET", "HEAD"].includes(current.method))
        throw new ToolProblem(`${url.href} redirects a ${current.method} to ${location}; it was not followed`);
      const accept = current.headers["accept"];
      current = {
        url: new URL(location, url).href,
        method: current.method,
        headers: accept === undefined ? {} : { accept },
        body: undefined,
      };
    }
  } catch (error) {
    if (signal.aborted) throw error;
    if (timeout.aborted) throw new ToolProblem(`${asked.url} took longer than ${rights.timeoutSeconds} s`);
    if (error instanceof ToolProblem) throw error;
    throw new ToolProblem(`${asked.url} can't be reached: ${(error as Error).message}`);
  }
}

function checkedUrl(rights: HttpRights, text: string, method: string): URL {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw new ToolProblem(`${text.slice(0, 200)} is not an address`);
  }
  if (url.protocol !== "http:" && url.protocol !== "https:") throw new ToolProblem("only http and https are possible");
  if (url.username !== "" || url.password !== "") throw new ToolProblem("an address must not hold a name or password");
  const hostname = url.hostname.toLowerCase().replace(/\.$/, "");
  const host = url.port === "" ? hostname : `${hostname}:${url.port}`;
  if (!hostAllowed(hostname, url.port, rights.hosts))
    throw new ToolProblem(`${host} is not among the hosts that this agent may reach: ${rights.hosts.join(", ")}`);
  if (!rights.methods.includes(method)) throw new ToolProblem(`${method} is not allowed: ${rights.methods.join(", ")}`);
  const literal = hostname.replace(/^\[|\]$/g, "");
  if (isIP(literal) !== 0 && !rights.privateAddresses && isPrivate(literal))
    throw new ToolProblem(`${literal} is a private address`);
  return url;
}

/** A resolver for the socket itself: what is checked is what is connected to. */
function checkedLookup(rights: HttpRights): RequestOptions["lookup"] {
  return ((host: string, options: { all?: boolean; family?: number }, callback: (...args: any[]) => void) => {
    lookup(host, { family: options.family ?? 0, all: true }, (error, addresses) => {
      if (error !== null) return callback(error);
      const bad = rights.privateAddresses ? undefined : addresses.find(({ address }) => isPrivate(address));
      const first = addresses[0];
      if (bad !== undefined) return callback(new ToolProblem(`${host} leads to ${bad.address}, a private address`));
      if (first === undefined) return callback(new ToolProblem(`${host} has no address`));
      if (options.all === true) callback(null, [first]);
      else callback(null, first.address, first.family);
    });
  }) as RequestOptions["lookup"];
}

function once(rights: HttpRights, url: URL, asked: NetworkRequest, signal: AbortSignal): Promise<NetworkAnswer> {
  const request = url.protocol === "https:" ? httpsRequest : httpRequest;
  return new Promise((resolve, reject) => {
    const options: RequestOptions = {
      method: asked.method,
      // No agent: a connection of another request is never used again.
      agent: false,
      headers: { "user-agent": "tenuto", "accept-encoding": "identity", ...asked.headers },
      lookup: checkedLookup(rights),
      signal,
      maxHeaderSize: 64 * 1024,
    };
    const sent = request(url, options, (response) => {
      bodyOf(response, rights.maxBytes).then(({ body, cut }) => {
        const headers = Object.fromEntries(
          Object.entries(response.headers).map(([name, value]) => [
            name,
            Array.isArray(value) ? value.join(", ") : (value ?? ""),
          ]),
        );
        resolve({ url: url.href, status: response.statusCode ?? 0, headers, body, cut });
      }, reject);
    });
    sent.on("error", reject);
    sent.end(asked.body);
  });
}

async function bodyOf(response: IncomingMessage, max: number): Promise<{ body: Buffer; cut: boolean }> {
  const parts: Buffer[] = [];
  let size = 0;
  for await (const part of response as AsyncIterable<Buffer>) {
    parts.push(part.subarray(0, max - size));
    size += part.length;
    if (size > max) {
      response.destroy();
      break;
    }
  }
  return { body: Buffer.concat(parts), cut: size > max };
}
