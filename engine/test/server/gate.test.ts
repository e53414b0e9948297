/** The gate: where requests come from, who asks, what they may do, how much of it. Ids are those of the security checklist. */
import { once } from "node:events";
import { request as rawRequest } from "node:http";
import { connect } from "node:net";
import fc from "fast-check";
import { afterAll, beforeAll, expect, it, onTestFinished } from "vitest";
import { WebSocket } from "ws";
import { addressOf, OPERATIONS, paramsOf } from "../../src/contract/index.ts";
import { startServer } from "../../src/http/index.ts";
import { openPlace, type Place, type Role } from "./serving.ts";

let place: Place;
let port: number;

beforeAll(async () => {
  place = await openPlace();
  port = Number(new URL(place.server.url).port);
});
afterAll(() => place.close());

interface Raw {
  status: number;
  text: string;
  headers: Record<string, string | string[] | undefined>;
}

/** A request with exactly these headers, which fetch would not send. */
function raw(method: string, path: string, headers: Record<string, string>, body?: string, to = port): Promise<Raw> {
  return new Promise((resolve, reject) => {
    const asked = rawRequest(
      { host: "127.0.0.1", port: to, method, path, headers: { host: `127.0.0.1:${to}`, ...headers }, setHost: false },
      (answer) => {
        let text = "";
        answer.on("data", (piece) => {
          text += piece;
        });
        answer.on("end", () => resolve({ status: answer.statusCode ?? 0, text, headers: answer.headers }));
      },
    );
    asked.on("error", reject);
    asked.end(body);
  });
}

const SAMPLE: Record<string, string | number> = {
  run: "no-run",
  job: "no-job",
  sha256: "0".repeat(64),
  name: "none",
  token: "none",
  webhook: "none",
  hook: "none",
  pipeline: "none",
  approval: "none:a",
  delivery: "none",
  ordinal: 0,
};
const sample = (path: string) => addressOf(path, SAMPLE);
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
    ` ${own}`.trim() + "@evil.com",
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

it("S-03: no way to write a path bypasses the gate", async () => {
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
});

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
    const free = operation.id === "showSession" || operation.id === "closeSession";
    const path = addressOf(operation.path, { ...SAMPLE, run: other.id });
    const { status } = await raw(operation.method, path, headers);
    if (!free && status !== 403) wrong.push(`${operation.id} of another: ${status}`);
    if (!scoped) continue;
    const own = await raw(operation.method, addressOf(operation.path, { ...SAMPLE, run: mine.id }), headers);
    if (own.status === 403 || own.status === 401) wrong.push(`${operation.id} of its own: ${own.status}`);
  }
  expect(wrong).toEqual([]);
  const bulk = await raw("POST", "/api/run-actions", headers, JSON.stringify({ action: "cancel", runs: [mine.id] }));
  expect(bulk.status).toBe(403);
});

it("S-06: tokens are hashes in the ledger; taking one back counts at once, rotation gives an hour", async () => {
  const { access } = place.server;
  const { text, row } = await access.mint({ name: "short", role: "viewer" });
  expect(row.hash).toMatch(/^[0-9a-f]{64}$/);
  expect(JSON.stringify(await place.tenuto.engine.parts.ledger.token(row.id))).not.toContain(text.slice(21));
  const ask = async (token: string) => (await raw("GET", "/api/session", { authorization: `Bearer ${token}` })).status;
  expect(await ask(text)).toBe(200);
  expect(await ask(`${text.slice(0, -1)}${text.endsWith("A") ? "B" : "A"}`)).toBe(401);
  const rotated = await access.rotate(row.id);
  expect([await ask(text), await ask(rotated.text)]).toEqual([200, 200]);
  const session = await access.openSession(text);
  await access.revoke(row.id);
  expect([await ask(text), await ask(rotated.text)]).toEqual([401, 200]);
  const cookie = { cookie: `tenuto_session=${session?.text}`, "sec-fetch-site": "same-origin" };
  expect((await raw("GET", "/api/session", cookie)).status).toBe(401);
  const expired = await access.mint({ name: "over", role: "admin", forMs: -1 });
  expect(await ask(expired.text)).toBe(401);
});

