/** Guards that nothing else would miss: each of these tests fails when one line of the server is taken out. */
import { createHmac } from "node:crypto";
import { connect, type Socket } from "node:net";
import { afterAll, beforeAll, expect, it } from "vitest";
import { WebSocket } from "ws";
import { putWebhook } from "../../src/core/webhook.ts";
import { sessionCookie } from "../../src/http/gate.ts";
import { raw } from "./raw.ts";
import { openPlace, type Place } from "./serving.ts";

const SECRET = "dep-7f3a9c2b41d8e6f05a";
let place: Place;
beforeAll(async () => {
  place = await openPlace({ secrets: new Map([["DEPLOY_TOKEN", SECRET]]) });
});
afterAll(() => place?.close());

const portOf = (of: Place) => Number(new URL(of.server.url).port);
const bearer = (of: Place, role: "viewer" | "operator" | "admin" = "admin") => ({
  authorization: `Bearer ${of.tokens[role]}`,
});

/** What the server answers to exactly this text, up to its first line. */
function exchange(text: string, then?: (socket: Socket) => void): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port: portOf(place), host: "127.0.0.1" });
    let got = "";
    socket.on("data", (piece) => {
      got += String(piece);
      if (!got.includes("\r\n")) return;
      socket.destroy();
      resolve(got.split("\r\n")[0] as string);
    });
    socket.on("error", reject);
    socket.write(text);
    then?.(socket);
  });
}

it("S-02: two hosts are none, and a target that names a host is refused", async () => {
  const own = `127.0.0.1:${portOf(place)}`;
  expect(await exchange(`GET /healthz HTTP/1.1\r\nhost: ${own}\r\n\r\n`)).toBe("HTTP/1.1 200 OK");
  expect(await exchange(`GET /healthz HTTP/1.1\r\nhost: ${own}\r\nhost: evil.com\r\n\r\n`)).toContain(" 403 ");
  for (const target of [`http://${own}/healthz`, "http://evil.com/healthz", "*"])
    expect(await exchange(`OPTIONS ${target} HTTP/1.1\r\nhost: ${own}\r\n\r\n`), target).toContain(" 400 ");
  const other = `GET /healthz HTTP/1.1\r\nhost: ${own}\r\nconnection: Upgrade\r\nupgrade: h2c\r\n\r\n`;
  expect(await exchange(other)).toBe("HTTP/1.1 200 OK");
});

it("S-08: whoever tries tokens is stopped, and others from there are not", async () => {
  const attempt = (n: number) =>
    raw("GET", "/api/session", { authorization: `Bearer t${n}` }, undefined, portOf(place));
  expect((await attempt(0)).status).toBe(401);
  const statuses = (await Promise.all(Array.from({ length: 200 }, (_, n) => attempt(n)))).map(({ status }) => status);
  expect(new Set(statuses)).toEqual(new Set([401, 429]));
  expect((await raw("GET", "/api/session", bearer(place), undefined, portOf(place))).status).toBe(200);
});

it("S-08: a body ends at its limit, whether its length was said or not", async () => {
  const head = `POST /api/runs HTTP/1.1\r\nhost: 127.0.0.1:${portOf(place)}\r\nauthorization: ${bearer(place).authorization}\r\ncontent-type: application/json\r\n`;
  expect(await exchange(`${head}content-length: 2000000\r\n\r\n`)).toContain(" 413 ");
  const piece = `10000\r\n${" ".repeat(65_536)}\r\n`;
  const sent = await exchange(`${head}transfer-encoding: chunked\r\n\r\n`, (socket) => {
    for (let n = 0; n < 20; n++) socket.write(piece);
  });
  expect(sent).toContain(" 413 ");
});

