/** Checks of the security list that no other file has: uploads, expressions, addresses of webhooks, outbound calls (S-11, S-20, S-23, S-31). */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, expect, it, onTestFinished } from "vitest";
import { OPERATIONS } from "../../src/contract/index.ts";
import { riskOf } from "../../src/http/patterns.ts";
import { seen } from "../seen.ts";
import { raw as rawTo, sample } from "./raw.ts";
import { openPlace, type Place } from "./serving.ts";

const ROOT = fileURLToPath(new URL("../../../", import.meta.url));
let place: Place;
let port: number;

beforeAll(async () => {
  place = await openPlace();
  port = Number(new URL(place.server.url).port);
});
afterAll(() => place.close());

const raw = (method: string, path: string, headers: Record<string, string>, body?: string) =>
  rawTo(method, path, { authorization: `Bearer ${place.tokens.admin}`, ...headers }, body, port);
const json = { "content-type": "application/json" };

it("S-11: no operation takes an upload or an archive, and none unpacks what it is sent", async () => {
  const bomb = gzipSync(Buffer.alloc(4_000_000, " ")).toString("latin1");
  const types = [
    { "content-type": "multipart/form-data; boundary=x" },
    { "content-type": "application/octet-stream" },
    { "content-type": "application/zip" },
    { "content-type": "application/gzip" },
    { ...json, "content-encoding": "gzip" },
    { ...json, "content-encoding": "gzip, gzip, gzip, br" },
  ];
  const taken: string[] = [];
  for (const { id, method, path, role } of OPERATIONS) {
    if (method === "GET" || method === "DELETE") continue;
    for (const headers of types) {
      const { status } = await raw(method, sample(path), headers, bomb);
      if (status !== 415) taken.push(`${id} ${role} ${JSON.stringify(headers)}: ${status}`);
    }
  }
  expect(taken).toEqual([]);
});

it("S-11: nothing in the engine unpacks archives", () => {
  const sources = readdirSync(join(ROOT, "engine/src"), { recursive: true, encoding: "utf8" }).filter(
    (path) => path.endsWith(".ts") && !path.endsWith(".test.ts"),
  );
  const unpacking = sources.filter((path) =>
    /\b(gunzip|inflate|brotliDecompress|unzip|createGunzip|createInflate)\b|from "(tar|adm-zip|unzipper|yauzl)"/.test(
      readFileSync(join(ROOT, "engine/src", path), "utf8"),
    ),
  );
  expect(unpacking).toEqual([]);
});

const HOSTS = [
  ...[
    "127.0.0.1",
    "127.1",
    "2130706433",
    "0x7f000001",
    "0x7f.1",
    "0177.0.0.1",
    "017700000001",
    "127.0.0.1.",
    "0",
    "0.0.0.0",
  ],
  ...[
    "10.0.0.1",
    "10.255.255.255",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.0.1",
    "192.168.255.255",
    "169.254.169.254",
  ],
  ...[
    "100.64.0.1",
    "100.127.255.255",
    "192.0.0.1",
    "198.18.0.1",
    "198.19.255.255",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
  ],
  ...[
    "255.255.255.255",
    "0.1.2.3",
    "0xa9fea9fe",
    "2852039166",
    "0251.0376.0251.0376",
    "169.254.43518",
    "0xA9.0xFE.0xA9.0xFE",
  ],
  ...[
    "[::]",
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::ffff:10.0.0.1]",
    "[::127.0.0.1]",
  ],
  ...[
    "[64:ff9b::7f00:1]",
    "[64:ff9b::127.0.0.1]",
    "[64:ff9b:1::1]",
    "[fc00::1]",
    "[fd12:3456::1]",
    "[fe80::1]",
    "[febf::1]",
  ],
  ...[
    "[ff02::1]",
    "[2002:7f00:1::]",
    "[2001::1]",
    "[2001:db8::1]",
    "[100::1]",
    "[::ffff:0:127.0.0.1]",
    "[fec0::1]",
    "[3fff::1]",
  ],
  ...["localhost", "LOCALHOST", "localhost.", "a.localhost", "b.a.localhost."],
];
const URLS = [
  ...HOSTS.map((host) => `http://${host}/x`),
  ...HOSTS.slice(0, 47).map((host) => `https://${host}:8443/`),
  ...["http://me@127.0.0.1/", "http://me:pass@example.com/", "http://%31%32%37.0.0.1/", "http://①②⑦.0.0.1/"],
  ...["http://127。0。0。1/", "ftp://example.com/", "file:///etc/passwd", "gopher://127.0.0.1/", "javascript:alert(1)"],
  ...[
    "data:text/plain,x",
    "//127.0.0.1/",
    "http:///127.0.0.1",
    "http://127.0.0.1%00.example.com/",
    "http://exa mple.com/",
  ],
];

