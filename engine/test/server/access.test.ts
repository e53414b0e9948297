/** Tokens, sessions, limits, bodies, the audit log. Ids are those of the security checklist. */
import { once } from "node:events";
import { connect } from "node:net";
import { afterAll, beforeAll, expect, it } from "vitest";
import { OPERATIONS } from "../../src/contract/index.ts";
import { raw as rawTo, sample } from "./raw.ts";
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
  const { row: brief } = await access.mint({ name: "brief", role: "admin", forMs: 600_000 });
  const { row: next } = await access.rotate(brief.id);
  expect((next.expiresAt as number) - next.createdAt, "for as long as the former was made for").toBeLessThanOrEqual(
    600_000,
  );
  const expired = await access.mint({ name: "over", role: "admin", forMs: -1 });
  expect(await ask(expired.text)).toBe(401);
});

it("S-06: logins and sessions that were over for a month are forgotten, tokens are not", async () => {
  const { access } = place.server;
  const { ledger } = place.tenuto.engine.parts;
  const MONTH_MS = 30 * 86_400_000;
  const old = await access.mint({ kind: "login", name: "old", role: "viewer", forMs: -MONTH_MS - 1_000 });
  const fresh = await access.mint({ kind: "login", name: "fresh", role: "viewer", forMs: -1_000 });
  const token = await access.mint({ name: "token", role: "viewer", forMs: -MONTH_MS - 1_000 });
  expect(await access.prune()).toBe(1);
  const there = await Promise.all([old, fresh, token].map(({ row }) => ledger.token(row.id)));
  expect(there.map((row) => row?.name ?? null)).toEqual([null, "fresh", "token"]);
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
  // What was answered says how the thing was before and after.
  const put = { "content-type": "application/json", ...as("admin") };
  const hook = (pipeline: string) => raw("PUT", "/api/hooks/audited", put, JSON.stringify({ pipeline }));
  for (const pipeline of ["hello", "fan"]) expect((await hook(pipeline)).status).toBe(200);
  expect((await raw("DELETE", "/api/hooks/audited", put)).status).toBe(204);
  const answered = async () =>
    JSON.parse((await raw("GET", "/api/audit?limit=20", as("admin"))).text)
      .items.filter((one: any) => one.phase === "answered" && one.target === "hook=audited")
      .reverse();
  let told = await answered();
  while (told.length < 3) told = await answered();
  expect(told.map((one: any) => [one.operation, one.before === null, one.after === null])).toEqual([
    ["putHook", true, false],
    ["putHook", false, false],
    ["removeHook", false, true],
  ]);
  expect(told[1].before).toBe(told[0].after);
  expect(told[2].before).toBe(told[1].after);
  expect(told[1].after).not.toBe(told[1].before);
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