it("S-17: problems and the streams of events are masked as well", async () => {
  const problem = await place.fetch(`/api/runs/${SECRET}`);
  expect([problem.status, await problem.text()]).toEqual([404, expect.stringContaining("[DEPLOY_TOKEN]")]);
  const stream = (query: string) => place.fetch(`/api/live?${query}`, { role: "viewer" });
  const feeds = await Promise.all(["topic=all", "topic=runs"].map(stream));
  const started = await place.fetch("/api/runs", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ pipeline: "held", labels: { who: SECRET } }),
  });
  const { id } = (await started.json()) as { id: string };
  await place.tenuto.client.cancel(id, `because ${SECRET}`);
  for (const answer of [...feeds, await stream(`topic=run&run=${id}`)]) {
    const reader = answer.body!.getReader();
    let got = "";
    while (!got.includes("because") || !got.includes('"labels":{"who"'))
      got += Buffer.from((await reader.read()).value ?? []).toString();
    await reader.cancel();
    expect(got).toContain("because [DEPLOY_TOKEN]");
    expect(got).not.toContain(SECRET);
  }
});

it("S-33: what is asked is written down before it is done; logins and signed messages as well", async () => {
  const { ledger } = place.tenuto.engine.parts;
  const json = { ...bearer(place), "content-type": "application/json" };
  const before = (await ledger.mark("audit"))?.value ?? 0;
  const post = (path: string, body: string, headers: Record<string, string> = json) =>
    raw("POST", path, headers, body, portOf(place));
  const made = await raw("PUT", "/api/hooks/in", json, '{"pipeline":"chatty"}', portOf(place));
  const started = await post("/api/runs", '{"pipeline":"chatty"}');
  expect([made.status, started.status]).toEqual([200, 201]);
  const login = await place.server.access.mint({ kind: "login", name: "anna", role: "viewer" });
  const opened = JSON.stringify({ token: login.text });
  expect((await post("/api/session", opened, { "content-type": "application/json" })).status).toBe(201);
  const at = String(Math.floor(Date.now() / 1_000));
  const key = Buffer.from(JSON.parse(made.text).secret.slice(6), "base64");
  const signature = `v1,${createHmac("sha256", key).update(`m.${at}.{}`).digest("base64")}`;
  const signed = { "webhook-id": "m", "webhook-timestamp": at, "webhook-signature": signature };
  expect((await post("/hooks/in", "{}", { "content-type": "application/json", ...signed })).status).toBe(202);
  const rows = await ledger.audit(before, 100);
  const told = rows.map(({ phase, operation, name }) => `${phase} ${operation} ${name}`);
  for (const one of ["asked putHook admin", "asked startRun admin", "answered openSession -", "answered receiveHook -"])
    expect(told).toContain(one);
  const events = await ledger.events((await place.tenuto.client.run(JSON.parse(started.text).id)).seq, 0, 1);
  const asked = rows.find(({ phase, operation }) => phase === "asked" && operation === "startRun")!;
  expect(asked.at).toBeLessThanOrEqual(events[0]!.at);
});

/** A websocket that is open. */
async function socket(): Promise<{ client: WebSocket; closed: Promise<number> }> {
  const client = new WebSocket(`${place.server.url.replace("http", "ws")}/api/live`, { headers: bearer(place) });
  const closed = new Promise<number>((resolve) => client.on("close", (code) => resolve(code)));
  client.on("error", () => {});
  await new Promise((resolve) => client.on("open", resolve));
  return { client, closed };
}

it("S-08: a websocket takes no floods of frames, no large ones, no bytes, and 50 subscriptions", async () => {
  const codes: number[] = [];
  for (const abuse of [
    (client: WebSocket) => Array.from({ length: 300 }, () => client.send('{"type":"ping"}')),
    (client: WebSocket) => client.send(JSON.stringify({ type: "ping", more: "x".repeat(70_000) })),
    (client: WebSocket) => client.send(Buffer.from([1])),
  ]) {
    const { client, closed } = await socket();
    abuse(client);
    codes.push(await closed);
  }
  expect(codes).toEqual([4429, 1009, 1003]);
  const { client, closed } = await socket();
  const told: any[] = [];
  const all = new Promise<void>((resolve) =>
    client.on("message", (data) => {
      const frame = JSON.parse(String(data));
      if (frame.type === "subscribed" || frame.type === "error") told.push(frame);
      if (told.length === 60) resolve();
    }),
  );
  for (let n = 0; n < 60; n++) client.send(JSON.stringify({ type: "subscribe", id: `s${n}`, topic: "runs" }));
  await all;
  expect(told.filter(({ type }) => type === "subscribed")).toHaveLength(50);
  expect(new Set(told.filter(({ type }) => type === "error").map(({ problem }) => problem.code))).toEqual(
    new Set(["rate_limited"]),
  );
  client.close();
  await closed;
});

