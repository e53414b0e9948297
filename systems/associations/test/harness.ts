/**
 * Runs the jobs of the pipeline without an engine: steps, artifacts and datasets in memory, items with retries, nothing waits.
 *
 * `Memory` is what a ledger would keep; a second run with the same memory is a run after a crash.
 */
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import type { Context, DatasetRef } from "tenuto";
import { linkCrawler } from "../jobs/discovery/link_crawler.ts";
import { pageFetcher } from "../jobs/discovery/page_fetcher.ts";
import { siteMapper } from "../jobs/discovery/site_mapper.ts";
import { htmlParser } from "../jobs/extraction/html_parser.ts";
import { recordsWriter } from "../jobs/output/records_writer.ts";
import type { Services } from "../jobs/web.ts";
import { realServices } from "../jobs/web.ts";

export class Memory {
  readonly steps = new Map<string, unknown>();
  readonly blobs = new Map<string, Uint8Array>();
  readonly items = new Map<string, unknown>();
  readonly pages = new Map<string, unknown>();
  readonly failed = new Map<string, any>();
  readonly limits = new Map<string, number>();
  readonly log: string[] = [];
}

export function fakeContext(memory: Memory, jobId: string): Context {
  const used = new Set<string>();
  const put = (bytes: Uint8Array): string => {
    const hash = `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
    memory.blobs.set(hash, bytes);
    return hash;
  };
  const lines = (ref: DatasetRef) =>
    Buffer.from(memory.blobs.get(ref.$dataset)!).toString("utf8").split("\n").filter(Boolean);
  const note = (level: string) => (message: string) => void memory.log.push(`${jobId} | ${level} | ${message}`);
  const context = {
    runId: "run-1",
    jobId,
    signal: new AbortController().signal,
    log: { info: note("INFO"), warn: note("WARNING"), error: note("ERROR") },
    progress: () => {},
    outcome: async () => {},
    limit: async (name: string) => void memory.limits.set(name, (memory.limits.get(name) ?? 0) + 1),
    skip: (reason: string) => {
      throw Object.assign(new Error(reason), { name: "Skipped", category: "skippable" });
    },
    async step(key: string | readonly (string | number)[], work: (step: any) => unknown) {
      const id = `${jobId} ${JSON.stringify(key)}`;
      if (used.has(id)) throw new Error(`duplicate step key ${id}`);
      used.add(id);
      if (!memory.steps.has(id))
        memory.steps.set(id, JSON.parse(JSON.stringify((await work({ signal: context.signal })) ?? null)));
      return memory.steps.get(id);
    },
    async artifact(name: string, content: any, options: { mediaType?: string } = {}) {
      const bytes =
        typeof content === "string"
          ? Buffer.from(content)
          : content instanceof Uint8Array
            ? content
            : await readFile(content.path);
      return {
        $artifact: put(bytes),
        name,
        bytes: bytes.byteLength,
        mediaType: options.mediaType ?? "application/octet-stream",
      };
    },
    async *readArtifact(ref: any) {
      yield memory.blobs.get(ref.$artifact ?? ref.$dataset)!;
    },
    async dataset(_name: string, records: any) {
      const rows: string[] = [];
      for await (const record of records) rows.push(`${JSON.stringify(record)}\n`);
      const bytes = Buffer.from(rows.join(""));
      return { $dataset: put(bytes), count: rows.length, bytes: bytes.byteLength };
    },
    open(ref: DatasetRef) {
      return {
        ref,
        count: ref.count,
        async *[Symbol.asyncIterator]() {
          for (const line of lines(ref)) yield JSON.parse(line);
        },
      };
    },
  };
  return context as unknown as Context;
}

export interface PipelineOptions {
  association: string;
  configDir?: string;
  dataDir: string;
  directoryUrl?: string;
  baseUrl?: string;
  schema?: string;
  ratePerSecond?: number;
  concurrency?: number;
  services?: Services;
  memory?: Memory;
  /** Ends the run as a crash would, after so many items. */
  crashAfterItems?: number;
}

/** What the engine would do with `associationsPipeline`. */
export async function runPipeline(options: PipelineOptions) {
  const { memory = new Memory(), services = realServices, concurrency = 5, ratePerSecond = 1000 } = options;
  const { association, dataDir, configDir = "" } = options;
  const common = { association, dataDir, configDir };
  const overrides = {
    baseUrl: options.baseUrl ?? "",
    directoryUrl: options.directoryUrl ?? "",
    schema: options.schema ?? "",
  };
  const map = await call(siteMapper(services), { ...common, ...overrides, ratePerSecond }, fakeContext(memory, "map"));
  const {
    directory_url: entry_url,
    entry,
    pagination,
    max_pages,
    schema,
    member_links,
    auth_required,
    expected_members,
    politeness,
  } = map;
  const crawl = await call(
    linkCrawler(services),
    {
      ...common,
      entry_url,
      entry,
      pagination,
      max_pages,
      schema,
      member_links,
      auth_required,
      expected_members,
      politeness,
    },
    fakeContext(memory, "crawl"),
  );
  const items: any[] = [];
  for await (const item of fakeContext(memory, "extract").open<any>(crawl.urls)) items.push(item);
  const fetcher = pageFetcher(services);
  const parser = htmlParser(services);
  let started = 0;
  const work = async () => {
    for (let at = started++; at < items.length; at = started++) {
      if (memory.items.size >= (options.crashAfterItems ?? Number.POSITIVE_INFINITY)) return;
      const { url, mode, page, listed } = items[at];
      if (memory.items.has(url) || memory.failed.has(url)) continue;
      const { politeness, shape, foreign } = crawl;
      for (let attempt = 1; ; attempt++) {
        try {
          const asked = { url, mode, page, listed, configDir, politeness };
          const fetched = await call(fetcher, asked, fakeContext(memory, `fetch[${at}]`));
          const input = { ...fetched, shape, foreign, association, configDir, schema };
          memory.items.set(url, await call(parser, input, fakeContext(memory, `extract[${at}]`)));
          memory.pages.set(url, fetched);
        } catch (error: any) {
          if (error.category === "retryable" && attempt < 4) continue;
          memory.failed.set(url, error);
        }
        break;
      }
    }
  };
  await Promise.all(Array.from({ length: concurrency }, work));
  if (options.crashAfterItems !== undefined) return { map, crawl, memory, written: null };
  const results = await fakeContext(memory, "extract").dataset(
    "results",
    items.flatMap(({ url }) => memory.items.get(url) ?? []),
  );
  const fetched = await fakeContext(memory, "fetch").dataset(
    "results",
    items.flatMap(({ url }) => memory.pages.get(url) ?? []),
  );
  const written = await call(
    recordsWriter(services),
    { ...common, results, fetched, urls: crawl.urls },
    fakeContext(memory, "write"),
  );
  return { map, crawl, memory, written };
}

interface Callable {
  input: { parse(value: unknown): any };
  output: { parse(value: unknown): any };
  run(input: any, ctx: Context): unknown;
}

/** As the engine calls an agent: input and output checked, and nothing but JSON passes between jobs. */
export async function call<A extends Callable>(
  agent: A,
  input: unknown,
  ctx: Context,
): Promise<Awaited<ReturnType<A["run"]>>> {
  const output = await agent.run(agent.input.parse(JSON.parse(JSON.stringify(input))), ctx);
  return JSON.parse(JSON.stringify(agent.output.parse(output)));
}
