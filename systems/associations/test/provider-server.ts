/** A server on loopback that answers as the providers do, with whatever trouble a test asks for; and a context to call agents with. */
import type { IncomingMessage } from "node:http";
import { createServer } from "node:http";
import type { Context } from "tenuto";
import { afterEach } from "vitest";
import { fakeContext, Memory } from "./harness.ts";

export interface FakeAnswer {
  status?: number;
  headers?: Record<string, string>;
  /** An object is sent as JSON, a text as it is. */
  body?: unknown;
  /** Ends the connection without an answer. */
  hangUp?: boolean;
}

export interface Asked {
  method: string;
  path: string;
  query: URLSearchParams;
  headers: IncomingMessage["headers"];
  body: any;
}

export interface ProviderServer {
  url: string;
  asked: Asked[];
  /** The environment that leads all providers here, with a key each. */
  env: Record<string, string>;
  /** Calls once, when so many requests have come in; at once, if they have. */
  whenAsked(count: number, call: () => void): void;
  close(): Promise<void>;
}

/** Answers every request with what `answer` gives. */
export async function startProviders(answer: (asked: Asked) => FakeAnswer): Promise<ProviderServer> {
  const asked: Asked[] = [];
  let waiting: { count: number; call(): void } | null = null;
  const callWhenReached = () => {
    if (waiting === null || asked.length < waiting.count) return;
    const { call } = waiting;
    waiting = null;
    call();
  };
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const url = new URL(request.url ?? "/", "http://localhost");
    const text = Buffer.concat(chunks).toString("utf8");
    const one: Asked = {
      method: request.method ?? "GET",
      path: url.pathname,
      query: url.searchParams,
      headers: request.headers,
      body: text === "" ? null : JSON.parse(text),
    };
    asked.push(one);
    callWhenReached();
    const { status = 200, headers = {}, body = {}, hangUp = false } = answer(one);
    if (hangUp) {
      request.socket.destroy();
      return;
    }
    response.writeHead(status, headers);
    response.end(typeof body === "string" || Buffer.isBuffer(body) ? body : JSON.stringify(body));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${(server.address() as { port: number }).port}`;
  const names = ["CLEARBIT", "ZOOMINFO", "APOLLO", "BUILTWITH", "HUNTER", "JOB_POSTINGS", "GOOGLE_PLACES"];
  const env = Object.fromEntries(
    names.flatMap((name) => [
      [`${name}_BASE_URL`, url],
      [`${name}_API_KEY`, `secret-${name}`],
    ]),
  );
  return {
    url,
    asked,
    whenAsked(count, call) {
      waiting = { count, call };
      callWhenReached();
    },
    env: { ...env, ADZUNA_APP_ID: "secret-id", ADZUNA_APP_KEY: "secret-ADZUNA" },
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

export interface Told {
  memory: Memory;
  /** Waits that were asked for, in ms. None of them is waited. */
  waits: number[];
  spent: Map<string, number>;
  outcomes: [name: string, ok: boolean][];
}

/** Run after each test, the last one first. */
export const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

export async function serve(answer: (asked: Asked) => FakeAnswer): Promise<ProviderServer> {
  const server = await startProviders(answer);
  cleanups.push(server.close);
  return server;
}

/** The day on which these tests play. */
export const now = () => new Date("2026-02-01T00:00:00Z");
export const companies = (count: number) =>
  Array.from({ length: count }, (_, at) => ({
    company_name: `Company ${at}`,
    website: `https://c${at}.example`,
    association: "PMA",
  }));

export interface ContextOptions {
  memory?: Memory;
  /** Throws what a limiter would. */
  limit?: (name: string) => void;
  spend?: (name: string, amount: number) => void;
}

/** A context whose waits are noted instead of waited. */
export function providerContext({ memory = new Memory(), limit, spend }: ContextOptions = {}): {
  ctx: Context;
  told: Told;
} {
  const told: Told = { memory, waits: [], spent: new Map(), outcomes: [] };
  const base = fakeContext(memory, "job");
  const ctx = {
    ...base,
    sleep: async (_key: unknown, ms: number) => void told.waits.push(ms),
    outcome: async (name: string, ok: boolean) => void told.outcomes.push([name, ok]),
    limit: async (name: string) => {
      limit?.(name);
      await base.limit(name);
    },
    spend: async (name: string, amount: number) => {
      spend?.(name, amount);
      told.spent.set(name, (told.spent.get(name) ?? 0) + amount);
    },
  } as Context;
  return { ctx, told };
}
