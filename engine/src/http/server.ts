/**
 * The server: listens, passes requests to the app and upgrades to the hub, and stops in order.
 *
 * Owner: http. Invariants: (1) it binds loopback unless told otherwise, and anything else only with TLS or the word that says
 * that this is meant; (2) there is no way to start it without tokens; (3) slow senders are cut off by the limits of the
 * connection, whatever they ask for.
 */
import {
  createServer as createHttp,
  type IncomingMessage,
  type Server as NodeServer,
  type ServerResponse,
} from "node:http";
import { createServer as createHttps } from "node:https";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import { getRequestListener } from "@hono/node-server";
import { WebSocketServer } from "ws";
import { OPERATIONS } from "../contract/index.ts";
import { TenutoError } from "../core/errors.ts";
import { createApp, headerOf } from "./app.ts";
import type { Backend, Features } from "./backend.ts";
import type { Handlers, Services } from "./call.ts";
import { compressOf, type WhenToCompress } from "./compress.ts";
import { Gate, type Head } from "./gate.ts";
import { LIMITS, type ServerLimits } from "./limits.ts";
import { Feed } from "./live/feed.ts";
import { Hub } from "./live/hub.ts";
import { EventStream, LineSink, SocketSink, serveLines, serveSocket } from "./live/sinks.ts";
import { maskerOf } from "./mask.ts";
import { Metrics } from "./metrics.ts";
import { pagesOf } from "./pages.ts";
import { boundBacktracking } from "./patterns.ts";
import { HttpProblem, tellProblem } from "./problems.ts";
import { accessHandlers } from "./routes/access.ts";
import { artifactHandlers } from "./routes/artifacts.ts";
import { compatHandlers } from "./routes/compat.ts";
import { jobHandlers } from "./routes/jobs.ts";
import { logHandlers } from "./routes/logs.ts";
import { runHandlers } from "./routes/runs.ts";
import { thingHandlers } from "./routes/things.ts";
import { webhookHandlers } from "./routes/webhooks.ts";
import { Access } from "./tokens.ts";
import { Secrets } from "./webhooks/secrets.ts";

export interface ServerOptions {
  /** Default 127.0.0.1. */
  host?: string;
  /** Default 4600; 0 takes one that is free. */
  port?: number;
  tls?: { cert: string; key: string };
  /** Another address than loopback without TLS: behind a proxy that has it. */
  insecure?: boolean;
  /** Further names, as `name` or `name:port`. */
  allowHosts?: readonly string[];
  limits?: Partial<ServerLimits>;
  /** Which clients get JSON packed: those on other machines (`remote`, the default), all, or none. */
  compress?: WhenToCompress;
  /** What webhooks are signed with; at least 32 random bytes that stay the same. */
  key: Uint8Array;
  /** Names and values that must not leave the server. */
  secrets?: ReadonlyMap<string, string>;
  /** Folder of the built dashboard. */
  pages?: string | null;
  version: string;
  features?: Features;
  /** Told of faults that no client is told of. */
  onFault(error: unknown): void;
}

export interface Server {
  readonly url: string;
  readonly access: Access;
  readonly services: Services;
  close(): Promise<void>;
}

const LOOPBACK = new Set(["127.0.0.1", "::1", "localhost"]);
const KEEP_ALIVE_MS = 5_000;
const CLOSE_MS = 3_000;
const REFUSED_MS = 2_000;
const FRAME_BYTES = 65_536;
/** How often logins and sessions that are long over are forgotten. */
const PRUNE_EVERY_MS = 3_600_000;

export const HANDLERS: Handlers = {
  ...runHandlers,
  ...jobHandlers,
  ...logHandlers,
  ...artifactHandlers,
  ...thingHandlers,
  ...accessHandlers,
  ...webhookHandlers,
  ...compatHandlers,
  live: async (call) => {
    const { hub, limits } = call.services;
    const { outgoing, principal, query } = call;
    const stream = new EventStream(outgoing, Math.min(2_000, limits.heartbeatMs));
    const after = query["after"] ?? (call.header("last-event-id") || undefined);
    if (after !== undefined && !/^\d{1,16}(-\d{1,9})?$/.test(after))
      throw new HttpProblem(422, "invalid_input", "Last-Event-ID is no cursor of this server");
    const listener = hub.join(principal, stream);
    outgoing.on("close", () => listener.ended());
    try {
      await listener.add("stream", { ...(query as { topic: "all" }), after });
    } catch (error) {
      listener.ended();
      if (!outgoing.headersSent) throw error;
      outgoing.destroy();
    }
    return { taken: true };
  },
};

