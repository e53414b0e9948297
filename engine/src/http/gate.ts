/**
 * The one gate before everything that the server does: where a request comes from, who asks, whether the role allows it, and
 * how much of it. Requests, websockets and event streams pass the same.
 *
 * Owner: http. Invariants: (1) what may be done is a property of the operation that was matched; no test looks at the text of
 * a URL; (2) the source is checked before the body is read; (3) an operation that names no role can't be registered.
 */
import type { Operation } from "../contract/index.ts";
import { allows } from "../core/access.ts";
import { Buckets, InFlight, type ServerLimits, tooMany } from "./limits.ts";
import { HttpProblem } from "./problems.ts";
import type { Access, Principal } from "./tokens.ts";

/** What the gate looks at. */
export interface Head {
  method: string;
  url: string;
  header(name: string): string | undefined;
  /** Of the peer. */
  address: string;
  /** True for a request that becomes a websocket. */
  upgrade: boolean;
}

export interface GateOptions {
  access: Access;
  limits: ServerLimits;
  /** `name:port` as browsers send it, in lower case. */
  hosts: ReadonlySet<string>;
  secure: boolean;
}

const SAFE = new Set(["GET", "HEAD"]);
export const COOKIE = "tenuto_session";

export class Gate {
  private readonly options: GateOptions;
  private readonly buckets: Buckets;
  private readonly failures: Buckets;
  private readonly logins: Buckets;
  private readonly inFlight: InFlight;

  constructor(options: GateOptions) {
    this.options = options;
    const { limits } = options;
    this.buckets = new Buckets(limits.perSecond, limits.burst);
    this.failures = new Buckets(1, 60);
    this.logins = new Buckets(limits.loginsPerMinute / 60, limits.loginsPerMinute);
    this.inFlight = new InFlight(limits.inFlight);
  }

  /** Where the request comes from. @throws HttpProblem 403, 414 */
  checkSource(head: Head): void {
    if (head.url.length > this.options.limits.urlChars)
      throw new HttpProblem(414, "uri_too_long", `the URL has more than ${this.options.limits.urlChars} characters`);
    // A whole URL would name another host than the one that is looked at.
    if (!head.url.startsWith("/")) throw new HttpProblem(400, "invalid_input", "the target of a request is a path");
    const host = head.header("host");
    if (host === undefined || !this.options.hosts.has(host.toLowerCase()))
      throw new HttpProblem(403, "host_refused", "this name is not one that the server answers to", {
        hint: "Use the address that `tenuto serve` printed, or allow the name with --allow-host.",
      });
    const site = head.header("sec-fetch-site");
    const origin = head.header("origin");
    const changes = !SAFE.has(head.method) || head.upgrade;
    if (site !== undefined && site !== "same-origin" && !(site === "none" && !changes) && !isNavigation(head))
      throw elsewhere();
    if (origin !== undefined && !this.isOwn(origin)) throw elsewhere();
    if (changes && site === undefined && origin === undefined && head.header("cookie") !== undefined) throw elsewhere();
  }

  private isOwn(origin: string): boolean {
    const scheme = this.options.secure ? "https://" : "http://";
    return origin.startsWith(scheme) && this.options.hosts.has(origin.slice(scheme.length).toLowerCase());
  }

  /**
   * Who asks, if the operation lets them. Gives the headers of the rate limit, and what to call when it is over.
   * @throws HttpProblem 401, 403, 429
   */
  async admit(
    head: Head,
    operation: Pick<Operation, "id" | "role" | "path" | "makesRun">,
    params: Readonly<Record<string, unknown>>,
  ): Promise<{ principal: Principal | null; headers: Record<string, string>; leave: () => void }> {
    if (operation.role === "open") return this.admitOpen(head, operation);
    const principal = await this.principal(head);
    const taken = this.buckets.take(principal.token);
    const headers = this.buckets.headers(taken.left);
    if (!taken.ok) throw tooMany("requests", taken.waitMs, headers);
    if (!allows(principal.role, operation.role))
      throw new HttpProblem(
        403,
        "forbidden",
        `this needs the role ${operation.role}; this token has ${principal.role}`,
        {
          hint: "Ask whoever runs the server for a token with that role.",
          headers,
        },
      );
    checkScope(principal, operation, params);
    return { principal, headers, leave: this.inFlight.enter(principal.token, "requests") };
  }

  private admitOpen(head: Head, operation: Pick<Operation, "id">) {
    const login = operation.id === "openSession";
    const bucket = login ? this.logins : this.buckets;
    const taken = bucket.take(head.address);
    if (!taken.ok) throw tooMany(login ? "attempts to log in" : "requests", taken.waitMs);
    return { principal: null, headers: {}, leave: this.inFlight.enter(head.address, "requests") };
  }

  /** @throws HttpProblem 401, 429 */
  async principal(head: Head): Promise<Principal> {
    const bearer = /^Bearer ([\x21-\x7e]{1,200})$/i.exec(head.header("authorization") ?? "")?.[1];
    const cookie = bearer === undefined ? cookieOf(head.header("cookie"), this.options.secure) : undefined;
    const given = bearer ?? cookie;
    const principal = given === undefined ? null : await this.options.access.who(given, bearer === undefined);
    if (principal !== null) return principal;
    if (given !== undefined) {
      const taken = this.failures.take(head.address);
      if (!taken.ok) throw tooMany("tokens that are not valid", taken.waitMs);
    }
    throw new HttpProblem(
      401,
      "unauthenticated",
      given === undefined ? "a token is needed" : "this token is not valid",
      {
        hint: "Open the link that `tenuto serve` printed, or send a token: Authorization: Bearer …. `tenuto tokens create` makes one.",
        headers: { "www-authenticate": 'Bearer realm="tenuto"' },
      },
    );
  }
}

/** A token for one run is good for operations on that run, and for asking who it is. */
function checkScope(
  principal: Principal,
  operation: Pick<Operation, "id" | "makesRun">,
  params: Readonly<Record<string, unknown>>,
): void {
  if (principal.run === null) return;
  if (params["run"] === principal.run && operation.makesRun !== true) return;
  if (operation.id === "showSession" || operation.id === "closeSession") return;
  // What a stream may follow is looked at with each subscription.
  if (operation.id === "live") return;
  throw new HttpProblem(403, "forbidden", `this token is good for run ${principal.run} only`);
}

function elsewhere(): HttpProblem {
  return new HttpProblem(403, "origin_refused", "the request comes from another site", {
    hint: "Programs send a token in the Authorization header, and no Origin.",
  });
}

/** Following a link to a page of the dashboard is no request of another site's code. */
function isNavigation(head: Head): boolean {
  return (
    head.method === "GET" &&
    !head.upgrade &&
    head.header("sec-fetch-mode") === "navigate" &&
    head.header("sec-fetch-dest") === "document"
  );
}

export function cookieName(secure: boolean): string {
  return secure ? `__Host-${COOKIE}` : COOKIE;
}

function cookieOf(header: string | undefined, secure: boolean): string | undefined {
  const name = cookieName(secure);
  for (const part of (header ?? "").split(";")) {
    const at = part.indexOf("=");
    if (at > 0 && part.slice(0, at).trim() === name) return part.slice(at + 1).trim();
  }
  return undefined;
}

/** The header that sets or removes the session's cookie. */
export function sessionCookie(text: string, maxAgeSeconds: number, secure: boolean): string {
  return `${cookieName(secure)}=${text}; Path=/; HttpOnly; SameSite=Strict; Max-Age=${maxAgeSeconds}${secure ? "; Secure" : ""}`;
}
