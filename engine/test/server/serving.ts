/**
 * A server on a folder of its own for one test file, and a client that knows nothing but the server's OpenAPI description: it
 * finds operations by their id, fills in what is declared, and checks each answer against the declared schema.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { z } from "zod";
import { featuresOf, secureHome, serverKey, Webhooks } from "../../src/cli/serving.ts";
import { type Server, type ServerOptions, startServer } from "../../src/http/index.ts";
import { defineAgent, definePipeline, openTenuto, type Tenuto } from "../../src/index.ts";

export type Role = "viewer" | "operator" | "admin";

/** Jobs of the pipeline `held` wait for this. */
export class Latch {
  private waiting: (() => void)[] = [];
  private opened = false;

  wait(signal: AbortSignal): Promise<void> {
    if (this.opened) return Promise.resolve();
    return new Promise((resolve, reject) => {
      this.waiting.push(resolve);
      signal.addEventListener("abort", () => reject(signal.reason));
    });
  }

  get isOpen(): boolean {
    return this.opened;
  }

  open(): void {
    this.opened = true;
    for (const go of this.waiting.splice(0)) go();
  }
}

function pipelines(latch: Latch) {
  const shout = defineAgent({
    name: "text/shout",
    description: "Upper case.",
    run: async ({ text }: { text: string }, ctx) => {
      ctx.log.info(`shouting ${text}`);
      await ctx.artifact("shout.txt", text.toUpperCase(), { mediaType: "text/plain" });
      return text.toUpperCase();
    },
  });
  const odd = defineAgent({
    name: "test/odd",
    run: ({ n }: { n: number }) => {
      if (n % 2 === 0) throw new Error(`${n} is even`);
      return n;
    },
  });
  const door = defineAgent({
    name: "test/door",
    run: () => {
      if (!latch.isOpen) throw new Error("it is shut");
      return "through";
    },
  });
  const hold = defineAgent({ name: "test/hold", run: async (_: unknown, ctx) => void (await latch.wait(ctx.signal)) });
  const chatty = defineAgent({
    name: "test/chatty",
    run: async ({ lines }: { lines: number }, ctx) => {
      for (let line = 1; line <= lines; line++) ctx.log.info(`line ${line}`);
      return lines;
    },
  });
  return [
    definePipeline({
      name: "hello",
      params: z.object({ text: z.string().default("hi") }),
      stages: [
        { name: "make", jobs: [{ id: "shout", agent: shout, input: { text: "{{ params.text }}" } }] },
        {
          name: "show",
          jobs: [
            { id: "echo", command: { argv: ["echo", "said {{ jobs.shout.output }}"], output: "stdout-text" } },
            { id: "after", agent: shout, needs: ["echo"], input: { text: "b" } },
          ],
        },
      ],
    }),
    definePipeline({
      name: "fan",
      agents: [odd],
      jobs: [
        {
          id: "each",
          agent: "test/odd",
          retry: { maxRetries: 0 },
          input: { n: "{{ item }}" },
          forEach: { source: [1, 2, 3], concurrency: 2, errorRate: 0 },
        },
      ],
    }),
    definePipeline({
      name: "ask",
      agents: [shout],
      jobs: [{ id: "go", agent: "text/shout", input: { text: "ok" }, approval: { title: "Really?" } }],
    }),
    definePipeline({
      name: "shut",
      agents: [door],
      jobs: [
        {
          id: "each",
          agent: "test/door",
          retry: { maxRetries: 0 },
          forEach: { source: [0, 1, 2, 3, 4, 5], concurrency: 1, errorRate: 0.5 },
        },
        { id: "other", agent: "test/door", needs: [], retry: { maxRetries: 0 } },
      ],
    }),
    definePipeline({ name: "held", agents: [hold], jobs: [{ id: "hold", agent: "test/hold" }] }),
    definePipeline({
      name: "chatty",
      params: z.object({ lines: z.number().default(10) }),
      agents: [chatty],
      jobs: [{ id: "talk", agent: "test/chatty", input: { lines: "{{ params.lines }}" } }],
    }),
    definePipeline({
      name: "prompted",
      params: z.object({ originalPrompt: z.string() }),
      agents: [shout],
      jobs: [{ id: "shout", agent: "text/shout", input: { text: "{{ params.originalPrompt }}" } }],
    }),
    definePipeline({
      name: "undoable",
      agents: [shout],
      jobs: [
        {
          id: "put",
          agent: "text/shout",
          input: { text: "put" },
          compensate: { agent: "text/shout", input: { text: "undone" } },
        },
      ],
    }),
  ];
}

