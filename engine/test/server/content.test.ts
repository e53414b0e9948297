/** What the server sends: headers, secrets, what jobs wrote, paths, errors (S-09, S-10, S-12, S-14, S-17, S-18, S-19, S-31, S-35). */
import { randomBytes } from "node:crypto";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { secureHome } from "../../src/cli/serving.ts";
import { OPERATIONS, paramsOf } from "../../src/contract/index.ts";
import { maskerOf, secretsOf } from "../../src/http/mask.ts";
import { openPlace, type Place } from "./serving.ts";

let place: Place;
const SECRET = `s3cret/${randomBytes(12).toString("base64")} "quoted"`;

beforeAll(async () => {
  place = await openPlace({ secrets: new Map([["DEPLOY_TOKEN", SECRET]]) });
});
afterAll(() => place.close());

it("S-09: each answer carries the headers that keep browsers from harm; pages have no inline scripts", async () => {
  for (const path of [
    "/",
    "/login",
    "/login.js",
    "/reference",
    "/reference.js",
    "/healthz",
    "/api/runs",
    "/api/nothing",
    "/api/openapi.json",
  ]) {
    const { headers } = await place.fetch(path);
    expect(headers.get("content-security-policy"), path).toContain("default-src 'self'");
    expect(headers.get("content-security-policy"), path).toContain("frame-ancestors 'none'");
    expect(headers.get("content-security-policy"), path).not.toContain("unsafe");
    expect(headers.get("x-content-type-options"), path).toBe("nosniff");
    expect(headers.get("referrer-policy"), path).toBe("no-referrer");
    expect(headers.get("cross-origin-opener-policy"), path).toBe("same-origin");
    expect(headers.get("access-control-allow-origin"), path).toBeNull();
    // Files of the dashboard may be kept, if the server is asked each time whether they are still the same.
    const kept = ["/", "/login", "/login.js", "/reference", "/reference.js"].includes(path);
    expect(headers.get("cache-control"), path).toBe(kept ? "no-cache" : "no-store");
  }
  const page = await (await place.fetch("/login", { role: null })).text();
  expect(page).not.toMatch(/<script(?![^>]*src=)[^>]*>|\son\w+=|javascript:/i);
});

it("S-10: what is wrong with a request is told without stacks, paths or SQL; a fault only by its reference", async () => {
  const bodies: string[] = [];
  for (const { method, path } of OPERATIONS.filter(({ id }) => id !== "live")) {
    const asked = path.replaceAll(/\{(\w+)\}/g, (_, name) =>
      name === "sha256" ? "0".repeat(64) : name === "ordinal" ? "7" : "odd",
    );
    const init = method === "GET" ? {} : { body: '{"odd":1}', headers: { "content-type": "application/json" } };
    const answer = await place.fetch(asked, { method, ...init });
    if (answer.status >= 400) bodies.push(await answer.text());
  }
  expect(bodies.length).toBeGreaterThan(40);
  const telling = bodies.filter((body) =>
    /\bat .*\.[jt]s:\d+|SELECT |INSERT |SQLITE|node_modules|\/tmp\/|\/home\//.test(body),
  );
  expect(telling).toEqual([]);
  const { ledger } = place.tenuto.engine.parts;
  const { feedEnd } = ledger;
  ledger.feedEnd = () => Promise.reject(new Error(`SELECT * FROM secret in ${place.home}`));
  const { status, ...fault } = await place
    .fetch("/api/run-counts")
    .then(async (answer) => ({ status: answer.status, ...((await answer.json()) as object) }));
  ledger.feedEnd = feedEnd;
  expect(status).toBe(500);
  expect(JSON.stringify(fault)).not.toMatch(/SELECT|tmp/);
  const [reference] = /[0-9a-f-]{36}/.exec(JSON.stringify(fault)) as RegExpExecArray;
  expect(place.faults.splice(0).map(String).join("\n")).toContain(reference);
});