it("S-07: a login is good once; cookies are not for scripts or other sites; five attempts a minute", async () => {
  const { text } = await place.server.access.mint({ kind: "login", name: "me", role: "admin" });
  expect((await raw("GET", "/api/session", { authorization: `Bearer ${text}` })).status).toBe(401);
  const body = JSON.stringify({ token: text });
  const login = () => raw("POST", "/api/session", { "content-type": "application/json" }, body);
  const all = await Promise.all([login(), login(), login()]);
  expect(all.map(({ status }) => status).sort()).toEqual([201, 401, 401]);
  const [cookie] = all.find(({ status }) => status === 201)!.headers["set-cookie"] as string[];
  expect(cookie).toMatch(/^tenuto_session=\S+; Path=\/; HttpOnly; SameSite=Strict; Max-Age=\d+$/);
  const strict = await openPlace({ limits: { loginsPerMinute: 5 } });
  try {
    const to = Number(new URL(strict.server.url).port);
    const tries = [];
    for (let n = 0; n < 7; n++)
      tries.push(await raw("POST", "/api/session", { "content-type": "application/json" }, '{"token":"x"}', to));
    expect(tries.map(({ status }) => status)).toEqual([401, 401, 401, 401, 401, 429, 429]);
    expect(Number(tries[6]?.headers["retry-after"])).toBeGreaterThan(0);
  } finally {
    await strict.close();
  }
});

it("S-08: every limit has its answer, and others are served while 1,000 sockets say nothing", async () => {
  const strict = await openPlace({
    limits: { perSecond: 1, burst: 100, headersTimeoutMs: 2_000, streamsPerToken: 2 },
  });
  const to = Number(new URL(strict.server.url).port);
  const token = { authorization: `Bearer ${strict.tokens.admin}` };
  const json = { ...token, "content-type": "application/json" };
  try {
    const big = JSON.stringify({ pipeline: "hello", params: { text: "x".repeat(1_100_000) } });
    expect((await raw("POST", "/api/runs", json, big, to)).status).toBe(413);
    expect((await raw("GET", `/api/runs?q=${"x".repeat(9_000)}`, token, undefined, to)).status).toBe(414);
    expect((await raw("GET", "/api/runs", { ...token, "x-much": "x".repeat(20_000) }, undefined, to)).status).toBe(431);
    expect((await raw("POST", "/api/runs", { ...token, "content-type": "text/plain" }, "{}", to)).status).toBe(415);
    const { text } = await strict.server.access.mint({ name: "greedy", role: "viewer" });
    const greedy = { authorization: `Bearer ${text}` };
    const many = await Promise.all(
      Array.from({ length: 180 }, () => raw("GET", "/api/session", greedy, undefined, to)),
    );
    const refused = many.filter(({ status }) => status === 429);
    expect(refused.length).toBeGreaterThan(20);
    expect(refused.every(({ headers }) => Number(headers["retry-after"]) >= 1)).toBe(true);
    expect(many[0]?.headers["ratelimit-policy"]).toBe('"default";q=100;w=100');

    const silent = Array.from({ length: 1_000 }, () => connect(to, "127.0.0.1"));
    for (const socket of silent) socket.on("error", () => {});
    await Promise.all(silent.map((socket) => once(socket, "connect").catch(() => {})));
    for (const socket of silent) socket.write("GET /api/runs HTTP/1.1\r\nhost: x\r\n");
    const gone = Promise.all(
      silent.map((socket) => new Promise<void>((resolve) => socket.on("close", () => resolve()))),
    );
    for (const socket of silent) socket.resume();
    expect((await raw("GET", "/api/session", token, undefined, to)).status).toBe(200);
    await gone;
  } finally {
    await strict.close();
  }
});

