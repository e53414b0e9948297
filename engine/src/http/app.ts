/**
 * From a request to an answer: the source is checked, the operation matched, the gate passed, the input read and checked, the
 * handler called, what changed something written down.
 *
 * Owner: http. Invariants: (1) only operations of the contract are registered, each with a handler, else the server does not
 * start; (2) nothing of a body is read before the gate has let the request in; (3) what changes something is in the audit log
 * before it happens, and its outcome after it; (4) every answer carries the headers that keep browsers from harm.
 */
import { createHash } from "node:crypto";
import type { IncomingMessage } from "node:http";
import type { HttpBindings } from "@hono/node-server";
import { type Context, Hono } from "hono";
import { OPERATIONS, type Operation, PARAMS, paramsOf } from "../contract/index.ts";
import { type AuditEntry, appendAudit } from "../core/audit.ts";
import { assertJsonType, parseJson, readBytes } from "./body.ts";
import type { Answer, Call, Handlers, Services } from "./call.ts";
import { acceptsGzip, type Compress } from "./compress.ts";
import type { Gate, Head } from "./gate.ts";
import type { Page } from "./pages.ts";
import { HttpProblem, invalid, tellProblem } from "./problems.ts";
import { stateHash, withStates } from "./states.ts";
import type { Principal } from "./tokens.ts";

export interface AppOptions {
  services: Services;
  gate: Gate;
  handlers: Handlers;
  /** Packs the text of an answer, where that is worth it; null: never. */
  compress: Compress | null;
  /** Files of the dashboard by path; null for those that are not there. */
  page(path: string): Page | null;
  onFault(error: unknown): void;
}

type Env = { Bindings: HttpBindings };

const NOBODY: Principal = { token: "-", name: "-", role: "viewer", run: null, expiresAt: null, cookie: false };

export const SECURITY_HEADERS: Record<string, string> = {
  "content-security-policy":
    "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'; img-src 'self' data:",
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
  "permissions-policy": "camera=(), microphone=(), geolocation=()",
  "cache-control": "no-store",
};

export function createApp(options: AppOptions): Hono<Env> {
  const app = new Hono<Env>();
  for (const operation of OPERATIONS) {
    const handler = options.handlers[operation.id];
    if (handler === undefined) throw new Error(`operation ${operation.id} has no handler`);
    const path = operation.path.replaceAll(/\{(\w+)\}/g, ":$1");
    app.on(operation.method, path, (context) => serve(options, operation, context));
  }
  app.all("*", (context) => serveRest(options, context));
  return app;
}

export function headOf(context: Context<Env>): Head {
  const { incoming } = context.env;
  return {
    method: incoming.method ?? "GET",
    url: incoming.url ?? "/",
    header: (name) => headerOf(incoming, name),
    address: incoming.socket.remoteAddress ?? "",
    upgrade: false,
  };
}

/** A header by its name. Two hosts are none: whoever stands before the server may have looked at the other one. */
export function headerOf({ headers, headersDistinct }: IncomingMessage, name: string): string | undefined {
  if (name === "host" && (headersDistinct.host ?? []).length > 1) return undefined;
  const value = headers[name];
  return Array.isArray(value) ? value.join(", ") : value;
}

async function serve(options: AppOptions, operation: Operation, context: Context<Env>): Promise<Response> {
  const { services } = options;
  const head = headOf(context);
  const from = performance.now();
  let headers: Record<string, string> = {};
  let leave = () => {};
  let principal = NOBODY;
  let status = 500;
  try {
    options.gate.checkSource(head);
    if (head.method === "HEAD" && operation.id === "live")
      throw new HttpProblem(405, "method_not_allowed", "a stream has no head alone", { headers: { allow: "GET" } });
    const params = readParams(operation, context);
    const admitted = await options.gate.admit(head, operation, params).catch(async (error) => {
      await noteRefusal(options, operation, head, error);
      throw error;
    });
    ({ headers, leave } = admitted);
    principal = admitted.principal ?? NOBODY;
    const query = readQuery(operation, context);
    const { body, bytes } = await readBody(operation, context, head, services.limits.bodyBytes);
    const call: Call = {
      services,
      params,
      query,
      body,
      bytes,
      head: head.method === "HEAD",
      principal,
      header: head.header,
      incoming: context.env.incoming,
      outgoing: context.env.outgoing,
    };
    const answer = await carryOut(options, operation, head, call);
    const response = await respond(options, answer, headers, operation, head);
    status = response.status;
    // What comes in pieces is under way until the last one is sent.
    if ("body" in answer && typeof answer.body !== "string" && !call.head && !call.outgoing.destroyed) {
      call.outgoing.once("close", leave);
      leave = () => {};
    }
    return response;
  } catch (error) {
    const told = tellProblem(error, head.url.split("?")[0] as string, options.onFault);
    status = told.status;
    return problemResponse(services, told, headers);
  } finally {
    leave();
    services.metrics.note(operation.id, status, (performance.now() - from) / 1_000);
  }
}