it("S-12: 500 ways to leave a folder lead nowhere, in every param of every path", async () => {
  const dots = [
    "..",
    ".",
    "../",
    "..\\",
    "%2e%2e",
    "..%2f",
    "..%5c",
    "....//",
    "%252e%252e%252f",
    "..;/",
    "\u2025",
    "/etc/passwd",
    "C:\\",
    "file:///etc/passwd",
    "\\\\host\\share",
    "~root",
    "%00",
    "a%00.log",
    "..%c0%af",
    "-rf",
  ];
  const tails = [
    "",
    "etc/passwd",
    "../../../../etc/passwd",
    "ledger.db",
    "server.key",
    "%2e%2e/%2e%2e/ledger.db",
    "..%2f..%2fserver.key",
    "proc/self/environ",
    "\u0000",
    "x".repeat(300),
  ];
  const strings = dots
    .flatMap((dot) => tails.map((tail) => `${dot}${tail}`))
    .concat(
      dots.flatMap((dot) => tails.slice(0, 10).map((tail) => `${tail}${dot}`)),
      dots.flatMap((dot) => tails.slice(0, 5).map((tail) => `${dot}/${tail}`)),
    );
  expect(strings).toHaveLength(500);
  const wrong: string[] = [];
  const reading = OPERATIONS.filter(({ method, path, id }) => method === "GET" && path.includes("{") && id !== "live");
  for (const [at, text] of strings.entries()) {
    const operation = reading[at % reading.length]!;
    for (const hit of paramsOf(operation.path)) {
      const path = operation.path.replaceAll(/\{(\w+)\}/g, (_, name) =>
        name === hit
          ? encodeURIComponent(text)
          : name === "sha256"
            ? "0".repeat(64)
            : name === "ordinal"
              ? "0"
              : "hello-1",
      );
      const answer = await place.fetch(path);
      if (![404, 422, 401, 400].includes(answer.status)) wrong.push(`${operation.id} ${hit} ${text} ${answer.status}`);
      await answer.body?.cancel();
    }
  }
  expect(wrong).toEqual([]);
});

it("S-12: raw output is a plain file of the run, not where a link leads", async () => {
  const run = await place.tenuto.start("hello");
  await run.wait();
  const { logs } = place.tenuto.engine.parts as unknown as { logs: { outputPath(...of: unknown[]): string } };
  const path = logs.outputPath(run.id, "echo", 1, null);
  expect((await place.fetch(`/api/runs/${run.id}/jobs/echo/output`)).status).toBe(200);
  rmSync(path);
  symlinkSync(join(place.home, "server.key"), path);
  expect((await place.fetch(`/api/runs/${run.id}/jobs/echo/output`)).status).toBe(404);
  rmSync(path);
  mkdirSync(path);
  expect((await place.fetch(`/api/runs/${run.id}/jobs/echo/output`)).status).toBe(404);
  rmSync(path, { recursive: true });
});

it("S-14: a template over HTTP brings no programs, files or paths of this machine", async () => {
  const job = { id: "j", agent: "text/shout", input: { text: "t" } };
  const powers = [
    { ...job, command: { argv: ["id"] } },
    { ...job, compensate: { command: { argv: ["id"] } } },
    { ...job, forEach: { source: { file: "/etc/passwd" } } },
  ];
  for (const power of powers) {
    const document = { name: "t", kind: "graph", stages: [{ name: "s", jobs: [power] }] };
    const answer = await place.fetch("/api/templates/t", {
      method: "PUT",
      body: JSON.stringify({ document }),
      headers: { "content-type": "application/json" },
    });
    expect([answer.status, ((await answer.json()) as { code: string }).code]).toEqual([403, "commands_refused"]);
  }
  const start = await place.fetch("/api/runs", {
    method: "POST",
    body: JSON.stringify({ pipeline: "./evil.ts" }),
    headers: { "content-type": "application/json" },
  });
  expect(start.status).toBe(422);
});

it("S-17: a secret leaves in none of its forms: answers, errors, logs, raw output, streams", async () => {
  const text = `token ${SECRET} end`;
  const run = await place.tenuto.start("hello", { text });
  await run.wait();
  const paths = [
    "",
    "/graph",
    "/events",
    "/jobs",
    "/jobs/shout",
    "/jobs/echo/output",
    "/logs",
    "/logs/raw",
    "/report?format=md",
    "/report?format=html",
  ];
  const seen: string[] = [];
  for (const path of [
    ...paths.map((path) => `/api/runs/${run.id}${path}`),
    "/api/runs",
    `/api/live?topic=log&run=${run.id}`,
  ]) {
    const answer = await place.fetch(path);
    if (path.includes("/live")) {
      const reader = answer.body!.getReader();
      let got = "";
      while (!got.includes("shouting")) got += Buffer.from((await reader.read()).value ?? []).toString();
      await reader.cancel();
      seen.push(got);
    } else seen.push(await answer.text());
  }
  for (const got of seen) expect(got).not.toContain(SECRET.slice(0, 15));
  expect(seen.filter((got) => got.includes("[DEPLOY_TOKEN]")).length).toBeGreaterThanOrEqual(5);
});

