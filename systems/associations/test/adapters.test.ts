import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import type { RequestListener } from "node:http";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync } from "node:zlib";
import { afterEach, describe, expect, test } from "vitest";
import { DEFAULT_CONFIG_DIR, loadAssociations, loadCrawler, loadSchema, userAgentOf } from "../adapters/config.ts";
import { decodeBody } from "../adapters/decode.ts";
import { readJsonl, writeJsonl } from "../adapters/files.ts";
import type { HttpOptions } from "../adapters/http.ts";
import { createHttpClient, retryAfterMs } from "../adapters/http.ts";
import { isPrivateAddress, isWebPort, privateAddressIn } from "../adapters/network-guard.ts";
import { configuredPagination, readAssociations } from "../domain/association.ts";

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function serve(listener: RequestListener, options: Partial<HttpOptions> = {}) {
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const http = createHttpClient({ userAgent: "test/1.0 (+https://example.org)", ...options });
  cleanups.push(
    () => http.close(),
    () => server.closeAllConnections(),
    () => server.close(),
  );
  return { url: `http://127.0.0.1:${(server.address() as { port: number }).port}`, http, server };
}

async function folder(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), "associations-"));
  cleanups.push(() => rm(path, { recursive: true }));
  return path;
}

describe("http", () => {
  test("a page, whatever it is packed and written in, with our name in the request", async () => {
    let agent: string | undefined;
    const { url, http } = await serve((request, response) => {
      agent = request.headers["user-agent"];
      response.writeHead(200, {
        "content-type": "text/html; charset=iso-8859-1",
        "content-encoding": "gzip",
        link: "</b>; rel=next",
      });
      response.end(gzipSync(Buffer.from("<h1>Caf\xe9</h1>", "latin1")));
    });
    expect(await http.get(`${url}/a`)).toMatchObject({
      url: `${url}/a`,
      status: 200,
      text: "<h1>Café</h1>",
      linkHeader: "</b>; rel=next",
    });
    expect(agent).toBe("test/1.0 (+https://example.org)");
  });

  test.each([
    ["br", brotliCompressSync],
    ["deflate", deflateSync],
    ["deflate", deflateRawSync],
    ["x-gzip", gzipSync],
    ["identity", (bytes: Buffer) => bytes],
  ])("a page packed as %s", async (coding, pack) => {
    const text = "<p>A page that is packed for the way.</p>".repeat(50);
    const { url, http } = await serve((_, response) =>
      response.writeHead(200, { "content-encoding": coding }).end(pack(Buffer.from(text))),
    );
    expect(await http.get(url)).toMatchObject({ text });
  });

  test.each([
    [404, {}, { name: "NotFoundError", category: "skippable", status: 404 }],
    [410, {}, { name: "NotFoundError", category: "skippable" }],
    [403, {}, { name: "ForbiddenError", category: "skippable", status: 403 }],
    [401, {}, { name: "ForbiddenError", category: "skippable" }],
    [429, { "retry-after": "2" }, { name: "RateLimitError", category: "retryable", status: 429, retryAfterMs: 2000 }],
    [429, {}, { name: "RateLimitError", retryAfterMs: 60_000 }],
    [500, {}, { name: "ServerError", category: "retryable", status: 500, retryAfterMs: undefined }],
    [503, { "retry-after": "120" }, { name: "ServerError", category: "retryable", retryAfterMs: 120_000 }],
    [418, {}, { name: "RefusedError", category: "permanent", code: "http_418" }],
  ])("%i %o", async (status, headers, error) => {
    const { url, http } = await serve((_, response) => response.writeHead(status, headers).end("x"));
    await expect(http.get(url)).rejects.toMatchObject(error);
  });

  test("Retry-After as seconds or as a date, never negative, never forever", () => {
    const now = Date.parse("2026-01-29T12:00:00Z");
    const cases = [
      "5",
      "1.5",
      "Thu, 29 Jan 2026 12:00:30 GMT",
      "Thu, 29 Jan 2026 11:00:00 GMT",
      "99999999",
      "soon",
      "",
      null,
    ];
    expect(cases.map((header) => retryAfterMs(header, now))).toEqual([
      5000,
      1500,
      30_000,
      0,
      86_400_000,
      undefined,
      undefined,
      undefined,
    ]);
  });

  test("silence is a timeout, a closed door no connection; both are tried again", async () => {
    const { url, http, server } = await serve(() => {}, { timeoutMs: 60 });
    await expect(http.get(url)).rejects.toMatchObject({ name: "TimeoutError", category: "retryable" });
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
    await expect(http.get(url)).rejects.toMatchObject({
      name: "ConnectionError",
      category: "retryable",
      code: "ECONNREFUSED",
    });
  });

  test("a body that never ends is a timeout too, and one that breaks off no connection", async () => {
    const slow = await serve((_, response) => void response.writeHead(200).write("x"), { timeoutMs: 60 });
    await expect(slow.http.get(slow.url)).rejects.toMatchObject({ name: "TimeoutError" });
    const broken = await serve((_, response) => {
      response.writeHead(200, { "content-length": "100" });
      response.write("x", () => response.destroy());
    });
    await expect(broken.http.get(broken.url)).rejects.toMatchObject({ name: "ConnectionError", category: "retryable" });
  });

  test("a stop by the caller is the caller's, not a fault of the site", async () => {
    const { url, http } = await serve(() => {});
    const reason = new Error("cancelled");
    const controller = new AbortController();
    const answer = http.get(url, { signal: controller.signal });
    controller.abort(reason);
    await expect(answer).rejects.toBe(reason);
  });

  test("more than the cap is refused, also when it was small on the wire", async () => {
    const { url, http } = await serve(
      (_, response) => response.writeHead(200, { "content-encoding": "gzip" }).end(gzipSync(Buffer.alloc(100_000))),
      { maxBytes: 50_000 },
    );
    await expect(http.get(url)).rejects.toMatchObject({ code: "too_large", category: "permanent" });
  });

  test("50 MB are refused as soon as the cap is passed, and the rest is not waited for", async () => {
    let sent = 0;
    const { url, http } = await serve(
      (_, response) => {
        const chunk = Buffer.alloc(1 << 16, "x");
        const more = () => {
          while (sent < 50_000_000 && !response.destroyed) {
            sent += chunk.length;
            if (!response.write(chunk)) return void response.once("drain", more);
          }
          response.end();
        };
        more();
      },
      { maxBytes: 1_000_000 },
    );
    await expect(http.get(url)).rejects.toMatchObject({ code: "too_large" });
    expect(sent).toBeLessThan(40_000_000);
  });

  test("a bomb of packings in packings is refused", async () => {
    const { url, http } = await serve((request, response) => {
      const layers = Number(request.url!.slice(1));
      let body: Uint8Array = Buffer.alloc(20_000_000);
      for (let layer = 0; layer < Math.min(layers, 3); layer++) body = gzipSync(body);
      response.writeHead(200, { "content-encoding": Array(layers).fill("gzip").join(", ") }).end(body);
    });
    await expect(http.get(`${url}/2`)).rejects.toMatchObject({ code: "too_large" });
    await expect(http.get(`${url}/200`)).rejects.toMatchObject({ name: expect.stringMatching(/Error$/) });
  });

  test("a small file that unpacks to a large one is refused, as sitemaps are packed", async () => {
    const { url, http } = await serve((_, response) =>
      response.writeHead(200, { "content-type": "application/x-gzip" }).end(gzipSync(Buffer.alloc(20_000_000))),
    );
    const answer = await http.get(`${url}/sitemap.xml.gz`).then(
      ({ bytes }) => bytes,
      ({ code }) => code,
    );
    expect(answer).toBe("too_large");
  });

  test("redirects are followed hop by hop, each one asked about, and not for ever", async () => {
    const { url, http } = await serve((request, response) => {
      if (request.url === "/a") response.writeHead(301, { location: "/b" }).end();
      else if (request.url === "/b") response.end("there");
      else response.writeHead(302, { location: "/loop" }).end();
    });
    const asked: string[] = [];
    const before = async (hop: string) => void asked.push(new URL(hop).pathname);
    expect(await http.get(`${url}/a`, { before })).toMatchObject({ url: `${url}/b`, text: "there" });
    expect(asked).toEqual(["/a", "/b"]);
    asked.length = 0;
    await expect(http.get(`${url}/loop`, { before })).rejects.toMatchObject({ code: "too_many_redirects" });
    expect(asked).toEqual(Array(6).fill("/loop"));
    await expect(http.get(`${url}/a`, { before: () => Promise.reject(new Error("no")) })).rejects.toThrow("no");
    await expect(http.get("ftp://x.test/")).rejects.toMatchObject({ code: "bad_url" });
  });

  test("nobody leads us to the port of another service", async () => {
    const { url, http } = await serve((request, response) =>
      response.writeHead(302, { location: `http://example.com:${request.url?.slice(1)}/` }).end(),
    );
    for (const port of [22, 25, 110, 587, 993])
      await expect(http.get(`${url}/${port}`)).rejects.toMatchObject({ code: "port", name: "RefusedError" });
    expect(["", "80", "443", "8000", "8443"].filter((port) => !isWebPort(port))).toEqual([]);
  });

  test("nobody redirects us to another private address", async () => {
    const { url, http } = await serve((_, response) =>
      response.writeHead(302, { location: "http://127.0.0.2:9/secret" }).end(),
    );
    await expect(http.get(url)).rejects.toMatchObject({ code: "private_address" });
    // A name that resolves to one is found out when it is connected to.
    const named = await serve((request, response) =>
      request.headers.host?.startsWith("localhost")
        ? response.end("secret")
        : response.writeHead(302, { location: `http://localhost:${request.socket.localPort}/` }).end(),
    );
    await expect(named.http.get(named.url)).rejects.toMatchObject({ code: "private_address" });
    expect(
      ["127.0.0.1", "10.1.2.3", "169.254.169.254", "[::1]", "[::ffff:10.0.0.1]", "fd00::1", "100.64.0.1"].filter(
        (host) => !isPrivateAddress(host),
      ),
    ).toEqual([]);
    expect(["93.184.216.34", "2606:2800::1", "example.org"].filter(isPrivateAddress)).toEqual([]);
    expect([await privateAddressIn("localhost"), await privateAddressIn("example.org")]).toEqual([true, false]);
  });
});