/** Starts to listen. @throws invalid_config, conflict if the port is taken */
export async function startServer(backend: Backend, options: ServerOptions): Promise<Server> {
  const { host = "127.0.0.1", port = 4_600, tls } = options;
  const secure = tls !== undefined;
  if (!LOOPBACK.has(host) && !secure && options.insecure !== true)
    throw new TenutoError("invalid_config", `the server would send tokens over ${host} without encryption`, {
      hint: "Give --tls-cert and --tls-key, or --insecure if a proxy in front of it encrypts.",
    });
  boundBacktracking();
  const limits: ServerLimits = { ...LIMITS, ...options.limits };
  const { services, hub } = assemble(backend, options, limits, secure);
  const connection = {
    maxHeaderSize: limits.headerBytes,
    headersTimeout: limits.headersTimeoutMs,
    requestTimeout: limits.requestTimeoutMs,
    keepAliveTimeout: KEEP_ALIVE_MS,
    // What asks for another protocol (HTTP/2) is answered in this one.
    shouldUpgradeCallback: ({ headers }: IncomingMessage) => headers.upgrade?.toLowerCase() === "websocket",
    connectionsCheckingInterval: Math.min(1_000, limits.headersTimeoutMs),
  };
  const server: NodeServer =
    tls === undefined
      ? createHttp(connection)
      : (createHttps({ ...connection, handshakeTimeout: limits.headersTimeoutMs, ...tls }) as never);
  server.maxConnections = 2_000 + limits.streams;
  await listen(server, host, port);
  const own = server.address() as AddressInfo;
  const hosts = hostNames(host, own.port, secure, options.allowHosts ?? []);
  const gate = new Gate({ access: services.access, limits, hosts, secure });
  const app = createApp({
    services,
    gate,
    handlers: HANDLERS,
    compress: compressOf(options.compress ?? "remote"),
    page: pagesOf(options.pages ?? null),
    onFault: options.onFault,
  });
  const answer = getRequestListener(app.fetch, { overrideGlobalObjects: false });
  server.on("request", (request, response) => {
    cutOffStuck(response, 2 * limits.stuckMs);
    return answer(request, response);
  });
  const sockets = new WebSocketServer({ noServer: true, maxPayload: FRAME_BYTES, perMessageDeflate: false });
  const refusedMs = Math.min(REFUSED_MS, limits.headersTimeoutMs);
  server.on("upgrade", (request: IncomingMessage, socket: Duplex, rest: Buffer) => {
    socket.on("error", () => socket.destroy());
    void upgrade({ request, socket, rest, gate, hub, sockets, refusedMs, onFault: options.onFault });
  });
  await hub.start();
  const pruning = () => services.access.prune().catch(options.onFault);
  void pruning();
  const pruner = setInterval(pruning, PRUNE_EVERY_MS).unref();
  const shown = host === "::1" ? "[::1]" : host;
  return {
    url: `${secure ? "https" : "http"}://${shown}:${own.port}`,
    access: services.access,
    services,
    close: () => {
      clearInterval(pruner);
      return stop(server, hub, sockets, services.metrics);
    },
  };
}

function assemble(backend: Backend, options: ServerOptions, limits: ServerLimits, secure: boolean) {
  const { ledger, logs, clock } = backend.engine.parts;
  if (options.key.length < 32) throw new TenutoError("invalid_config", "the key of the server is too short");
  const access = new Access(ledger);
  const masker = maskerOf(options.secrets ?? new Map());
  const metrics = new Metrics();
  const feed = new Feed(ledger, masker);
  const hub = new Hub({
    sources: { ledger, logs, feed, masker },
    limits,
    figures: metrics.live,
    still: (principal) => access.still(principal),
    onFault: options.onFault,
  });
  const services: Services = {
    backend,
    features: options.features ?? {},
    ledger,
    access,
    hub,
    masker,
    metrics,
    secrets: new Secrets(options.key),
    limits,
    secure,
    version: options.version,
    now: () => clock.now(),
  };
  return { services, hub };
}

/** Ends a connection to which nothing could be written for a time, whoever it belongs to; a handler may take its time. */
function cutOffStuck(response: ServerResponse, afterMs: number): void {
  response.setTimeout(afterMs, () => {
    const { socket } = response;
    if (socket !== null && socket.writableLength > 0) socket.destroy();
    else socket?.setTimeout(afterMs);
  });
}