it("S-17: 50 secrets in 8 forms, split anywhere, are found in streams", async () => {
  const secrets = new Map(
    Array.from({ length: 50 }, (_, n) => [`K${n}_TOKEN`, `${n}:${randomBytes(15).toString("base64")}?&"\\é`]),
  );
  const masker = maskerOf(secrets);
  const inBase64 = (text: string, shift: number) => Buffer.from("x".repeat(shift) + text).toString("base64");
  for (const [name, secret] of secrets) {
    const forms = [
      secret,
      JSON.stringify(secret),
      JSON.stringify(JSON.stringify(secret)),
      encodeURIComponent(secret),
      inBase64(secret, 0),
      inBase64(secret, 1),
      inBase64(secret, 2),
      Buffer.from(secret).toString("hex"),
    ];
    for (const [at, form] of forms.entries()) {
      const whole = Buffer.from(`before ${form} after`);
      const cut = 7 + ((at * 5 + secret.length) % form.length);
      const read = async (from: number, bytes: number) => Buffer.from(whole.subarray(from, from + bytes));
      let out = "";
      for (const [start, end] of [
        [0, cut],
        [cut, cut + 1],
        [cut + 1, whole.length],
      ] as const)
        for await (const piece of masker.bytes(read, { start, end })) out += Buffer.from(piece).toString("latin1");
      expect(out, `${name} as form ${at}`).toContain(`[${name}]`);
      expect(out.length).toBe(whole.length);
      expect(out.startsWith("before ") && out.endsWith(" after")).toBe(true);
    }
  }
  expect([
    ...secretsOf({
      PATH: "/usr/bin:/bin",
      API_KEY: "12345678",
      SHORT_TOKEN: "1234",
      DB_PASSWORD: "hunter2hunter2",
      GIT_AUTHOR_NAME: "Somebody Else",
      MAX_TOKENS: "12345678",
    }).keys(),
  ]).toEqual(["API_KEY", "DB_PASSWORD"]);
});

it("S-18, S-19: what jobs wrote is text or a download in a sandbox, whatever it says that it is", async () => {
  const html = "<script>alert(1)</script>";
  const { ledger } = place.tenuto.engine.parts;
  const run = await place.tenuto.start("hello", { text: html });
  await run.wait();
  const record = (await ledger.artifactsOfRun((await place.tenuto.client.run(run.id)).seq))[0]!;
  const { db } = ledger as unknown as { db: { prepare(sql: string): { run(...of: unknown[]): unknown } } };
  const as = async (mediaType: string) => {
    db.prepare("UPDATE artifact SET media_type = ? WHERE id = ?").run(mediaType, record.id);
    const { headers } = await place.fetch(`/api/artifacts/${record.sha256}/content`);
    return `${headers.get("content-type")} ${headers.get("content-disposition")?.split(";")[0]} ${headers.get("content-security-policy")}`;
  };
  const boxed = "sandbox; default-src 'none'";
  expect(await as("text/html")).toBe(`text/plain; charset=utf-8 inline ${boxed}`);
  expect(await as("application/javascript")).toBe(`text/plain; charset=utf-8 inline ${boxed}`);
  expect(await as("image/svg+xml")).toBe(`application/octet-stream attachment ${boxed}`);
  expect(await as("application/pdf")).toBe(`application/octet-stream attachment ${boxed}`);
  expect(await as("application/xhtml+xml")).toBe(`application/octet-stream attachment ${boxed}`);
  expect(await as("image/png")).toBe(`image/png inline ${boxed}`);
  const raw = await place.fetch(`/api/runs/${run.id}/jobs/echo/output`);
  expect(raw.headers.get("content-type")).toBe("text/plain; charset=utf-8");
  const report = await (await place.fetch(`/api/runs/${run.id}/report?format=html`)).text();
  expect(report).not.toContain("<script");
});

it("S-35: the home is made private, one that others may write to is refused, the key is for its owner only", () => {
  const home = mkdtempSync(join(tmpdir(), "tenuto-shared-"));
  try {
    chmodSync(home, 0o775);
    expect(() => secureHome(home)).toThrow(/may be written to by other users/);
    chmodSync(home, 0o755);
    secureHome(home);
    expect(statSync(home).mode & 0o777).toBe(0o700);
    expect(statSync(join(place.home, "server.key")).mode & 0o777).toBe(0o600);
    writeFileSync(join(home, "x"), "");
    expect(existsSync(join(home, "x"))).toBe(true);
  } finally {
    rmSync(home, { recursive: true });
  }
});
