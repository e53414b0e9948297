/** Webhooks against a real server on loopback. S-20 to S-22 as far as they concern what goes out. */
import { createHmac } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { isPrivate } from "../executors/llm/tools/network.ts";
import type { WebhookSpec } from "../ports/notifier.ts";
import { createNotifiers } from "./create.ts";
import { MESSAGE } from "./fixtures/message.ts";

interface Received {
  method: string | undefined;
  url: string | undefined;
  headers: IncomingMessage["headers"];
  body: string;
}

let server: Server;
let base: string;
let received: Received[];
let respond: (response: ServerResponse, count: number) => void;

beforeEach(async () => {
  received = [];
  respond = (response) => response.writeHead(204).end();
  server = createServer(async (request, response) => {
    let body = "";
    for await (const chunk of request) body += chunk;
    received.push({ method: request.method, url: request.url, headers: request.headers, body });
    respond(response, received.length);
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterEach(() => {
  server.closeAllConnections();
  return new Promise((done) => server.close(done));
});

async function send(webhook: Partial<WebhookSpec>, signal = new AbortController().signal): Promise<void> {
  const spec = { url: `${base}/hook/secret-token`, allowPrivate: true, ...webhook };
  const [notifier] = createNotifiers([{ name: "team", webhook: spec }], {
    env: {},
    cwd: "",
    isPrivate,
    seconds: () => 1_700_000_000,
    say: () => {},
  });
  await notifier!.send(MESSAGE, signal);
}

const failing = async (webhook: Partial<WebhookSpec>) => {
  const error = await send(webhook).then(
    () => null,
    (caught) => caught,
  );
  return { category: error?.category, message: error?.message, retryAfterMs: error?.retryAfterMs };
};

describe("what is sent", () => {
  it("is the whole message unless a body says otherwise", async () => {
    await send({});
    const [request] = received;
    expect([request!.method, request!.url]).toEqual(["POST", "/hook/secret-token"]);
    expect(JSON.parse(request!.body)).toEqual(MESSAGE);
    expect(request!.headers).toMatchObject({ "content-type": "application/json", "webhook-id": MESSAGE.id });
    expect(request!.headers["webhook-signature"]).toBeUndefined();
  });

  it("placeholders keep the type of a whole value, and text is text", async () => {
    const body = {
      text: "{{ title }}: {{ failure.message }}",
      jobs: "{{ run.jobs.total }}",
      all: ["{{ run }}"],
      none: "{{ approval }}",
    };
    await send({ method: "PUT", body, headers: { "X-Run": "{{ run.id }}", "X-Why": "{{ failure.message }}" } });
    const [request] = received;
    expect(JSON.parse(request!.body)).toEqual({
      text: 'Run r-1 failed: it said "no"\r\nX-Evil: 1',
      jobs: 3,
      all: [MESSAGE.run],
      none: null,
    });
    expect(request!.headers["x-run"]).toBe("r-1");
    expect(request!.headers["x-why"]).toBe('it said "no" X-Evil: 1');
    expect(request!.headers["x-evil"]).toBeUndefined();
  });

  it("S-22: is signed as Standard Webhooks say, with two secrets while they change", async () => {
    const encoded = `whsec_${Buffer.from("key bytes").toString("base64")}`;
    await send({ secret: ["plain", encoded], body: { a: "{{ id }}" } });
    const { headers, body } = received[0]!;
    const sign = (key: string) =>
      `v1,${createHmac("sha256", key).update(`${MESSAGE.id}.1700000000.${body}`).digest("base64")}`;
    expect(headers["webhook-timestamp"]).toBe("1700000000");
    expect(headers["webhook-signature"]).toBe(`${sign("plain")} ${sign("key bytes")}`);
  });
});

describe("what is refused or goes wrong", () => {
  it("S-20: private addresses by number, in other spellings and by name, before anything is connected", async () => {
    const { port } = server.address() as AddressInfo;
    for (const host of [
      "127.0.0.1",
      "localhost",
      "2130706433",
      "0x7f.1",
      "[::1]",
      "[::ffff:127.0.0.1]",
      "0177.0.0.1",
      "10.1.2.3",
      "169.254.169.254",
    ]) {
      const { category, message } = await failing({ url: `http://${host}:${port}/`, allowPrivate: false });
      expect([host, category, message]).toEqual([
        host,
        "permanent",
        expect.stringContaining("is in a private network"),
      ]);
    }
    expect(received).toEqual([]);
  });

  it("redirects are not followed", async () => {
    respond = (response) => response.writeHead(302, { location: `${base}/elsewhere` }).end();
    expect(await failing({})).toMatchObject({
      category: "permanent",
      message: expect.stringContaining("302: redirects are not followed"),
    });
    expect(received.length).toBe(1);
  });

  it.each([
    [500, "retryable"],
    [429, "retryable"],
    [408, "retryable"],
    [404, "permanent"],
    [410, "permanent"],
    [401, "permanent"],
  ])("status %s is %s, and the path is not told", async (status, category) => {
    respond = (response) => response.writeHead(status, { "retry-after": "7" }).end("no");
    const failure = await failing({});
    expect(failure).toMatchObject({ category, message: expect.stringContaining(`answered ${status}`) });
    expect(failure.message).not.toContain("secret-token");
    expect(failure.retryAfterMs).toBe(category === "retryable" ? 7_000 : undefined);
  });

  it("nobody there is retryable", async () => {
    await new Promise((done) => server.close(done));
    expect(await failing({})).toMatchObject({
      category: "retryable",
      message: expect.stringContaining("ECONNREFUSED"),
    });
  });

  it("S-21: an answer that never ends is not read to its end", async () => {
    respond = (response) => {
      response.writeHead(200);
      const more = () => {
        while (!response.destroyed && response.write("x".repeat(65_536)));
      };
      response.on("drain", more);
      more();
    };
    await send({});
    expect(received.length).toBe(1);
  });

  it("an answer that does not come ends with the signal", async () => {
    respond = () => stop.abort(new Error("over"));
    const stop = new AbortController();
    await expect(send({}, stop.signal)).rejects.toMatchObject({ category: "retryable" });
  });
});

describe("the configuration is checked when it is read", () => {
  const create = (specs: unknown) => () =>
    createNotifiers(specs, { env: {}, cwd: "", isPrivate, seconds: () => 0, say: () => {} });
  it.each([
    [{}, "notifiers must be a list"],
    [[{ name: "a b", log: true }], "needs a name"],
    [
      [
        { name: "a", log: true },
        { name: "a", log: true },
      ],
      "two notifiers named a",
    ],
    [[{ name: "a" }], "exactly one of command, webhook and log"],
    [[{ name: "a", log: true, command: ["x"] }], "exactly one of"],
    [[{ name: "a", log: true, onn: ["failed"] }], 'unknown key "onn"'],
    [[{ name: "a", log: true, on: ["finished"] }], "on must be a list of"],
    [[{ name: "a", log: true, everySeconds: 0 }], "everySeconds"],
    [[{ name: "a", log: true, timeoutSeconds: 600 }], "timeoutSeconds"],
    [[{ name: "a", command: "mail" }], "command must be a list"],
    [[{ name: "a", webhook: { url: "ftp://x/" } }], "https:// or http://"],
    [[{ name: "a", webhook: { url: "nowhere" } }], "whole URL"],
    [[{ name: "a", webhook: { url: "https://me:pass@x/" } }], "no user and password"],
    [[{ name: "a", webhook: { url: "https://x/", secret: "" } }], "is its variable set?"],
    [
      [{ name: "a", webhook: { url: "https://x/", body: { t: "{{ run.idd }}" } } }],
      "{{ run.idd }} is not in a message",
    ],
    [[{ name: "a", webhook: { url: "https://x/", body: ["{{ run.__proto__ }}"] } }], "is not in a message"],
    [[{ name: "a", webhook: { url: "https://x/", headers: { "a b": "c" } } }], "name of a header"],
  ])("%j", (specs, message) => {
    expect(create(specs)).toThrow(
      expect.objectContaining({ code: "invalid_config", message: expect.stringContaining(message) }),
    );
  });

  it("nothing configured is nothing", () => {
    expect(create(undefined)()).toEqual([]);
  });
});