it("S-20: 120 ways to name an inner address are refused as the address of a webhook", async () => {
  expect(URLS).toHaveLength(120);
  const taken: string[] = [];
  for (const url of URLS) {
    const body = JSON.stringify({ url, occasions: ["failed"] });
    const { status, text } = await raw("PUT", "/api/webhooks/inner", json, body);
    if (status !== 422) taken.push(`${url} ${status} ${text.slice(0, 100)}`);
  }
  expect(taken).toEqual([]);
  expect(await place.tenuto.engine.parts.ledger.webhooks()).toEqual([]);
});

it("S-20: webhooks go to ports of web servers only", async () => {
  const put = async (port: string) => {
    const body = JSON.stringify({ url: `https://example.com${port}/hook`, occasions: ["failed"] });
    const { status, text } = await raw("PUT", "/api/webhooks/ports", json, body);
    return `${status} ${JSON.parse(text).code ?? ""}`.trim();
  };
  for (const port of [":22", ":25", ":6379", ":8000", ":65535", ":0", ":81"])
    expect(`${port} ${await put(port)}`).toBe(`${port} 422 port_refused`);
  for (const port of ["", ":80", ":443", ":8080", ":8443"]) expect(`${port} ${await put(port)}`).toBe(`${port} 200`);
  expect((await raw("DELETE", "/api/webhooks/ports", json)).status).toBe(204);
});

it("S-23: an expression that could hold up the server is refused in a template; others end soon on any text", async () => {
  const refused = [
    ...[
      "^(a+)+$",
      "(a*)*b",
      "^(\\w+\\s?)*$",
      "(.*a){20}",
      "(x+x+)+y",
      "([a-z]+)*$",
      "(?:a{2,})+",
      "((ab)*c)*",
      "(a|b+)*",
    ],
    ...[
      "^(?=(a+)+$)",
      "(?!x)y",
      "(?<=a)b",
      "(?<!a)b",
      "(a)\\1",
      "(?<n>a)\\k<n>",
      "(((a+)))*",
      "(a?b*)*",
      "x".repeat(1_001),
    ],
  ];
  expect(refused.filter((source) => riskOf(source) === null)).toEqual([]);
  const taken = [
    "^[a-z0-9-]{1,40}$",
    "(a|aa)+$",
    "^v\\d+\\.\\d+$",
    "^(foo|bar)?$",
    "a*a*a*a*b",
    "[(+*]+\\)+",
    "^(\\d{4})-(\\d{2})$",
  ];
  expect(taken.filter((source) => riskOf(source) !== null)).toEqual([]);
  const template = (pattern: string) =>
    JSON.stringify({
      document: {
        name: "t",
        kind: "graph",
        params: { type: "object", properties: { x: { type: "string", pattern } } },
        stages: [
          { name: "s", jobs: [{ id: "j", agent: "text/shout", input: { text: "{{ params.x }}", pattern: "(a+)+" } }] },
        ],
      },
    });
  for (const pattern of refused) {
    const { status, text } = await raw("PUT", "/api/templates/t", json, template(pattern));
    expect([pattern, status, JSON.parse(text).code]).toEqual([pattern, 422, "invalid_definition"]);
  }
  for (const pattern of ["(a|aa)+$", "a*a*a*a*b"]) {
    expect((await raw("PUT", "/api/templates/t", json, template(pattern))).status).toBe(200);
    const start = JSON.stringify({ template: "t", params: { x: `${"a".repeat(5_000)}!` } });
    // Without the fallback to the linear search the first of these would take longer than the universe has been there.
    expect((await raw("POST", "/api/runs", json, start)).status).toBe(422);
  }
});