function problemResponse(services: Services, told: ReturnType<typeof tellProblem>, headers: Record<string, string>) {
  return new Response(services.masker.json(JSON.stringify(told.problem)), {
    status: told.status,
    headers: { ...SECURITY_HEADERS, ...headers, ...told.headers, "content-type": "application/problem+json" },
  });
}

/** Calls the handler; with an entry in the audit log before and after it if it may change something. */
async function carryOut(options: AppOptions, operation: Operation, head: Head, call: Call): Promise<Answer> {
  const handler = options.handlers[operation.id] as NonNullable<Handlers[string]>;
  if (operation.method === "GET") return await handler(call);
  const { ledger, backend } = options.services;
  // Nobody without a token can fill the log: what comes in without one is written down once it was taken.
  if (operation.role === "open") return await carryOutOpen(options, operation, head, call, handler);
  const { hash } = backend.engine.parts;
  const entry: AuditEntry = {
    phase: "asked",
    token: call.principal.token,
    name: call.principal.name,
    role: call.principal.role,
    address: head.address,
    operation: operation.id,
    target: targetOf(call.params),
    request: createHash("sha256").update(call.bytes).digest("hex"),
    status: null,
  };
  const before = await stateHash(options.services, operation, call.params);
  // Handed in before the change, so that it is committed with it or before it.
  const asked = ledger.apply(appendAudit(entry, hash));
  asked.catch(() => {});
  const answered = async (status: number) => {
    const { number } = await asked;
    const after = await stateHash(options.services, operation, call.params);
    const target = withStates(entry.target, before, after);
    void ledger
      .apply(appendAudit({ ...entry, phase: "answered", target, request: String(number), status }, hash))
      .catch(options.onFault);
  };
  try {
    const answer = await handler(call);
    await answered("status" in answer ? (answer.status ?? operation.status) : operation.status);
    return answer;
  } catch (error) {
    await answered(tellProblem(error, "", () => {}).status);
    throw error;
  }
}

async function carryOutOpen(
  { services }: AppOptions,
  operation: Operation,
  head: Head,
  call: Call,
  handler: Handlers[string],
): Promise<Answer> {
  const answer = await handler(call);
  const { token, name, role } = call.principal;
  const status = "status" in answer ? (answer.status ?? operation.status) : operation.status;
  const request = createHash("sha256").update(call.bytes).digest("hex");
  const facts = { token, name, role, address: head.address, operation: operation.id, target: targetOf(call.params) };
  const { hash } = services.backend.engine.parts;
  await services.ledger.apply(appendAudit({ ...facts, phase: "answered", request, status }, hash));
  return answer;
}

function targetOf(params: Record<string, unknown>): string {
  return Object.entries(params)
    .map(([name, value]) => `${name}=${String(value)}`)
    .join(" ")
    .slice(0, 1_000);
}

/** A right that was missing for a change is written down too. */
async function noteRefusal(options: AppOptions, operation: Operation, head: Head, error: unknown): Promise<void> {
  if (operation.method === "GET" || !(error instanceof HttpProblem) || error.status !== 403) return;
  const who = await options.gate.principal(head).catch(() => NOBODY);
  const { ledger, backend } = options.services;
  await ledger.apply(
    appendAudit(
      {
        phase: "refused",
        token: who.token,
        name: who.name,
        role: who.role,
        address: head.address,
        operation: operation.id,
        target: "",
        request: "",
        status: 403,
      },
      backend.engine.parts.hash,
    ),
  );
}

function readParams(operation: Operation, context: Context<Env>): Record<string, unknown> {
  const params: Record<string, unknown> = {};
  for (const name of paramsOf(operation.path)) {
    const read = PARAMS[name].safeParse(context.req.param(name));
    if (!read.success) throw invalid(`path.${name}`, read.error);
    params[name] = read.data;
  }
  return params;
}