export interface Place {
  home: string;
  tenuto: Tenuto;
  server: Server;
  latch: Latch;
  tokens: Record<Role, string>;
  faults: unknown[];
  api(role?: Role): Promise<Api>;
  fetch(path: string, init?: RequestInit & { role?: Role | null }): Promise<Response>;
  /** Ends the server and begins another on the same home and ledger. */
  restart(): Promise<void>;
  close(): Promise<void>;
}

export async function openPlace(options: Partial<ServerOptions> & { privateWebhooks?: boolean } = {}): Promise<Place> {
  const home = mkdtempSync(join(tmpdir(), "tenuto-server-"));
  const latch = new Latch();
  const faults: unknown[] = [];
  const onFault = (error: unknown) => void faults.push(error);
  const tenuto = await openTenuto({ home, cwd: home, pipelines: pipelines(latch), onFault });
  secureHome(home);
  const key = serverKey(home);
  const webhooks = new Webhooks(tenuto, key, onFault, { allowPrivate: options.privateWebhooks === true });
  const features = featuresOf(tenuto, home, webhooks, false);
  if (options.privateWebhooks === true) Object.assign(features, { isPrivate: () => false, anyPort: true });
  const begin = (port: number) =>
    startServer(tenuto, {
      port,
      key,
      version: "0.0.0-test",
      features,
      onFault,
      ...options,
      limits: { perSecond: 100_000, burst: 100_000, inFlight: 1_000, loginsPerMinute: 1_000, ...options.limits },
    });
  const place: Place = {
    home,
    tenuto,
    server: await begin(0),
    latch,
    tokens: { viewer: "", operator: "", admin: "" },
    faults,
    api: async (role = "admin") => await Api.of(place, place.tokens[role]),
    fetch: (path, { role = "admin", ...init } = {}) => {
      const headers = new Headers(init.headers);
      if (role !== null && !headers.has("authorization")) headers.set("authorization", `Bearer ${place.tokens[role]}`);
      return fetch(`${place.server.url}${path}`, { ...init, headers });
    },
    restart: async () => {
      const port = Number(new URL(place.server.url).port);
      await place.server.close();
      place.server = await begin(port);
    },
    close: async () => {
      latch.open();
      await place.server.close();
      await webhooks.stop();
      await tenuto.close({ drainMs: 0 });
      rmSync(home, { recursive: true, force: true });
    },
  };
  for (const role of ["viewer", "operator", "admin"] as const)
    place.tokens[role] = (await place.server.access.mint({ name: role, role })).text;
  return place;
}

interface Described {
  method: string;
  path: string;
  parameters: { name: string; in: string; required: boolean }[];
  requestBody?: unknown;
  responses: Record<string, { content?: Record<string, { schema: object }> }>;
}

export interface Answer {
  status: number;
  body: any;
  text: string;
  headers: Headers;
}

interface Input {
  params?: Record<string, string | number>;
  query?: Record<string, string | number | boolean>;
  body?: unknown;
  headers?: Record<string, string>;
}

/** Operations that were called and answered as described, over the whole test file. */
export const CALLED = new Set<string>();

/** A client made from the description alone. */
export class Api {
  readonly operations: Map<string, Described>;
  private readonly place: Place;
  private readonly token: string;
  private readonly definitions: object;
  private readonly checks = new Map<object, z.ZodType>();

