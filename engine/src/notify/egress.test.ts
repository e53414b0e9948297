/**
 * S-20, S-21: names that lead elsewhere with each look, and answers that blow up, for everything of the engine that asks the
 * outside: webhooks and the models' `http_request`. Lookups are answered here; sockets and servers are real, on loopback.
 */
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { Readable } from "node:stream";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { guardedRequest } from "../executors/llm/tools/network.ts";
import type { Message } from "../ports/notifier.ts";
import { postMessage } from "./webhook.ts";

const OUTER = "127.0.0.2";
const INNER = "127.0.0.1";
const dns = vi.hoisted(() => ({ looks: 0, answer: (_look: number): string[] => [] }));

vi.mock("node:dns", async (original) => ({
  ...(await original<typeof import("node:dns")>()),
  lookup: (_host: string, _options: object, callback: (error: null, found: object[]) => void) => {
    const addresses = dns.answer(dns.looks++).map((address) => ({ address, family: 4 }));
    setImmediate(() => callback(null, addresses));
  },
}));

// Only Linux answers to all of 127.0.0.0/8.
describe.skipIf(process.platform !== "linux")("what goes out", () => {
  let inner: Server;
  let outer: Server;
  let port: number;
  const hits = { inner: 0, outer: 0 };
  let endless: (() => void) | null = null;
  function* zeros(): Generator<Buffer> {
    for (;;) yield Buffer.alloc(16_384);
  }
  let respond: "ok" | "bomb" | "layers" | "headers" | "endless" = "ok";

  beforeAll(async () => {
    inner = createServer((_, response) => response.end("inner"));
    inner.on("connection", () => {
      hits.inner += 1;
    });
    await new Promise<void>((done) => inner.listen(0, INNER, done));
    ({ port } = inner.address() as AddressInfo);
    outer = createServer((_, response) => {
      hits.outer += 1;
      if (respond === "bomb") {
        response.writeHead(200, { "content-encoding": "gzip" });
        response.end(gzipSync(Buffer.alloc(100_000_000)));
      } else if (respond === "layers")
        response.writeHead(200, { "content-encoding": Array(1_000).fill("gzip").join(", ") }).end("x");
      else if (respond === "endless")
        Readable.from(zeros())
          .pipe(response)
          .on("close", () => endless?.());
      else if (respond === "headers") response.writeHead(200, { "x-long": "y".repeat(100_000) }).end("x");
      else response.end("ok");
    });
    await new Promise<void>((done) => outer.listen(port, OUTER, done));
  });
  afterAll(() => Promise.all([inner, outer].map((server) => new Promise((done) => server.close(done)))));
  beforeEach(() => {
    Object.assign(hits, { inner: 0, outer: 0 });
    dns.looks = 0;
    respond = "ok";
  });

  const MESSAGE = { id: "m", notifier: "team", occasion: "failed", run: { id: "r" } } as unknown as Message;
  // To the webhook the one server is outside and the other inside, though both are on this machine.
  const post = () =>
    postMessage({ url: `http://flips.example.com:${port}/` }, MESSAGE, AbortSignal.timeout(30_000), {
      isPrivate: (address) => address === INNER,
      seconds: () => 0,
    }).then(
      () => "sent",
      (error: Error) => error.message,
    );

  /** Asks `count` times, some at once, and counts the answers. */
  async function count(times: number, ask: () => Promise<string>): Promise<Record<string, number>> {
    const answers: Record<string, number> = {};
    for (let at = 0; at < times; at += 20)
      for (const answer of await Promise.all(Array.from({ length: 20 }, ask)))
        answers[answer] = (answers[answer] ?? 0) + 1;
    return answers;
  }

  it("S-20: a name that flips 1,000 times between outside and inside never leads a webhook inside", async () => {
    dns.answer = (look) => [look % 2 === 0 ? OUTER : INNER];
    const answers = await count(1_000, post);
    expect(answers["sent"]).toBe(500);
    expect(Object.keys(answers)).toHaveLength(2);
    expect(Object.keys(answers).join()).toContain("is in a private network (127.0.0.1)");
    expect(hits).toEqual({ inner: 0, outer: 500 });
    // One look for each request: what was checked is what was connected to.
    expect(dns.looks).toBe(1_000);
  });

  it("S-20: one inner address among many is enough to refuse all", async () => {
    dns.answer = () => [OUTER, INNER];
    expect(await post()).toContain("is in a private network");
    dns.answer = () => [INNER, OUTER];
    expect(await post()).toContain("is in a private network");
    expect(hits).toEqual({ inner: 0, outer: 0 });
  });

  it("S-20: an address that is written as such is looked at too", async () => {
    const answer = postMessage({ url: `http://${INNER}:${port}/` }, MESSAGE, AbortSignal.timeout(30_000), {
      isPrivate: (address) => address === INNER,
      seconds: () => 0,
    });
    await expect(answer).rejects.toThrow("is in a private network (127.0.0.1)");
    expect(hits).toEqual({ inner: 0, outer: 0 });
  });

  it("S-21: an answer without end is cut off, and counts by its status", async () => {
    dns.answer = () => [OUTER];
    respond = "endless";
    const ended = new Promise<void>((done) => {
      endless = done;
    });
    expect(await post()).toBe("sent");
    await ended;
  });

  const rights = (more: object = {}) => ({
    hosts: [`flips.example.com:${port}`, `127.0.0.1:${port}`],
    methods: ["GET"],
    privateAddresses: false,
    maxBytes: 65_536,
    timeoutSeconds: 30,
    ...more,
  });
  const ask = (more: object = {}) =>
    guardedRequest(
      rights(more),
      { url: `http://flips.example.com:${port}/`, method: "GET", headers: {}, body: undefined },
      AbortSignal.timeout(30_000),
    );

  it("S-20: a model's request is refused by what its name leads to at that moment, each time", async () => {
    dns.answer = (look) => [["127.0.0.1", "10.0.0.1", "169.254.169.254", "192.168.1.1"][look % 4] as string];
    const answers = await count(1_000, () =>
      ask().then(
        () => "sent",
        (error: Error) => error.message,
      ),
    );
    expect(Object.keys(answers).every((text) => text.endsWith("a private address"))).toBe(true);
    expect(Object.keys(answers)).toHaveLength(4);
    expect(hits).toEqual({ inner: 0, outer: 0 });
    expect(dns.looks).toBe(1_000);
  });

  it("S-21: packed bombs, a thousand layers and endless headers end at once: nothing is unpacked", async () => {
    dns.answer = () => [OUTER];
    for (const how of ["bomb", "layers", "headers"] as const) {
      respond = how;
      expect(await post()).toMatch(how === "headers" ? /HPE_HEADER_OVERFLOW/ : /^sent$/);
      const asked = ask({ privateAddresses: true }).then(
        ({ body, cut }) => `${body.length} ${cut}`,
        (error: Error) => error.message,
      );
      expect(await asked).toMatch(
        how === "bomb" ? /^65536 true$/ : how === "layers" ? /^1 false$/ : /Header overflow/i,
      );
    }
  });
});
