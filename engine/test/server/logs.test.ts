/** Logs from both ends, of some jobs, filtered; JSON packed for clients elsewhere. */
import { request } from "node:http";
import { gunzipSync } from "node:zlib";
import { afterAll, beforeAll, expect, it } from "vitest";
import { Api, openPlace, type Place } from "./serving.ts";

let place: Place;
let api: Api;

beforeAll(async () => {
  place = await openPlace({ compress: "always" });
  api = await place.api("viewer");
});
afterAll(() => place.close());

const LINES = 12_000;

/** Lines of two jobs in turn; each thousandth is an error, and says so. */
async function longLog(): Promise<string> {
  const run = await place.tenuto.start("hello");
  await run.wait();
  const { logs } = place.tenuto.engine.parts;
  const before = await logs.lines(run.id);
  for (let at = before + 1; at <= LINES; at++) {
    const job = at % 2 === 0 ? "even" : "odd,%2C";
    const level = at % 1_000 === 0 ? "ERROR" : "INFO";
    logs.line({
      at,
      run: run.id,
      job,
      agent: "test/long",
      level,
      message: level === "ERROR" ? `bad ${at}` : `line ${at}`,
    });
    if (at % 2_000 === 0) await logs.flush();
  }
  await logs.flush();
  return run.id;
}

const numbers = (page: { body: { items: { number: number }[] } }) => page.body.items.map((line) => line.number);
const upTo = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, at) => from + at);

it("the last lines come with their numbers, and from them one goes up and down without a gap", async () => {
  const run = await longLog();
  const logs = (query: Record<string, string | number>) => api.call("readLogs", { params: { run }, query });
  const end = await logs({ tail: 100 });
  expect(numbers(end)).toEqual(upTo(LINES - 99, LINES));
  expect(end.body).toMatchObject({ first: LINES - 99, last: LINES, next: null, live: false });
  const above = await logs({ tail: 5_000, before: end.body.first });
  expect(numbers(above)).toEqual(upTo(LINES - 5_099, LINES - 100));
  const top = await logs({ tail: 5_000, before: 101 });
  expect(numbers(top)).toEqual(upTo(1, 100));
  expect(top.body.first).toBe(1);
  expect(numbers(await logs({ tail: 5, before: 900_000 }))).toEqual(upTo(LINES - 4, LINES));
  expect((await logs({ tail: 5, before: 1 })).body).toMatchObject({ items: [], first: 1, last: 0 });
  expect(numbers(await logs({ since: LINES - 2 }))).toEqual([LINES - 1, LINES]);
  const { logs: sink } = place.tenuto.engine.parts;
  sink.line({ at: 1, run, agent: "test/long", level: "INFO", message: "one more" });
  await sink.flush();
  expect(numbers(await logs({ since: end.body.last }))).toEqual([LINES + 1]);
  expect((await logs({ tail: 1 })).body.items[0].message).toBe("one more");

  expect(numbers(await logs({ tail: 3, level: "ERROR" }))).toEqual([10_000, 11_000, 12_000]);
  expect(numbers(await logs({ tail: 2, q: "BAD", before: 11_000 }))).toEqual([9_000, 10_000]);
  expect(numbers(await logs({ tail: 3, jobs: "even" }))).toEqual([LINES - 4, LINES - 2, LINES]);
  expect(numbers(await logs({ tail: 3, jobs: "even,odd%2C%252C" }))).toEqual(upTo(LINES - 2, LINES));
  expect(numbers(await logs({ since: LINES - 4, jobs: "odd%2C%252C" }))).toEqual([LINES - 3, LINES - 1]);
  expect((await logs({ tail: 3, jobs: "nobody" })).body).toMatchObject({ items: [], first: 1 });
  expect((await logs({ tail: 5_001 })).status).toBe(422);
  expect((await logs({ jobs: "," })).status).toBe(422);
});

