/** The pipeline by configuration: a directory that is a PDF file, and selectors that a model writes once. */
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openTenuto } from "tenuto";
import { afterEach, expect, test } from "vitest";
import { readJsonl } from "../adapters/files.ts";
import { BUILDS, listedMembers, shownPhone } from "../fixtures/directories.ts";
import { randomness } from "../fixtures/members.ts";
import { pdfOf } from "../fixtures/pdf-file.ts";
import type { AssociationsOptions } from "../pipeline.ts";
import { associationsPipeline, associationsPipelines } from "../pipeline.ts";
import { startModel } from "./model-server.ts";

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

const MEMBERS = listedMembers(12, 5);

async function serve(pages: Record<string, { type: string; body: string | Buffer }>): Promise<string> {
  const server = createServer((request, response) => {
    const page = pages[request.url ?? ""];
    response.writeHead(page === undefined ? 404 : 200, { "content-type": page?.type ?? "text/plain" }).end(page?.body);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  cleanups.push(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  return `http://127.0.0.1:${(server.address() as { port: number }).port}`;
}

async function extract(url: string, directory: string | null, options: AssociationsOptions = {}) {
  const folder = await mkdtemp(join(tmpdir(), "by-configuration-"));
  cleanups.push(() => rm(folder, { recursive: true }));
  const [configDir, dataDir] = [join(folder, "config"), join(folder, "data")];
  await mkdir(configDir);
  const entry = { name: "New", url, ...(directory === null ? {} : { directory_url: url + directory }) };
  await writeFile(join(configDir, "associations.yaml"), JSON.stringify({ NEW: entry }));
  const pipeline = associationsPipeline({ ratePerSecond: 1000, ...options });
  const tenuto = await openTenuto({ home: join(folder, "home"), pipelines: [pipeline] });
  cleanups.push(() => tenuto.close());
  const again = async () => {
    const run = await tenuto.start("associations", { association: "NEW", configDir, dataDir });
    const end = await run.wait();
    const jobs = new Map((await tenuto.client.jobs(run.id)).map((job) => [job.id, job]));
    const { records } = await readJsonl(join(dataDir, "raw/NEW/records.jsonl"));
    return { end, jobs, records };
  };
  return { ...(await again()), again, configDir };
}

const HEADINGS = ["Company", "City", "State", "Telephone"];
const pdf = () =>
  pdfOf([
    [HEADINGS, ...MEMBERS.map((m) => [m.company_name, m.city, m.state, shownPhone(m.phone)])].flatMap((row, line) =>
      row.map((text, column) => ({ x: 40 + column * 180, y: 760 - line * 14, text })),
    ),
  ]);

test.each([
  ["the directory itself", "/roster.pdf"],
  ["a file that a page hands out", "/members"],
  ["found from the home page", null],
])("a PDF file, %s", async (_, directory) => {
  const url = await serve({
    "/": { type: "text/html", body: '<h1>New</h1><p>We.</p><a href="/roster.pdf">Member directory (PDF)</a>' },
    "/members": { type: "text/html", body: '<h1>Our members</h1><a href="/roster.pdf">Membership list</a>' },
    "/roster.pdf": { type: "application/octet-stream", body: pdf() },
  });
  const { end, records } = await extract(url, directory);
  expect(end).toMatchObject({ state: "completed" });
  expect(records.map(({ company_name, city, state }) => [String(company_name).replace("’", "'"), city, state])).toEqual(
    MEMBERS.map(({ company_name, city, state }) => [company_name, city, state]),
  );
  expect(records[0].provenance).toMatchObject({ source_type: "pdf", extracted_by: "extraction/pdf_parser" });
});

const PAGE = BUILDS["labelled definition lists"]!(MEMBERS, randomness(1)).html;
const GOOD = {
  list_item: "main > div",
  fields: {
    company_name: { selectors: ["h4"] },
    phone: { selectors: ["//dt[.='Phone']/following-sibling::dd[1]"] },
  },
};

test("selectors of a model are asked for once, replayed, and stored for the next run", async () => {
  const model = await startModel(GOOD);
  cleanups.push(model.close);
  const url = await serve({ "/list": { type: "text/html", body: PAGE } });
  const selectors = { model: { id: "openai-compatible/stand-in", baseURL: model.baseURL } };
  const { end, records, configDir, again } = await extract(url, "/list", { selectors });
  expect(end).toMatchObject({ state: "completed" });
  expect(records.map(({ company_name, phone }) => [company_name, phone])).toEqual(
    MEMBERS.map(({ company_name, phone }) => [company_name, phone]),
  );
  expect(records[0].provenance).toMatchObject({ schema: "new", fields: { company_name: "selector h4" } });
  expect(await readFile(join(configDir, "schemas/new.yaml"), "utf8")).toContain("main > div");
  expect(model.asked[0]!.at(-1)?.content).toContain(MEMBERS[0]!.company_name);
  const second = await again();
  expect([second.end.state, second.jobs.get("propose_selectors")?.state]).toEqual(["completed", "skipped"]);
  expect(second.records).toHaveLength(MEMBERS.length);
  expect(model.asked).toHaveLength(1);
});

test("selectors that do not hold are dropped, and the directory is read by its structure", async () => {
  const model = await startModel({ ...GOOD, list_item: "dl" });
  cleanups.push(model.close);
  const url = await serve({ "/list": { type: "text/html", body: PAGE } });
  const selectors = { model: { id: "openai-compatible/stand-in", baseURL: model.baseURL } };
  const { end, jobs, records, configDir } = await extract(url, "/list", { selectors });
  expect([end.state, jobs.get("check_selectors")?.state]).toEqual(["completed", "skipped"]);
  expect(records.map(({ company_name }) => company_name)).toEqual(MEMBERS.map(({ company_name }) => company_name));
  expect(existsSync(join(configDir, "schemas/new.yaml"))).toBe(false);
});

test("in a run over several associations each directory without a schema gets its selectors, or is read without", async () => {
  const model = await startModel(GOOD);
  cleanups.push(model.close);
  const other = BUILDS["table with headings"]!(MEMBERS, randomness(2)).html;
  const page = (body: string) => ({ type: "text/html", body });
  const url = await serve({ "/list": page(PAGE), "/other": page(other), "/own": page(PAGE) });
  const folder = await mkdtemp(join(tmpdir(), "selectors-"));
  cleanups.push(() => rm(folder, { recursive: true }));
  const [configDir, dataDir] = [join(folder, "config"), join(folder, "data")];
  await mkdir(join(configDir, "schemas"), { recursive: true });
  const entry = (path: string) => ({ name: path, url, directory_url: url + path });
  const entries = { AAA: entry("/list"), BBB: entry("/other"), CCC: { ...entry("/own"), schema: "ours" } };
  await writeFile(join(configDir, "associations.yaml"), JSON.stringify(entries));
  await writeFile(
    join(configDir, "schemas/ours.yaml"),
    JSON.stringify({ ...GOOD, fields: { ...GOOD.fields, company_name: { selectors: ["h4"], required: true } } }),
  );
  const selectors = { model: { id: "openai-compatible/stand-in", baseURL: model.baseURL } };
  const pipelines = [...associationsPipelines({ ratePerSecond: 1000, selectors })];
  const tenuto = await openTenuto({ home: join(folder, "home"), pipelines });
  cleanups.push(() => tenuto.close());
  const run = await tenuto.start("associations-many", { associations: Object.keys(entries), configDir, dataDir });
  expect(await run.wait()).toMatchObject({ state: "completed" });
  const states = Object.fromEntries((await tenuto.client.jobs(run.id)).map(({ id, state }) => [id, state]));
  expect(states).toMatchObject({
    "association/0/check_selectors": "completed",
    "association/1/check_selectors": "skipped",
  });
  expect(Object.keys(states)).not.toContain("association/2/sample");
  const schemas: string[] = [];
  for (const code of Object.keys(entries)) {
    const { records } = await readJsonl(join(dataDir, `raw/${code}/records.jsonl`));
    expect(records).toHaveLength(MEMBERS.length);
    schemas.push(records[0].provenance.schema);
  }
  expect(schemas).toEqual(["aaa", "default", "ours"]);
  expect([existsSync(join(configDir, "schemas/aaa.yaml")), existsSync(join(configDir, "schemas/bbb.yaml"))]).toEqual([
    true,
    false,
  ]);
  expect(model.asked).toHaveLength(2);
});