test.each([
  ["a mark", Buffer.from("\ufeffé"), "text/html; charset=iso-8859-1", "é"],
  ["meta", Buffer.from('<meta charset="windows-1252">\x93', "latin1"), "text/html", '<meta charset="windows-1252">“'],
  ["nothing, UTF-8", Buffer.from("é"), "text/html", "é"],
  ["nonsense", Buffer.from("\xe9", "latin1"), "text/html; charset=nonsense", "é"],
  [
    "a header that lies: UTF-8 said, Latin-1 sent",
    Buffer.from("Caf\xe9", "latin1"),
    "text/html; charset=utf-8",
    "Café",
  ],
  [
    "a header that lies: Latin-1 said, UTF-8 sent",
    Buffer.from("Café – “x”"),
    "text/html; charset=iso-8859-1",
    "Café – “x”",
  ],
  [
    "header and meta that differ",
    Buffer.from('<meta charset="shift_jis">é'),
    "text/html; charset=utf-8",
    '<meta charset="shift_jis">é',
  ],
  ["a meta of UTF-16 in ASCII", Buffer.from('<meta charset="utf-16">ü'), null, '<meta charset="utf-16">ü'],
  ["Shift JIS", Buffer.from([0x93, 0xfa, 0x96, 0x7b]), "text/html; charset=Shift_JIS", "日本"],
  ["UTF-16 with a mark", Buffer.from("\ufeffhé", "utf16le"), null, "hé"],
])("encoding by %s", (_, bytes, contentType, text) => {
  expect(decodeBody(bytes, contentType)).toBe(text);
});