function readQuery(operation: Operation, context: Context<Env>): Record<string, unknown> {
  const given: Record<string, unknown> = {};
  for (const [name, values] of Object.entries(context.req.queries())) {
    if (values.length > 1) throw new HttpProblem(422, "invalid_input", `query.${name} is given more than once`);
    given[name] = values[0];
  }
  if (operation.query === undefined) {
    const [name] = Object.keys(given);
    if (name === undefined) return {};
    throw new HttpProblem(422, "invalid_input", `query.${name} is not known to this operation`);
  }
  const read = operation.query.safeParse(given);
  if (!read.success) throw invalid("query", read.error);
  return read.data as Record<string, unknown>;
}

async function readBody(operation: Operation, context: Context<Env>, head: Head, max: number) {
  if (operation.method === "GET" || operation.method === "DELETE") return { body: undefined, bytes: Buffer.alloc(0) };
  const empty =
    head.header("content-length") === "0" ||
    (head.header("content-length") === undefined && head.header("transfer-encoding") === undefined);
  // Only now: the body of a request that has none is not made either.
  const source = { header: head.header, stream: empty ? null : context.req.raw.body };
  if (!empty) assertJsonType(source);
  const bytes = empty ? Buffer.alloc(0) : await readBytes(source, max);
  // What is signed is looked at only once the signature fits.
  if (operation.id === "receiveHook") return { body: undefined, bytes };
  const given = bytes.length === 0 ? {} : parseJson(bytes);
  if (operation.body === undefined) {
    if (bytes.length > 0 && Object.keys(given as object).length > 0)
      throw new HttpProblem(422, "invalid_input", "this operation takes no body");
    return { body: {}, bytes };
  }
  const read = operation.body.safeParse(given);
  if (!read.success) throw invalid("body", read.error);
  return { body: read.data, bytes };
}

async function respond(
  { services, compress }: AppOptions,
  answer: Answer,
  more: Record<string, string>,
  operation: Operation,
  head: Head,
): Promise<Response> {
  if ("taken" in answer) return new Response(null, { headers: { "x-hono-already-sent": "true" } });
  const headers = { ...SECURITY_HEADERS, ...more, ...answer.headers };
  if ("empty" in answer) return new Response(null, { status: 204, headers });
  if ("json" in answer) {
    const text = services.masker.json(JSON.stringify(answer.json));
    const packed = compress === null ? null : await compress(text, operation, head);
    return new Response(packed?.body ?? text, {
      status: answer.status ?? operation.status,
      headers: { ...headers, ...packed?.headers, "content-type": "application/json" },
    });
  }
  const { body, type, status = 200 } = answer;
  const content = typeof body === "string" ? body : (ReadableStream.from(body) as ReadableStream<Uint8Array>);
  return new Response(content, { status, headers: { ...headers, "content-type": type } });
}

/** A file, packed where the browser takes that; nothing if it has it already. */
async function servePage(page: Page, head: Head): Promise<Response> {
  const caching = page.immutable ? "public, max-age=31536000, immutable" : "no-cache";
  const headers = { ...SECURITY_HEADERS, "cache-control": caching, etag: page.etag, vary: "Accept-Encoding" };
  const known = (head.header("if-none-match") ?? "")
    .split(",")
    .some((tag) => tag.trim().replace(/^W\//, "") === page.etag);
  if (known) return new Response(null, { status: 304, headers });
  const packed = acceptsGzip(head.header("accept-encoding")) ? await page.packed() : null;
  return new Response(head.method === "HEAD" ? null : ((packed ?? page.body) as Uint8Array<ArrayBuffer>), {
    headers: { ...headers, ...(packed === null ? {} : { "content-encoding": "gzip" }), "content-type": page.type },
  });
}

/** Pages of the dashboard; everything else is not there, and says so only to those who may know. */
async function serveRest(options: AppOptions, context: Context<Env>): Promise<Response> {
  const head = headOf(context);
  try {
    options.gate.checkSource(head);
    const path = context.req.path;
    const page = head.method === "GET" || head.method === "HEAD" ? options.page(path) : null;
    if (page !== null) return await servePage(page, head);
    await options.gate.principal(head);
    const others = OPERATIONS.filter((operation) => matches(operation.path, path)).map((operation) => operation.method);
    if (others.length > 0)
      throw new HttpProblem(405, "method_not_allowed", `${head.method} is not possible here`, {
        headers: { allow: [...new Set(others)].join(", ") },
      });
    throw new HttpProblem(404, "not_found", "there is nothing here", { hint: "See /api/openapi.json." });
  } catch (error) {
    return problemResponse(options.services, tellProblem(error, head.url.split("?")[0] as string, options.onFault), {});
  }
}

function matches(pattern: string, path: string): boolean {
  const wanted = pattern.split("/");
  const given = path.split("/");
  return wanted.length === given.length && wanted.every((part, i) => part.startsWith("{") || part === given[i]);
}
