/**
 * The socket through which commands of this worker reach their attempt: small JSON over HTTP/1.1 on a Unix socket.
 *
 * Owner: executors. `TENUTO_URL` is the plain path of the socket (curl --unix-socket "$TENUTO_URL" http://tenuto/log),
 * since every language's client takes a path and no two agree on a URL form. Invariants:
 * 1. The bearer token names the attempt. It is refused (403) from the moment the attempt ends; calls that wait then are
 *    answered with 403 at once, and a call whose body arrives too late does nothing.
 * 2. The folder is private (0700), the socket 0600, the path shorter than 100 bytes.
 * 3. Bodies are at most 1 MB, JSON objects with known fields only. Errors are `{code, message, hint?, details?}`.
 * 4. It is opened with the first command and never keeps the worker's event loop alive.
 */
import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { TenutoError } from "../core/errors.ts";
import { PAYLOAD_MAX_BYTES } from "../core/limits.ts";
import type { Json } from "../core/model.ts";
import type { AttemptApi } from "../ports/executor.ts";
import { ROUTES } from "./socket-routes.ts";

export interface JobSocket {
  /** Opens the socket if need be and gives its path. */
  open(): Promise<string>;
  /** Accepts the token for that attempt. Returns what ends its validity. `cwd` is where relative paths start. */
  register(token: string, api: AttemptApi, cwd: string): () => void;
  /** The socket's folder while it is open, otherwise null. */
  folder(): string | null;
  close(): Promise<void>;
}

interface Client {
  api: AttemptApi;
  cwd: string;
  /** Waiting calls, to be answered when the attempt ends. */
  waiting: Set<() => void>;
}

/** The kernel takes 107 bytes; some clients less. */
const MAX_PATH_BYTES = 99;
const STATUS: Partial<Record<string, number>> = {
  invalid_input: 400,
  unsupported_value: 400,
  not_found: 404,
  unknown_agent: 404,
  payload_too_large: 413,
  budget_exhausted: 429,
  quota_exhausted: 429,
  spawn_limit: 429,
  circuit_open: 503,
  lease_lost: 409,
  run_cancelled: 409,
  conflict: 409,
  duplicate_step_key: 409,
  stopped: 409,
};

export function createJobSocket(): JobSocket {
  const clients = new Map<string, Client>();
  let opened: Promise<{ path: string; folder: string; server: Server }> | null = null;
  let folder: string | null = null;
  const begin = async () => {
    try {
      const result = await listen(clients);
      folder = result.folder;
      return result;
    } catch (error) {
      // A failure (no descriptors, full disk) must not be final.
      opened = null;
      throw error;
    }
  };
  return {
    async open() {
      opened ??= begin();
      return (await opened).path;
    },
    folder: () => folder,
    register(token, api, cwd) {
      const client: Client = { api, cwd, waiting: new Set() };
      clients.set(token, client);
      return () => {
        clients.delete(token);
        for (const answer of client.waiting) answer();
      };
    },
    async close() {
      const current = await opened?.catch(() => null);
      opened = null;
      folder = null;
      for (const token of clients.keys()) clients.delete(token);
      if (!current) return;
      current.server.closeAllConnections();
      await new Promise((resolve) => current.server.close(resolve));
      rmSync(current.folder, { recursive: true, force: true });
    },
  };
}

async function listen(clients: Map<string, Client>): Promise<{ path: string; folder: string; server: Server }> {
  const folder = mkdtempSync(join(shortTemporaryFolder(), "tenuto-"));
  const path = process.platform === "win32" ? `\\\\.\\pipe\\${folder.split("\\").at(-1)}` : join(folder, "s");
  const server = createServer((request, response) => void serve(clients, request, response));
  server.requestTimeout = 60_000;
  try {
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(path, resolve);
    });
  } catch (error) {
    rmSync(folder, { recursive: true, force: true });
    throw error;
  }
  server.on("error", () => {});
  if (process.platform !== "win32") chmodSync(path, 0o600);
  server.unref();
  return { path, folder, server };
}