async function listen(server: NodeServer, host: string, port: number): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, host, () => {
      server.off("error", reject);
      resolve();
    });
  }).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "EADDRINUSE") throw error;
    throw new TenutoError("conflict", `port ${port} of ${host} is taken`, {
      hint: "Another server runs there: stop it, or give another port with --port.",
    });
  });
}

/** Names under which browsers may know this server. */
function hostNames(host: string, port: number, secure: boolean, more: readonly string[]): Set<string> {
  const names = LOOPBACK.has(host) ? ["127.0.0.1", "localhost", "[::1]"] : [host.includes(":") ? `[${host}]` : host];
  const usual = secure ? 443 : 80;
  const hosts = new Set<string>();
  for (const name of [...names, ...more]) {
    const lower = name.toLowerCase();
    if (/:\d+$/.test(lower) && !lower.endsWith("]")) {
      hosts.add(lower);
      continue;
    }
    hosts.add(`${lower}:${port}`);
    // Behind a proxy that listens on the usual port, names come without one.
    if (port === usual || more.includes(name)) hosts.add(lower);
  }
  return hosts;
}

interface Upgrade {
  request: IncomingMessage;
  socket: Duplex;
  rest: Buffer;
  gate: Gate;
  hub: Hub;
  sockets: WebSocketServer;
  /** How long whoever is refused may take to hang up. */
  refusedMs: number;
  onFault(error: unknown): void;
}

const LIVE = OPERATIONS.find((operation) => operation.id === "live") as (typeof OPERATIONS)[number];

/** The run whose lines are asked for by the route of the devloop source document, and after which number. */
function linesAsked(path: string, query: string): { run: string; after: string } | null {
  const run = /^\/api\/pipelines\/([A-Za-z0-9][A-Za-z0-9._-]{0,127})\/log$/.exec(path)?.[1];
  const after = /^(?:line=(\d{1,15}))?$/.exec(query);
  return run === undefined || after === null ? null : { run, after: after[1] ?? "0" };
}

/** The same gate as for requests; what it refuses is answered as a request. */
async function upgrade(given: Upgrade): Promise<void> {
  const { request, socket, rest, gate, hub, sockets } = given;
  const head: Head = {
    method: request.method ?? "GET",
    url: request.url ?? "/",
    header: (name) => headerOf(request, name),
    address: request.socket.remoteAddress ?? "",
    upgrade: true,
  };
  try {
    gate.checkSource(head);
    const [path, query = ""] = head.url.split("?");
    const lines = linesAsked(path as string, query);
    if (path !== LIVE.path && lines === null) {
      await gate.principal(head);
      throw new HttpProblem(404, "not_found", "there is no websocket here");
    }
    if (query !== "" && lines === null)
      throw new HttpProblem(422, "invalid_input", "a websocket is told what to send by frames, not by the URL");
    const run = (await gate.principal(head)).run;
    const { principal, leave } = await gate.admit(head, LIVE, run === null ? {} : { run });
    leave();
    if (principal === null) throw new HttpProblem(401, "unauthenticated", "a token is needed");
    sockets.handleUpgrade(request, socket, rest, (client) => {
      try {
        if (lines !== null)
          void serveLines(hub.join(principal, new LineSink(client, socket)), client, lines.run, lines.after);
        else serveSocket(hub, hub.join(principal, new SocketSink(client, socket)), client);
      } catch (error) {
        client.close(4429, error instanceof Error ? error.message.slice(0, 100) : "");
      }
    });
  } catch (error) {
    const { status, problem, headers } = tellProblem(error, "/api/live", given.onFault);
    const body = JSON.stringify(problem);
    const lines = Object.entries({
      ...headers,
      "content-type": "application/problem+json",
      "content-length": String(Buffer.byteLength(body)),
      connection: "close",
    }).map(([name, value]) => `${name}: ${value}`);
    // The limits of requests don't hold for this socket any more: whoever keeps its side open is cut off.
    socket.end(`HTTP/1.1 ${status} ${problem.title}\r\n${lines.join("\r\n")}\r\n\r\n${body}`);
    socket.resume().on("end", () => socket.destroy());
    setTimeout(() => socket.destroy(), given.refusedMs).unref();
  }
}

async function stop(server: NodeServer, hub: Hub, sockets: WebSocketServer, metrics: Metrics): Promise<void> {
  hub.stop();
  metrics.close();
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  server.closeIdleConnections();
  const timer = setTimeout(() => {
    for (const client of sockets.clients) client.terminate();
    server.closeAllConnections();
  }, CLOSE_MS);
  await closed;
  clearTimeout(timer);
}