it("S-31: a server that starts, works and stops calls nobody: no name is looked up, no socket opened to the outside", async () => {
  const cwd = mkdtempSync(join(tmpdir(), "tenuto-quiet-"));
  onTestFinished(() => rmSync(cwd, { recursive: true, force: true }));
  symlinkSync(join(ROOT, "node_modules"), join(cwd, "node_modules"));
  writeFileSync(
    join(cwd, "watch.mjs"),
    `import dns from "node:dns"; import dgram from "node:dgram"; import net from "node:net";
import { writeSync } from "node:fs"; import { syncBuiltinESMExports } from "node:module";
const tell = (what) => writeSync(2, "OUTWARD " + what + "\\n");
for (const name of ["lookup", "resolve", "resolve4", "resolve6"]) { const real = dns[name]; dns[name] = (...a) => { if (a[0] !== "127.0.0.1" && a[0] !== "::1") tell(name + " " + a[0]); return real(...a); }; }
const connect = net.Socket.prototype.connect;
net.Socket.prototype.connect = function (...a) { const o = Array.isArray(a[0]) ? a[0][0] : a[0]; if (!(o?.path ?? (typeof o === "string" ? o : undefined))) { const h = o?.host ?? "localhost"; if (!["127.0.0.1", "::1", "localhost"].includes(h)) tell("connect " + h); } return connect.apply(this, a); };
const send = dgram.Socket.prototype.send; dgram.Socket.prototype.send = function (...a) { tell("udp"); return send.apply(this, a); };
syncBuiltinESMExports();
if (process.env.PROVE === "1") net.connect({ host: "192.0.2.1", port: 9 }).on("error", () => {}).destroy();
`,
  );
  writeFileSync(
    join(cwd, "tenuto.config.mts"),
    `import { defineAgent, defineConfig, definePipeline } from "tenuto";
export default defineConfig({ pipelines: [definePipeline({ name: "hi", agents: [defineAgent({ name: "a/b", run: () => "hi" })], jobs: [{ id: "a", agent: "a/b" }, { id: "c", shell: "echo hi" }] })] });
`,
  );
  const said = async (more: Record<string, string>) => {
    const child = spawn(
      process.execPath,
      ["--import", join(cwd, "watch.mjs"), join(ROOT, "engine/bin/tenuto.mjs"), "serve", "--port", "0", "--json"],
      { cwd, env: { ...process.env, ...more } },
    );
    onTestFinished(() => void child.kill("SIGKILL"));
    let errors = "";
    child.stderr.on("data", (piece) => {
      errors += piece;
    });
    let out = "";
    for await (const piece of child.stdout as AsyncIterable<Buffer>) {
      out += piece;
      if (/\/login#/.test(out)) break;
    }
    const [login] = /http:\S+?\/login#[\w-]+/.exec(out) as RegExpExecArray;
    const url = new URL(login).origin;
    const session = await fetch(`${url}/api/session`, {
      method: "POST",
      headers: json,
      body: JSON.stringify({ token: login.split("#")[1] }),
    });
    const cookie = (session.headers.get("set-cookie") as string).split(";")[0] as string;
    const own = { ...json, cookie, origin: url };
    const started = (await (
      await fetch(`${url}/api/runs`, { method: "POST", headers: own, body: '{"pipeline":"hi"}' })
    ).json()) as { id: string };
    const stream = await fetch(`${url}/api/live?topic=run&run=${started.id}`, {
      headers: { cookie, "sec-fetch-site": "same-origin" },
    });
    let events = "";
    for await (const piece of stream.body as unknown as AsyncIterable<Uint8Array>) {
      events += Buffer.from(piece).toString();
      if (events.includes("run.completed")) break;
    }
    child.kill("SIGTERM");
    await once(child, "exit");
    return errors.split("\n").filter((line) => line.startsWith("OUTWARD"));
  };
  expect(await said({ PROVE: "1" })).toEqual(["OUTWARD connect 192.0.2.1"]);
  expect(await said({})).toEqual([]);
}, 120_000);

/** Bytes as they are, and all that comes back until the other side ends. */
function bytes(text: string, hangUp = false): Promise<string> {
  return new Promise((resolve) => {
    let out = "";
    const socket = connect(port, "127.0.0.1", () => (hangUp ? socket.end(text) : socket.write(text)));
    socket.setTimeout(20_000, () => socket.destroy());
    socket.on("data", (piece) => {
      out += piece.toString("latin1");
    });
    socket.on("error", () => {});
    socket.on("close", () => resolve(out));
  });
}

it("what no client sends is refused, and is no fault of the server", async () => {
  const own = `Host: 127.0.0.1:${port}\r\nAuthorization: Bearer ${place.tokens.admin}\r\nConnection: close\r\n`;
  const post = `POST /api/runs HTTP/1.1\r\n${own}Content-Type: application/json\r\n`;
  const upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ";
  const probes: [string, string][] = [
    [`GET http://evil.com/api/runs HTTP/1.1\r\n${own}\r\n`, "400"],
    [`GET /api/runs HTTP/1.1\r\nHost: evil.com\r\n${own}\r\n`, "403"],
    [`GET /api/runs HTTP/1.0\r\n\r\n`, "400|403"],
    [`HEAD /api/live?topic=all HTTP/1.1\r\n${own}\r\n`, "405"],
    [`GET /api/runs/a%0d%0aSet-Cookie:x=1 HTTP/1.1\r\n${own}\r\n`, "422"],
    [`GET /api/runs/%ff%fe HTTP/1.1\r\n${own}\r\n`, "422"],
    [`GET /api/runs/\0 HTTP/1.1\r\n${own}\r\n`, "400"],
    [`${post}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`, "400"],
    [`${post}Transfer-Encoding: xchunked\r\n\r\n{}`, "400"],
    [`${post}Content-Length: 4\r\n\r\n"\xff\xfe`, "400"],
    [`${post}Idempotency-Key: a\tb\r\nContent-Length: 2\r\n\r\n{}`, "400|422"],
    [`${post}Expect: 100-continue\r\nContent-Length: 99999999\r\n\r\n`, "413"],
    [`CONNECT evil.com:443 HTTP/1.1\r\nHost: evil.com:443\r\n\r\n`, ""],
    [`TRACE /api/runs HTTP/1.1\r\n${own}\r\n`, "405"],
    [`GET /api/live HTTP/1.1\r\n${own.replace("Connection: close\r\n", "")}${upgrade}x\r\n\r\n`, "400"],
    [
      `GET /api/runs HTTP/1.1\r\n${own.replace("Connection: close\r\n", "")}${upgrade}AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n`,
      "404",
    ],
  ];
  const answers = await Promise.all(probes.map(([text]) => bytes(text)));
  expect(
    answers.map((text, at) => [probes[at]![0], /(?:^|\r\n\r\n)HTTP\/1\.1 (?!100)(\d+)/.exec(text)?.[1] ?? ""]),
  ).toEqual(probes.map(([text, status]) => [text, expect.stringMatching(new RegExp(`^(${status})$`))]));
  expect(answers.join("\n")).not.toMatch(/set-cookie: x=1/i);
  // Whoever hangs up in the middle of a body is told, not the operator.
  await bytes(`${post}Content-Length: 1000\r\n\r\n{"a"`, true);
  expect((await raw("GET", "/api/session", {})).status).toBe(200);
  expect(place.faults).toEqual([]);
});

it("of 20 that decide on one approval at once exactly one is heard, and of 20 starts with one key one run comes", async () => {
  const start = (key: string, pipeline: string) =>
    raw("POST", "/api/runs", { ...json, "idempotency-key": key }, JSON.stringify({ pipeline }));
  const starts = await Promise.all(Array.from({ length: 20 }, () => start("same", "ask")));
  expect(starts.map(({ status }) => status).sort()).toEqual([...Array(19).fill(200), 201]);
  const { id } = JSON.parse(starts[0]!.text) as { id: string };
  expect((await start("same", "hello")).status).toBe(422);
  const open = await seen(place.tenuto, async () => {
    const { text } = await raw("GET", `/api/approvals?state=open&run=${id}`, {});
    return (JSON.parse(text).items as { id: string; hash: string }[])[0];
  });
  const decide = (at: number) =>
    raw(
      "POST",
      `/api/approvals/${encodeURIComponent(open.id)}/decision`,
      json,
      JSON.stringify({ decision: at % 2 === 0 ? "approve" : "reject", hash: open.hash }),
    );
  const decided = await Promise.all(Array.from({ length: 20 }, (_, at) => decide(at)));
  expect(decided.map(({ status }) => status).sort()).toEqual([200, ...Array(19).fill(409)]);
});
