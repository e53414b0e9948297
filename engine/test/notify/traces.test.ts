/** Spans as a collector gets them: OTLP over HTTP, received on loopback. */
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from "vitest";
import { defineAgent, definePipeline, openTenuto, type Tenuto } from "../../src/index.ts";

interface Span {
  traceId: string;
  spanId: string;
  name: string;
  startTimeUnixNano: string;
  endTimeUnixNano: string;
  attributes: { key: string; value: { stringValue?: string; intValue?: string } }[];
  links?: { traceId: string; spanId: string }[];
  status: { code: number; message?: string };
}

let collector: Server;
let url: string;
let spans: Span[] = [];
let requests: { path: string; key: string | undefined }[] = [];
let answer = 200;

beforeAll(async () => {
  collector = createServer((request, response) => {
    let body = "";
    request.on("data", (piece) => {
      body += piece;
    });
    request.on("end", () => {
      requests.push({ path: request.url ?? "", key: request.headers["x-key"] as string | undefined });
      response.statusCode = answer;
      if (answer === 200)
        for (const { scopeSpans } of JSON.parse(body).resourceSpans)
          for (const scope of scopeSpans) spans.push(...scope.spans);
      response.end("{}");
    });
  });
  await new Promise<void>((done) => collector.listen(0, "127.0.0.1", done));
  url = `http://127.0.0.1:${(collector.address() as AddressInfo).port}`;
});
afterAll(() => new Promise((done) => collector.close(done)));

let home: string;
let faults: unknown[];
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), "tenuto-traces-"));
  process.env["TRACES_TOKEN"] = "abcdefgh-secret";
  spans = [];
  requests = [];
  faults = [];
  answer = 200;
});
afterEach(() => {
  delete process.env["TRACES_TOKEN"];
  rmSync(home, { recursive: true, force: true });
});

let fails = 1;
const flaky = defineAgent({
  name: "test/flaky",
  run: () => {
    if (fails-- > 0) throw Object.assign(new Error("busy with abcdefgh-secret"), { category: "retryable" });
    return null;
  },
});
const traced = definePipeline({
  name: "traced",
  jobs: [
    { id: "try", agent: flaky, retry: { maxRetries: 1, baseSeconds: 0.01, capSeconds: 0.01 } },
    { id: "tell", command: { argv: ["sh", "-c", "echo $TRACEPARENT"], output: "stdout-text" } },
  ],
});

const open = (more: object = {}): Promise<Tenuto> =>
  openTenuto({ home, cwd: home, pipelines: [traced], onFault: (error) => void faults.push(error), ...more });
const attribute = (span: Span, key: string) => {
  const value = span.attributes.find((one) => one.key === key)?.value;
  return value?.stringValue ?? value?.intValue;
};

it("a run and each attempt is a trace of its own, attempts link to their run, and programs know their span", async () => {
  fails = 1;
  const tenuto = await open({ traces: { url, headers: { "x-key": "k" } } });
  const run = await tenuto.start("traced");
  expect((await run.wait()).state).toBe("completed");
  const said = String((await tenuto.client.job(run.id, "tell")).output);
  await tenuto.close();
  expect(faults).toEqual([]);
  expect(new Set(requests.map(({ path, key }) => `${path} ${key}`))).toEqual(new Set(["/v1/traces k"]));
  const whole = spans.find((span) => span.name === "run traced") as Span;
  const attempts = spans.filter((span) => span !== whole);
  expect(
    attempts
      .map((span) => `${attribute(span, "tenuto.job.id")} ${attribute(span, "tenuto.job.attempt")} ${span.status.code}`)
      .sort(),
  ).toEqual(["tell 1 1", "try 1 2", "try 2 1"]);
  expect(new Set(spans.map((span) => span.traceId)).size).toBe(4);
  for (const span of attempts) {
    expect(span.links).toEqual([{ traceId: whole.traceId, spanId: whole.spanId }]);
    expect(BigInt(span.endTimeUnixNano) >= BigInt(span.startTimeUnixNano)).toBe(true);
  }
  const told = attempts.find((span) => attribute(span, "tenuto.job.id") === "tell") as Span;
  expect(JSON.parse(said).trim()).toBe(`00-${told.traceId}-${told.spanId}-01`);
  const failed = attempts.find((span) => span.status.code === 2) as Span;
  expect(failed.status.message).toBe("busy with [TRACES_TOKEN]");
});

it("a collector that refuses or is not there is told once and harms nothing; without one nothing is sent", async () => {
  fails = 0;
  answer = 500;
  const refused = await open({ traces: { url } });
  for (let n = 0; n < 3; n++) expect((await (await refused.start("traced")).wait()).state).toBe("completed");
  await refused.close();
  expect(faults.map(String)).toEqual([expect.stringContaining("it answered 500")]);
  faults.length = 0;
  const nobody = await open({ traces: { url: "http://127.0.0.1:1/" } });
  expect((await (await nobody.start("traced")).wait()).state).toBe("completed");
  await nobody.close();
  expect(faults.map(String)).toEqual([expect.stringContaining("ECONNREFUSED")]);
  requests = [];
  const quiet = await open();
  await (await quiet.start("traced")).wait();
  await quiet.close();
  expect(requests).toEqual([]);
  await expect(open({ traces: { url: "nowhere" } })).rejects.toMatchObject({ code: "invalid_config" });
});