function packed(
  path: string,
  headers: Record<string, string>,
): Promise<{ encoding: string | undefined; body: Buffer }> {
  return new Promise((resolve, reject) => {
    const asked = request(
      `${place.server.url}${path}`,
      { headers: { authorization: `Bearer ${place.tokens.admin}`, ...headers } },
      (answer) => {
        const pieces: Buffer[] = [];
        answer.on("data", (piece) => pieces.push(piece));
        answer.on("end", () => resolve({ encoding: answer.headers["content-encoding"], body: Buffer.concat(pieces) }));
      },
    );
    asked.on("error", reject);
    asked.end();
  });
}

it("JSON is packed for those who accept it, but never where tokens and keys are", async () => {
  const gzip = { "accept-encoding": "br, gzip;q=0.5" };
  const { encoding, body } = await packed("/api/openapi.json", gzip);
  expect(encoding).toBe("gzip");
  const plain = await packed("/api/openapi.json", {});
  expect(plain.encoding).toBeUndefined();
  expect(gunzipSync(body).equals(plain.body)).toBe(true);
  expect(body.length).toBeLessThan(plain.body.length / 4);
  expect((await packed("/api/openapi.json", { "accept-encoding": "gzip;q=0" })).encoding).toBeUndefined();
  for (let n = 0; n < 20; n++) await place.server.access.mint({ name: `many ${n}`, role: "viewer" });
  const tokens = await packed("/api/tokens", gzip);
  expect(tokens.body.length).toBeGreaterThan(2_048);
  expect(tokens.encoding).toBeUndefined();
});

it("pipelines in brief have no stages", async () => {
  const { body } = await api.call("listPipelines", { query: { brief: "true" } });
  expect(body.items.find((one: { name: string }) => one.name === "hello")).toMatchObject({ stages: [], kind: "graph" });
});

it("files of the dashboard come packed, and not again to who has them", async () => {
  const plain = await packed("/reference.js", {});
  const gzip = await packed("/reference.js", { "accept-encoding": "gzip" });
  expect([plain.encoding, gzip.encoding]).toEqual([undefined, "gzip"]);
  expect(gunzipSync(gzip.body).equals(plain.body)).toBe(true);
  const first = await place.fetch("/reference.js");
  const etag = first.headers.get("etag") as string;
  const again = await place.fetch("/reference.js", { headers: { "if-none-match": `W/"x", ${etag}` } });
  expect([again.status, await again.text(), again.headers.get("etag")]).toEqual([304, "", etag]);
  expect((await place.fetch("/reference.js", { headers: { "if-none-match": '"other"' } })).status).toBe(200);
});

it("the check of answers can't be fooled: whatever is not as described is found", async () => {
  const of = (change: (description: any) => void) => Api.of(place, place.tokens.viewer, change);
  const schema = (description: any, path: string, status = 200) =>
    description.paths[path].get.responses[status].content["application/json"];
  const lacking = await of((all) => {
    all.components.schemas.RunCounts.properties.nobody = { type: "string" };
    all.components.schemas.RunCounts.required.push("nobody");
  });
  await expect(lacking.call("countRuns")).rejects.toThrow(/nobody/);
  const other = await of((all) => {
    all.components.schemas.RunCounts.properties.cursor = { type: "integer" };
  });
  await expect(other.call("countRuns")).rejects.toThrow(/cursor/);
  const inside = await of((all) => {
    all.components.schemas.Problem.properties.status = { type: "string" };
  });
  await expect(inside.call("showRun", { params: { run: "none" } })).rejects.toThrow(/status/);
  const media = await of((all) => {
    const { content } = all.paths["/api/run-counts"].get.responses[200];
    content["application/xml"] = content["application/json"];
    delete content["application/json"];
  });
  await expect(media.call("countRuns")).rejects.toThrow(/is not described/);
  const unknown = await of((all) => {
    delete all.paths["/api/runs/{run}"].get.responses[404];
  });
  await expect(unknown.call("showRun", { params: { run: "none" } })).rejects.toThrow(
    /answered 404, which is not described/,
  );
  const right = await of((all) => expect(schema(all, "/api/run-counts")).toBeDefined());
  expect((await right.call("countRuns")).status).toBe(200);
});
