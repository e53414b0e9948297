/** The gate: where requests come from, what they may do. Ids are those of the security checklist. */
import fc from "fast-check";
import { afterAll, beforeAll, expect, it, onTestFinished } from "vitest";
import { WebSocket } from "ws";
import { addressOf, OPERATIONS, paramsOf } from "../../src/contract/index.ts";
import { startServer } from "../../src/http/index.ts";
import { raw as rawTo, SAMPLE, sample } from "./raw.ts";
import { openPlace, type Place, type Role } from "./serving.ts";

let place: Place;
let port: number;

beforeAll(async () => {
  place = await openPlace();
  port = Number(new URL(place.server.url).port);
});
afterAll(() => place.close());

const raw = (method: string, path: string, headers: Record<string, string>, body?: string, to = port) =>
  rawTo(method, path, headers, body, to);
const as = (role: Role) => ({ authorization: `Bearer ${place.tokens[role]}` });

it("S-01: no operation but the listed ones answers without a token, on loopback too", async () => {
  const open: string[] = [];
  for (const operation of OPERATIONS) {
    const { status, text } = await raw(operation.method, sample(operation.path), {
      "content-type": "application/json",
    });
    if (status !== 401) open.push(`${operation.id} ${status}`);
    else expect(JSON.parse(text)).toMatchObject({ status: 401, hint: expect.any(String) });
  }
  expect(open).toEqual(["openSession 422", "health 200"]);
  for (const path of ["/api", "/api/", "/api/unknown", "/metrics/", "/assets/x.js"])
    expect((await raw("GET", path, {})).status, path).toBe(401);
});

it("S-01: another address without TLS is refused, and there is no server without a key", async () => {
  const how = { port: 0, version: "1", onFault: () => {} };
  await expect(startServer(place.tenuto, { ...how, host: "0.0.0.0", key: new Uint8Array(32) })).rejects.toMatchObject({
    code: "invalid_config",
    hint: expect.stringContaining("--insecure"),
  });
  await expect(startServer(place.tenuto, { ...how, key: new Uint8Array() })).rejects.toMatchObject({
    code: "invalid_config",
  });
});

