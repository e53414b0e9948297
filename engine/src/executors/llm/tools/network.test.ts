/** The guarded client, against a server on loopback: what is allowed, what is refused, what is bounded. */
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { HttpRights } from "../../../core/llm.ts";
import { guardedRequest, isPrivate } from "./network.ts";

let server: Server;
let port: number;
const seen: { url: string; method: string; headers: Record<string, unknown>; body: string }[] = [];
beforeAll(async () => {
  server = createServer(async (request, response) => {
    let body = "";
    for await (const part of request) body += part;
    seen.push({ url: request.url ?? "", method: request.method ?? "", headers: request.headers, body });
    const to = new URL(request.url ?? "/", "http://x").searchParams.get("to");
    if (request.url === "/hang") return;
    if (request.url === "/drip") return void response.writeHead(200).write("x");
    if (request.url === "/big") return void response.end("x".repeat(5_000_000));
    if (request.url === "/loop") return void response.writeHead(302, { location: "/loop" }).end();
    if (to !== null) return void response.writeHead(302, { location: to }).end("moved");
    response.writeHead(200, { "content-type": "text/plain" }).end(`${request.method} ${body}`);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  port = (server.address() as AddressInfo).port;
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
});

const rights = (more: Partial<HttpRights> = {}): HttpRights => ({
  hosts: [`127.0.0.1:${port}`, `localhost:${port}`],
  methods: ["GET", "HEAD", "POST"],
  privateAddresses: true,
  maxBytes: 1_000,
  timeoutSeconds: 5,
  ...more,
});
const never = new AbortController().signal;
const ask = (url: string, more: Partial<HttpRights> = {}, method = "GET", body?: string) =>
  guardedRequest(rights(more), { url, method, headers: { accept: "text/plain", "x-own": "1" }, body }, never);
const at = (path: string) => `http://127.0.0.1:${port}${path}`;

it("asks an allowed host and gives what came", async () => {
  const answer = await ask(at("/hello"), {}, "POST", "body");
  expect(answer).toMatchObject({ status: 200, cut: false });
  expect(answer.body.toString()).toBe("POST body");
});

describe("refuses", () => {
  it.each([
    ["a host that is not listed", () => ask("http://example.com/"), "not among the hosts"],
    ["another port", () => ask("http://127.0.0.1:1/"), "not among the hosts"],
    ["another scheme", () => ask("file:///etc/passwd"), "only http"],
    ["a password in the address", () => ask(`http://u:p@127.0.0.1:${port}/`), "name or password"],
    ["nonsense", () => ask("::"), "not an address"],
    ["a method that is not listed", () => ask(at("/"), {}, "DELETE"), "DELETE is not allowed"],
    ["a private address", () => ask(at("/"), { privateAddresses: false }), "private address"],
    [
      "a name that leads to one",
      () => ask(`http://localhost:${port}/`, { privateAddresses: false }),
      "private address",
    ],
    [
      "any host when the address is private",
      () => ask("http://[::ffff:127.0.0.1]/", { hosts: ["*"], privateAddresses: false }),
      "private",
    ],
    [
      "decimal and hexadecimal forms",
      () => ask("http://0x7f000001/", { hosts: ["*"], privateAddresses: false }),
      "private",
    ],
    ["a redirect elsewhere", () => ask(at("/?to=http://example.com/")), "example.com is not among"],
    ["a redirect to another scheme", () => ask(at("/?to=file:///etc/passwd")), "only http"],
    ["endless redirects", () => ask(at("/loop")), "more than 5"],
    ["a redirect of a body", () => ask(at("/?to=/hello"), {}, "POST", "x"), "was not followed"],
  ])("%s", async (_, work, message) => {
    await expect(work()).rejects.toThrow(message);
  });
});

it("follows a redirect to an allowed host without headers of the first request", async () => {
  seen.length = 0;
  const answer = await ask(at(`/?to=http://localhost:${port}/there`));
  expect(answer).toMatchObject({ status: 200, url: `http://localhost:${port}/there` });
  expect(seen[1]?.headers["x-own"]).toBeUndefined();
  expect(seen[1]?.headers["accept"]).toBe("text/plain");
});

it("bounds size and time", async () => {
  const big = await ask(at("/big"));
  expect(big.cut).toBe(true);
  expect(big.body.length).toBe(1_000);
  await expect(ask(at("/hang"), { timeoutSeconds: 0.2 })).rejects.toThrow("longer than 0.2 s");
  await expect(ask(at("/drip"), { timeoutSeconds: 0.2 })).rejects.toThrow("longer than 0.2 s");
});

it("knows private addresses", () => {
  const inside = [
    "10.1.2.3",
    "127.0.0.1",
    "169.254.169.254",
    "100.64.1.1",
    "0.0.0.0",
    "192.168.1.1",
    "172.20.0.1",
    "255.255.255.255",
  ];
  const inside6 = [
    "::1",
    "::",
    "fe80::1",
    "fd00::1",
    "::ffff:10.0.0.1",
    "64:ff9b::a00:1",
    "2002:a00:1::",
    "ff02::1",
    "nonsense",
  ];
  for (const address of [...inside, ...inside6]) expect(isPrivate(address), address).toBe(true);
  for (const address of ["1.1.1.1", "93.184.216.34", "2606:4700::1111", "2a00:1450:4001::1"])
    expect(isPrivate(address), address).toBe(false);
});