function shortTemporaryFolder(): string {
  const folder = tmpdir();
  const longest = Buffer.byteLength(join(folder, "tenuto-xxxxxx", "s"));
  return longest <= MAX_PATH_BYTES || process.platform === "win32" ? folder : "/tmp";
}

async function serve(clients: Map<string, Client>, request: IncomingMessage, response: ServerResponse): Promise<void> {
  // A client that goes away is no concern of the worker.
  request.on("error", () => {});
  response.on("error", () => {});
  try {
    const token = bearer(request);
    findClient(clients, token);
    const route = ROUTES.get((request.url ?? "").split("?")[0]!);
    if (route === undefined) throw new TenutoError("not_found", `no such route: ${request.url}`);
    if (request.method !== "POST") return answer(response, 405, problem("invalid_input", "use POST"));
    const body = parseBody(await readBody(request));
    // The attempt may have ended while the body was on its way.
    const client = findClient(clients, token);
    const result = await untilEnded(client, () => route(client.api, body, client.cwd));
    answer(response, 200, result);
  } catch (error) {
    const refused = error instanceof Refused;
    const status = refused ? error.status : (STATUS[(error as { code?: string }).code ?? ""] ?? 500);
    // What is left of a body that was refused must not be read as the next request.
    if (!request.complete) response.setHeader("connection", "close");
    answer(response, status, describe(error));
  }
}

/** The caller is not, or no longer, somebody. */
class Refused extends Error {
  readonly status: number;
  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

function bearer(request: IncomingMessage): string {
  const match = /^Bearer ([\x21-\x7e]+)$/i.exec(request.headers.authorization ?? "");
  if (match === null) throw new Refused(401, "send the header Authorization: Bearer with TENUTO_TOKEN");
  return match[1]!;
}

function findClient(clients: Map<string, Client>, token: string): Client {
  const client = clients.get(token);
  if (client === undefined) throw new Refused(403, "this token is not valid: its attempt has ended");
  return client;
}

async function untilEnded(client: Client, work: () => Promise<Json>): Promise<Json> {
  let end = (): void => {};
  const ended = new Promise<never>((_, reject) => {
    end = () => reject(new Refused(403, "the attempt ended while this call waited"));
  });
  client.waiting.add(end);
  try {
    return await Promise.race([work(), ended]);
  } finally {
    client.waiting.delete(end);
  }
}

async function readBody(request: IncomingMessage): Promise<Buffer> {
  const tooLarge = (): never => {
    throw new TenutoError("payload_too_large", "the body is larger than 1 MB", {
      hint: "Large content: write a file and send its path to /artifact.",
    });
  };
  if (Number(request.headers["content-length"] ?? 0) > PAYLOAD_MAX_BYTES) tooLarge();
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > PAYLOAD_MAX_BYTES) tooLarge();
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function parseBody(bytes: Buffer): { [key: string]: Json } {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (error) {
    throw new TenutoError("invalid_input", `the body is not JSON: ${(error as Error).message}`, { cause: error });
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new TenutoError("invalid_input", "the body must be a JSON object");
  }
  return value as { [key: string]: Json };
}

function problem(code: string, message: string): Json {
  return { code, message };
}

function describe(error: unknown): Json {
  if (error instanceof Refused) return problem("lease_lost", error.message);
  if (!(error instanceof TenutoError)) return problem("internal", String((error as Error)?.message ?? error));
  const { code, message, hint, details } = error;
  return { code, message, ...(hint === undefined ? {} : { hint }), details: toJson(details) };
}

function toJson(details: Record<string, unknown>): Json {
  try {
    return JSON.parse(JSON.stringify(details)) as Json;
  } catch {
    return {};
  }
}

function answer(response: ServerResponse, status: number, body: Json): void {
  if (response.destroyed || response.headersSent) return;
  const text = JSON.stringify(body);
  response.writeHead(status, { "content-type": "application/json", "content-length": Buffer.byteLength(text) });
  response.end(text);
}