it("S-02: 40 probes from elsewhere get 403 before the body is read", async () => {
  const own = `127.0.0.1:${port}`;
  const hosts = [
    "evil.com",
    `evil.com:${port}`,
    `localhost.evil.com:${port}`,
    `127.0.0.1.nip.io:${port}`,
    `0.0.0.0:${port}`,
    `[::ffff:7f00:1]:${port}`,
    `[::]:${port}`,
    `localhost.:${port}`,
    `127.1:${port}`,
    `2130706433:${port}`,
    `0x7f.1:${port}`,
    "127.0.0.1",
    "localhost",
    "127.0.0.1:1",
    `localhost:${port + 1}`,
    `127.0.0.1:${port}.evil.com`,
    `${own}@evil.com`,
    `evil.com#${own}`,
    `user@${own}`,
    `127.0.0.2:${port}`,
  ];
  const origins = [
    "http://evil.com",
    "https://evil.com",
    "null",
    `http://localhost.evil.com:${port}`,
    `http://localhost:${port + 1}`,
    `https://${own}`,
    "http://127.0.0.1",
    "http://localhost",
    `http://127.0.0.1.nip.io:${port}`,
    `HTTP://evil.com`,
    `file://`,
    `http://0.0.0.0:${port}`,
    `http://${own}.evil.com`,
    `chrome-extension://${own}`,
  ];
  const sites = ["cross-site", "same-site", "none", "CROSS-SITE", ""];
  const probes: Record<string, string>[] = [
    ...hosts.map((host) => ({ host })),
    ...origins.map((origin) => ({ origin })),
    ...sites.map((site) => ({ "sec-fetch-site": site })),
    // A cookie without a word on where the request comes from.
    { cookie: "tenuto_session=x", authorization: "" },
  ];
  expect(probes).toHaveLength(40);
  const answers = await Promise.all(
    probes.map((headers) =>
      raw(
        "POST",
        "/api/runs",
        { ...as("admin"), "content-type": "application/json", "content-length": "50", ...headers },
        "{".padEnd(50),
      ),
    ),
  );
  // What is no host at all is refused as malformed.
  const malformed = (probe: Record<string, string>) =>
    /[@#]|\.com$/.test(probe["host"] ?? "") && probe["host"]?.includes(own);
  expect(answers.map(({ status }, i) => `${status} ${JSON.stringify(probes[i])}`)).toEqual(
    probes.map((probe) => `${malformed(probe) ? 400 : 403} ${JSON.stringify(probe)}`),
  );
  expect(answers.every(({ status, text }) => status === 400 || /"code":"(host|origin)_refused"/.test(text))).toBe(true);
  expect(answers.every(({ headers }) => headers["access-control-allow-origin"] === undefined)).toBe(true);
  const accepted: Record<string, string>[] = [
    { host: `LOCALHOST:${port}` },
    { origin: `http://${own}`, "sec-fetch-site": "same-origin" },
  ];
  for (const good of accepted)
    expect((await raw("GET", "/api/session", { ...as("viewer"), ...good })).status).toBe(200);
});

/** The checklist asks for 10,000; TENUTO_PATHS=10000 takes a minute. */
const PATHS = Number(process.env["TENUTO_PATHS"] ?? 1_500);

it(
  "S-03: no way to write a path bypasses the gate",
  async () => {
    const other = await openPlace();
    onTestFinished(() => other.close());
    const to = Number(new URL(other.server.url).port);
    const base = fc.constantFrom(
      "/api/runs",
      "/api/tokens",
      "/api/audit",
      "/metrics",
      "/readyz",
      "/api/live",
      "/api/session",
    );
    const noise = fc.constantFrom(
      "/healthz",
      ";/healthz",
      "%2fhealthz",
      "//healthz",
      "/../healthz",
      "/%2e%2e/healthz",
      "?/healthz",
      "#/healthz",
      "/ready",
      "/configs",
      ".json",
      "%00",
      "%20",
      "/",
      "//",
      ";x=1",
      "\\..\\healthz",
      "/login",
      "/login.js",
      "%252f",
      "/index.html",
      ".css",
      "..;/healthz",
    );
    const method = fc.constantFrom("GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "get");
    const header = fc.constantFrom<Record<string, string>>(
      {},
      { "x-http-method-override": "GET" },
      { "x-original-url": "/healthz" },
      { "x-forwarded-for": "127.0.0.1" },
      { authorization: "Bearer " },
      { authorization: "Basic YWRtaW46YWRtaW4=" },
      { authorization: "Bearer tnt_0000000000000000_x" },
      { "x-rewrite-url": "/healthz" },
    );
    const casing = fc.constantFrom(
      (text: string) => text,
      (text: string) => text.toUpperCase(),
      (text: string) => text.replace("/api", "//api"),
      (text: string) => text.replace("api", "%61pi"),
    );
    const probe = fc.tuple(method, base, fc.array(noise, { maxLength: 3 }), header, casing);
    const probes = fc.sample(probe, { numRuns: PATHS, seed: 3 });
    const passed: string[] = [];
    const ask = async ([how, path, tail, headers, write]: (typeof probes)[number]) => {
      const url = encodeURI(decodeSafe(write(path) + tail.join(""))).replaceAll("#", "%23");
      const { status, text } = await raw(how, url, headers, undefined, to).catch(() => ({ status: 400, text: "" }));
      const harmless =
        status >= 400 ||
        (status === 200 && (text === '{"ok":true}' || /^<!doctype|^const say/.test(text) || how === "HEAD"));
      if (!harmless) passed.push(`${how} ${url} ${status} ${text.slice(0, 80)}`);
    };
    for (let at = 0; at < probes.length; at += 50) await Promise.all(probes.slice(at, at + 50).map(ask));
    expect(passed).toEqual([]);
  },
  60_000 + PATHS * 100,
);

/** Keeps what is escaped as it is. */
function decodeSafe(text: string): string {
  return text.replaceAll("%", "%25").replaceAll("%2525", "%25").replaceAll("%25", "%");
}

it("S-04: websockets and event streams pass the same gate, tokens in the URL count for nothing", async () => {
  const open = (path: string, headers: Record<string, string>) =>
    new Promise<number>((resolve) => {
      const socket = new WebSocket(`ws://127.0.0.1:${port}${path}`, { headers });
      socket.on("open", () => {
        socket.terminate();
        resolve(101);
      });
      socket.on("unexpected-response", (_, answer) => {
        resolve(answer.statusCode ?? 0);
        answer.destroy();
      });
      socket.on("error", () => {});
    });
  const token = place.tokens.viewer;
  expect(await open("/api/live", {})).toBe(401);
  expect(await open(`/api/live?token=${token}`, {})).toBe(422);
  expect(await open("/api/live", { authorization: "Bearer nonsense" })).toBe(401);
  expect(await open("/api/live", { ...as("viewer"), origin: "http://evil.com" })).toBe(403);
  expect(await open("/api/live", { ...as("viewer"), host: "evil.com" })).toBe(403);
  expect(await open("/api/live", { cookie: `tenuto_session=${token}` })).toBe(403);
  expect(await open("/api/runs", as("viewer"))).toBe(404);
  expect(await open("/api/runs", {})).toBe(401);
  expect(await open("/api/live", as("viewer"))).toBe(101);
  for (const path of [
    `/api/live?topic=all&token=${token}`,
    `/api/runs?token=${token}`,
    `/api/runs?access_token=${token}`,
  ])
    expect((await raw("GET", path, {})).status).toBe(401);
});

it("S-05: each operation with each role: only what the role allows, by the API itself", async () => {
  const rank = { viewer: 0, operator: 1, admin: 2 };
  const wrong: string[] = [];
  for (const operation of OPERATIONS) {
    if (operation.role === "open" || operation.id === "live" || operation.id === "closeSession") continue;
    for (const role of ["viewer", "operator", "admin"] as const) {
      const { status } = await raw(operation.method, sample(operation.path), {
        ...as(role),
        "content-type": "application/json",
      });
      const allowed = rank[role] >= rank[operation.role];
      if ((status === 403) === allowed || status === 401) wrong.push(`${operation.id} as ${role}: ${status}`);
    }
  }
  expect(wrong).toEqual([]);
});

it("S-05: a token for one run is good for that run only", async () => {
  const mine = await place.tenuto.start("hello");
  const other = await place.tenuto.start("hello");
  await Promise.all([mine.wait(), other.wait()]);
  const { text } = await place.server.access.mint({ name: "job", role: "operator", run: mine.id });
  const headers = { authorization: `Bearer ${text}`, "content-type": "application/json" };
  const wrong: string[] = [];
  for (const operation of OPERATIONS) {
    if (operation.role !== "viewer" && operation.role !== "operator") continue;
    const scoped = paramsOf(operation.path).includes("run");
    const free = ["showSession", "closeSession", "live"].includes(operation.id);
    const path = addressOf(operation.path, { ...SAMPLE, run: other.id });
    const { status } = await raw(operation.method, path, headers);
    if (!free && status !== 403) wrong.push(`${operation.id} of another: ${status}`);
    if (!scoped) continue;
    const own = await raw(operation.method, addressOf(operation.path, { ...SAMPLE, run: mine.id }), headers);
    const refused = own.status === 403 || own.status === 401;
    if (refused !== (operation.makesRun === true)) wrong.push(`${operation.id} of its own: ${own.status}`);
  }
  expect(wrong).toEqual([]);
  for (const topic of ["all", `run&run=${other.id}`, `log&run=${other.id}`])
    expect((await raw("GET", `/api/live?topic=${topic}`, headers)).status, topic).toBe(403);
  const bulk = await raw("POST", "/api/run-actions", headers, JSON.stringify({ action: "cancel", runs: [mine.id] }));
  expect(bulk.status).toBe(403);
});