it("R-37: whoever has seen lines that are not there is told so, instead of hearing nothing", async () => {
  const run = await place.tenuto.start("chatty", { lines: 3 });
  await run.wait();
  const answer = await place.fetch(`/api/live?topic=log&run=${run.id}&after=900`);
  const reader = answer.body!.getReader();
  let got = "";
  while (!got.includes("event: resync")) got += Buffer.from((await reader.read()).value ?? []).toString();
  await reader.cancel();
  expect(got).toMatch(/id: 3\nevent: resync/);
});

it("R-36: who does not read is sent no more than the queue holds and one frame, and is let go", async () => {
  const QUEUE = 16_384;
  const FRAME = 256 * 1_024;
  const other = await openPlace({ limits: { heartbeatMs: 50, stuckMs: 100, queueBytes: QUEUE } });
  const run = await other.tenuto.start("chatty", { lines: 6_000 });
  await run.wait();
  const { hub, access } = other.server.services;
  const principal = (await access.who(other.tokens.viewer, false))!;
  const follow = (read: (bytes: number) => number) => {
    let waiting = 0;
    let last = "0";
    let total = 0;
    const closed = new Promise<{ code: number; waiting: number; last: string; total: number }>((resolve) => {
      const listener = hub.join(principal, {
        send: ({ fields, cursor }) => {
          total += fields.length;
          waiting = read(waiting + fields.length);
          last = cursor;
          if (last === "6000") listener.close(1000, "all is there");
        },
        say: () => {},
        buffered: () => waiting,
        alive: () => true,
        close: (code) => resolve({ code, waiting, last, total }),
      });
      void listener.add("log", { topic: "log", run: run.id, after: "0" });
    });
    return closed;
  };
  const quick = await follow(() => 0);
  expect(quick).toMatchObject({ code: 1000, last: "6000" });
  expect(quick.total).toBeGreaterThan(2 * (QUEUE + FRAME));
  const stuck = await follow((waiting) => waiting);
  expect(stuck.code).toBe(4409);
  expect(stuck.waiting).toBeGreaterThan(QUEUE);
  expect(stuck.waiting).toBeLessThan(QUEUE + FRAME);
  await other.close();
});

it("S-05: where webhooks go is shown in full to admins only; a name that is used again has another secret", async () => {
  const admin = await place.api();
  const params = { webhook: "chat" };
  const body = { url: "https://hooks.example.com/services/T0/B0/secret?key=more", occasions: ["failed"] };
  const first = await admin.call("putWebhook", { params, body });
  expect(first.body.url).toBe(body.url);
  for (const role of ["viewer", "operator"] as const) {
    const { text, body: list } = await (await place.api(role)).call("listWebhooks");
    expect(list.items[0].url).toBe("https://hooks.example.com/...");
    expect(text).not.toContain("secret");
  }
  const fresh = { id: "chat", pipeline: "hello", params: "{}", enabled: 1 as const };
  const at = Date.now();
  const versions = [at, at + 1_000].map((time) => {
    const made = putWebhook("hook", fresh, true).decide({ records: [null] }, time);
    return made.ok ? made.result?.secretVersion : null;
  });
  expect(versions[1]).toBe((versions[0] as number) + 1);
});