  private constructor(place: Place, token: string, document: any) {
    this.place = place;
    this.token = token;
    this.operations = new Map(
      Object.entries<any>(document.paths).flatMap(([path, methods]) =>
        Object.entries<any>(methods).map(([method, one]): [string, Described] => [
          one.operationId,
          { ...one, method: method.toUpperCase(), path },
        ]),
      ),
    );
    this.definitions = local(document.components.schemas) as object;
  }

  /** With `change`, from a description that is not that of the server. */
  static async of(place: Place, token: string, change?: (description: any) => void): Promise<Api> {
    const answer = await place.fetch("/api/openapi.json", { headers: { authorization: `Bearer ${token}` } });
    CALLED.add("openapi");
    const description = await answer.json();
    change?.(description);
    return new Api(place, token, description);
  }

  async call(id: string, input: Input = {}): Promise<Answer> {
    const operation = this.operations.get(id);
    if (operation === undefined) throw new Error(`the description has no operation ${id}`);
    const { params = {}, query = {}, body, headers = {} } = input;
    for (const { name, in: where, required } of operation.parameters)
      if (required && where === "path" && params[name] === undefined) throw new Error(`${id} needs ${name}`);
    const path = operation.path.replaceAll(/\{(\w+)\}/g, (_, name) => encodeURIComponent(String(params[name])));
    const known = new Set(operation.parameters.filter((one) => one.in === "query").map((one) => one.name));
    for (const name of Object.keys(query)) if (!known.has(name)) throw new Error(`${id} has no query ${name}`);
    const search = new URLSearchParams(
      Object.entries(query).map(([name, value]): [string, string] => [name, String(value)]),
    );
    const answer = await this.place.fetch(`${path}${search.size === 0 ? "" : `?${search}`}`, {
      method: operation.method,
      headers: {
        authorization: `Bearer ${this.token}`,
        ...(body === undefined ? {} : { "content-type": "application/json" }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    return await this.checked(id, operation, answer);
  }

  private async checked(id: string, operation: Described, answer: Response): Promise<Answer> {
    const { status, headers } = answer;
    const text = await answer.text();
    const described =
      operation.responses[status] ?? (status < 300 ? operation.responses[this.good(operation)] : undefined);
    if (described === undefined) throw new Error(`${id} answered ${status}, which is not described: ${text}`);
    const type = (headers.get("content-type") ?? "").split(";")[0] as string;
    const media = described.content?.[type];
    const isJson = type === "application/json" || type === "application/problem+json";
    const told = text !== "" && described.content !== undefined && media === undefined;
    if (told && (isJson || !isBytes(described))) throw new Error(`${id} answered ${type}, which is not described`);
    const body = isJson ? JSON.parse(text) : undefined;
    if (isJson && media !== undefined) {
      const read = this.schema(media.schema).safeParse(body);
      if (!read.success) throw new Error(`${id}: ${z.prettifyError(read.error)}\n${text.slice(0, 2_000)}`);
    }
    if (status < 300) CALLED.add(id);
    return { status, body, text, headers };
  }

  private good(operation: Described): string {
    return Object.keys(operation.responses).find((status) => status.startsWith("2")) as string;
  }

  private schema(schema: object): z.ZodType {
    const known = this.checks.get(schema);
    if (known !== undefined) return known;
    const made = z.fromJSONSchema({ ...(local(schema) as object), $defs: this.definitions } as never);
    this.checks.set(schema, made);
    return made;
  }
}

function isBytes(described: { content?: Record<string, unknown> }): boolean {
  return Object.keys(described.content ?? {}).every((type) => !type.includes("json"));
}

/** References to components as references to `$defs`. */
function local(part: unknown): unknown {
  if (Array.isArray(part)) return part.map(local);
  if (typeof part !== "object" || part === null) return part;
  return Object.fromEntries(
    Object.entries(part).map(([key, value]) => [
      key,
      key === "$ref" && typeof value === "string" ? value.replace("#/components/schemas/", "#/$defs/") : local(value),
    ]),
  );
}