describe("files", () => {
  test("are complete or not there", async () => {
    const path = join(await folder(), "deep", "records.jsonl");
    expect(await writeJsonl(path, [{ a: 1 }, { b: "ü\n" }])).toBe(2);
    async function* broken() {
      yield { c: 1 };
      throw new Error("half-way");
    }
    await expect(writeJsonl(path, broken())).rejects.toThrow("half-way");
    expect(await readFile(path, "utf8")).toBe('{"a":1}\n{"b":"ü\\n"}\n');
    expect(await readdir(join(path, ".."))).toEqual(["records.jsonl"]);
  });

  test("unreadable lines are left out and counted", async () => {
    const path = join(await folder(), "x.jsonl");
    await writeFile(path, '{"a":1}\n{"a":\n\n{"a":2}\n');
    expect(await readJsonl(path)).toEqual({ records: [{ a: 1 }, { a: 2 }], unreadable: 1 });
  });
});

describe("configuration", () => {
  test("PMA and NEMA as in the source document", () => {
    const associations = loadAssociations(DEFAULT_CONFIG_DIR);
    expect(associations.get("PMA")).toMatchObject({ url: "https://pma.org", expected_members: 1134, rate_limit: 0.5 });
    expect(configuredPagination(associations.get("PMA")!.pagination)).toMatchObject({
      type: "query_param",
      param: "n",
      param_type: "count",
    });
    expect(configuredPagination(associations.get("NEMA")!.pagination)).toMatchObject({ type: "auto" });
  });

  test("mistakes are named with their place", async () => {
    expect(() => readAssociations({ PMA: { name: "x", url: "pma.org" } })).toThrow(/PMA\.url: must be an http/);
    expect(() => readAssociations({ "../x": { name: "x", url: "https://a.test" } })).toThrow(/\.\.\/x: a code is/);
    expect(() => readAssociations({ A: { name: "x", url: "https://a.test", directoy_url: "y" } })).toThrow(
      /A\.directoy_url: is not known/,
    );
    const path = await folder();
    await expect(async () => loadAssociations(path)).rejects.toMatchObject({
      code: "invalid_config",
      message: expect.stringContaining("does not exist"),
    });
    expect(() => loadSchema(path, "../../etc/passwd")).toThrow(/no name of a schema/);
    expect(loadSchema(path, "default").name).toBe("default");
  });

  test("every fault of a file at once, with file, line and key", async () => {
    const path = await folder();
    await mkdir(join(path, "schemas"));
    await writeFile(
      join(path, "associations.yaml"),
      "A:\n  name: One\n  url: nowhere\nB:\n  url: https://b.test\n  pagination:\n    type: sideways\n  rate: 3\n",
    );
    const file = join(path, "associations.yaml");
    const message = (work: () => unknown): string[] => {
      try {
        work();
        return [];
      } catch (error) {
        return (error as Error).message.split("\n");
      }
    };
    expect(message(() => loadAssociations(path))).toEqual([
      expect.stringMatching(`^${file}:3:3: A.url must be an http`),
      expect.stringMatching(`^${file}:4:1: B.name `),
      expect.stringMatching(`^${file}:7:5: B.pagination.type `),
      `${file}:8:3: B.rate is not known here`,
    ]);
    const schema = join(path, "schemas", "own.yaml");
    await writeFile(
      schema,
      "extends: default\nfields:\n  city:\n    selectors:\n      - .city\n      - 'div[['\n    parser: shout\n  state:\n    selectors: //a/cousin::b\n",
    );
    expect(message(() => loadSchema(path, "own"))).toEqual(
      [
        expect.stringMatching(`^${schema}:6:9: fields.city.selectors\\[1\\] .*div\\[\\[`),
        expect.stringMatching(`^${schema}:7:5: fields.city.parser `),
        expect.stringMatching(`^${schema}:9:5: fields.state.selectors.* cousin`),
      ].map((line) => line),
    );
    await writeFile(schema, "fields: [\n");
    expect(message(() => loadSchema(path, "own"))[0]).toMatch(`${schema}:2:1: `);
  });

  test("we say who we are", () => {
    expect(userAgentOf(loadCrawler(DEFAULT_CONFIG_DIR))).toMatch(/^tenuto-associations\/[\d.]+ \(\+https:\/\/\S+\)$/);
  });
});