it("S-07, S-19: logs and reports come in a sandbox; over TLS a cookie is bound to its host", async () => {
  const run = await place.tenuto.start("chatty", { lines: 1 });
  await run.wait();
  const hello = await place.tenuto.start("hello");
  await hello.wait();
  for (const path of [`${run.id}/logs/raw`, `${hello.id}/jobs/echo/output`, `${run.id}/report?format=html`]) {
    const { headers } = await place.fetch(`/api/runs/${path}`);
    expect(headers.get("content-security-policy"), path).toMatch(/^sandbox; default-src 'none'/);
  }
  expect(sessionCookie("text", 60, true)).toMatch(/^__Host-tenuto_session=text; Path=\/; .*; Secure$/);
  expect(sessionCookie("text", 60, false)).not.toMatch(/__Host-|Secure/);
});

it("S-37: a token that was made for a job ends with the attempt that was at work", async () => {
  const api = await place.api();
  const run = await place.tenuto.start("held");
  const mint = (body: object) => api.call("mintToken", { body: { name: "job", role: "viewer", ...body } });
  while ((await place.tenuto.client.job(run.id, "hold")).state !== "running");
  expect((await mint({ job: "hold" })).status).toBe(422);
  expect((await mint({ run: run.id, job: "none" })).status).toBe(404);
  const { status, body } = await mint({ run: run.id, job: "hold" });
  expect(status).toBe(201);
  const headers = { authorization: `Bearer ${body.token}` };
  const ask = async (path: string) => (await raw("GET", path, headers, undefined, portOf(place))).status;
  expect([await ask(`/api/runs/${run.id}`), await ask("/api/runs")]).toEqual([200, 403]);
  await run.cancel();
  await run.wait();
  expect(await ask(`/api/runs/${run.id}`)).toBe(401);
  expect((await mint({ run: run.id, job: "hold" })).status).toBe(409);
});

it("a key stands for one request: a rerun, another rerun and a dry run are others than the start", async () => {
  const api = await place.api();
  const start = (body: object, key: string) => api.call("startRun", { body, headers: { "idempotency-key": key } });
  const rerun = (run: string, body: object, key: string) =>
    api.call("rerunRun", { params: { run }, body, headers: { "idempotency-key": key } });
  const { body: first } = await start({ pipeline: "hello" }, "start");
  await (await place.tenuto.client.attach(first.id)).wait();
  expect((await rerun(first.id, {}, "start")).body.code).toBe("idempotency_mismatch");
  const { body: again } = await rerun(first.id, { from: "after" }, "again");
  const answers = [{ from: "after" }, { from: "echo" }, {}].map((body) => rerun(first.id, body, "again"));
  expect((await Promise.all(answers)).map(({ status, body }) => body.id ?? status)).toEqual([again.id, 422, 422]);
  const jobs = [{ id: "a", agent: "text/shout", input: { text: "x" }, effects: "outside" }];
  const document = { name: "out", kind: "graph", stages: [{ name: "s", jobs }] };
  expect((await api.call("putTemplate", { params: { name: "out" }, body: { document } })).status).toBe(200);
  expect((await start({ template: "out", dryRun: true }, "out")).status).toBe(201);
  expect((await start({ template: "out" }, "out")).body.code).toBe("idempotency_mismatch");
  // A number means a version of a template, whatever pipelines are called.
  expect((await start({ pipeline: "hello", templateVersion: 1 }, "numbered")).status).toBe(404);
});

it("a rerun leaves out what its origin has left out", async () => {
  const api = await place.api("operator");
  const { body: origin } = await api.call("startRun", { body: { pipeline: "hello", exclude: { jobs: ["echo"] } } });
  const ended = async (run: string) => {
    await (await place.tenuto.client.attach(run)).wait();
    return (await api.call("listJobs", { params: { run } })).body.items.map((job: any) => job.id);
  };
  expect(await ended(origin.id)).toEqual(["shout", "after"]);
  const { body: again } = await api.call("rerunRun", { params: { run: origin.id }, body: {} });
  expect(await ended(again.id)).toEqual(["shout", "after"]);
  const less = { params: { run: origin.id }, body: { exclude: { jobs: ["after"] } } };
  expect(await ended((await api.call("rerunRun", less)).body.id)).toEqual(["shout"]);
});