it("S-13, S-24: one media type, one parser; no key changes what objects are; depth has a bound", async () => {
  const json = { ...as("admin"), "content-type": "application/json" };
  const post = (body: string, headers: Record<string, string> = json) => raw("POST", "/api/runs", headers, body);
  const types = [
    "multipart/form-data; boundary=x",
    "text/plain",
    "application/x-www-form-urlencoded",
    "application/json; charset=utf-16",
    "application/jsonp",
    "",
  ];
  for (const type of types)
    expect((await post('{"pipeline":"hello"}', { ...as("admin"), "content-type": type })).status, type).toBe(415);
  expect((await post('{"pipeline":"hello"}', { ...json, "content-encoding": "gzip" })).status).toBe(415);
  expect((await post("--x\r\nfiles[].filepath=/etc/passwd")).status).toBe(400);
  expect((await post('{"pipeline":"hello","params":{"__proto__":{"polluted":1}}}')).status).toBe(400);
  expect((await post('{"pipeline":"hello","__proto__":{"polluted":1}}')).status).toBe(400);
  expect((await post('{"pipeline":"hello","constructor":{"prototype":{"polluted":1}}}')).status).toBe(422);
  expect((await post(`{"pipeline":"hello","params":{"a":${"[".repeat(70)}${"]".repeat(70)}}}`)).status).toBe(400);
  expect((await post('{"pipeline":"hello","filepath":"/etc/passwd"}')).status).toBe(422);
  expect((await post('{"pipeline":"../../etc/passwd"}')).status).toBe(422);
  expect((await raw("GET", "/api/runs?limit=1&limit=2", as("viewer"))).status).toBe(422);
  expect((await raw("GET", "/api/runs?order=id", as("viewer"))).status).toBe(422);
  expect(({} as Record<string, unknown>)["polluted"]).toBeUndefined();
});

it("S-33: what may change something is in the audit log with who and from where; a changed row breaks the chain", async () => {
  const { ledger } = place.tenuto.engine.parts;
  const before = (await ledger.mark("audit"))?.value ?? 0;
  const unsafe = OPERATIONS.filter(({ method, role }) => method !== "GET" && role !== "open");
  for (const { method, path } of unsafe)
    await raw(method, sample(path), { ...as("admin"), "content-type": "application/json" }, "{}");
  for (const { method, path } of unsafe)
    await raw(method, sample(path), { ...as("viewer"), "content-type": "application/json" }, "{}");
  const rows = await ledger.audit(before, 1_000);
  const refused = new Set(rows.filter((row) => row.phase === "refused").map((row) => row.operation));
  const needs = unsafe.filter(({ role }) => role !== "viewer").map(({ id }) => id);
  expect(needs.filter((id) => !refused.has(id))).toEqual([]);
  expect(rows.every((row) => row.address === "127.0.0.1" && row.name !== "")).toBe(true);
  const verify = async () => JSON.parse((await raw("GET", "/api/audit/verify", as("admin"))).text);
  expect(await verify()).toMatchObject({ ok: true });
  const { db } = ledger as unknown as { db: { prepare(sql: string): { run(...args: unknown[]): unknown } } };
  const row = rows[3]!;
  db.prepare("UPDATE audit SET name = 'somebody' WHERE number = ?").run(row.number);
  expect(await verify()).toEqual({ ok: false, rows: expect.any(Number), fault: `row ${row.number} was changed` });
  db.prepare("UPDATE audit SET name = ? WHERE number = ?").run(row.name, row.number);
  expect(await verify()).toMatchObject({ ok: true });
  db.prepare("UPDATE audit SET number = number + 1000000, id = 'x' WHERE number = ?").run(row.number);
  expect((await verify()).ok).toBe(false);
});

it("S-37: the token of an attempt ends with its lease", async () => {
  const run = await place.tenuto.start("held");
  const { ledger } = place.tenuto.engine.parts;
  let job = await place.tenuto.client.job(run.id, "hold");
  while (job.state !== "running") job = await place.tenuto.client.job(run.id, "hold");
  const { text } = await place.server.access.mint({
    name: "attempt",
    role: "viewer",
    run: run.id,
    job: job.seq,
    epoch: job.epoch,
  });
  const old = await place.server.access.mint({
    name: "attempt",
    role: "viewer",
    run: run.id,
    job: job.seq,
    epoch: job.epoch - 1,
  });
  const ask = async (token: string) =>
    (await raw("GET", `/api/runs/${run.id}`, { authorization: `Bearer ${token}` })).status;
  expect([await ask(text), await ask(old.text)]).toEqual([200, 401]);
  place.latch.open();
  await run.wait();
  expect(await ask(text)).toBe(401);
  void ledger;
});
