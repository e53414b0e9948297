/**
 * How jobs go out to the web: robots.txt first, then the limiters, then the request; once for each hop of a redirect.
 *
 * Pages are stored as artifacts inside of a step, so that a crash repeats no request, and what was judged can be looked at later.
 */
import type { ArtifactRef, Context } from "tenuto";
import { z } from "zod";
import type { CrawlerConfig } from "../adapters/config.ts";
import { DEFAULT_CONFIG_DIR, loadCrawler, userAgentOf } from "../adapters/config.ts";
import type { Fetched, HttpClient } from "../adapters/http.ts";
import { createHttpClient } from "../adapters/http.ts";
import type { Robots } from "../adapters/robots.ts";
import { fetchRobots, readRobots } from "../adapters/robots.ts";
import { ForbiddenError, NotFoundError } from "../domain/errors.ts";
import { limitersFor } from "../domain/pace.ts";
import type { Page } from "../domain/page.ts";
import { parsePage } from "../domain/page.ts";

/** What jobs need beside their input; replaced in tests. */
export interface Services {
  now(): Date;
  http(crawler: CrawlerConfig): HttpClient;
}

const clients = new Map<string, HttpClient>();

/** The real services: one HTTP client for each identity in this process. */
export const realServices: Services = {
  now: () => new Date(),
  http(crawler) {
    const key = JSON.stringify(crawler);
    const client =
      clients.get(key) ??
      createHttpClient({
        userAgent: userAgentOf(crawler),
        timeoutMs: crawler.timeout_seconds * 1000,
        maxBytes: crawler.max_bytes,
        maxRedirects: crawler.max_redirects,
      });
    clients.set(key, client);
    return client;
  },
};

const artifactSchema = z.custom<ArtifactRef>(
  (value) => typeof (value as ArtifactRef | null)?.$artifact === "string",
  "must be an artifact",
);

/** robots.txt of one origin, as kept in a run; `artifact` null: there is none. */
export const robotsFileSchema = z.object({
  origin: z.string(),
  artifact: artifactSchema.nullable(),
  crawl_delay_seconds: z.number().nullable(),
});
export type RobotsFile = z.infer<typeof robotsFileSchema>;

/** A page that was fetched, as kept in a run: as an artifact, or in place where it is small. */
export const storedPageSchema = z.object({
  url: z.string(),
  artifact: artifactSchema.nullable(),
  text: z.string().nullable().default(null),
  content_type: z.string().nullable(),
  link_header: z.string().nullable(),
  fetched_at: z.string(),
});
export type StoredPage = z.infer<typeof storedPageSchema>;

/** What the jobs after the site mapper must know to go out politely. */
export const politenessSchema = z.object({
  robots: z.array(robotsFileSchema),
  spacing_ms: z.number().nullable(),
  /** The pipeline's own pace is off. */
  unlimited: z.boolean().optional(),
});
export type Politeness = z.infer<typeof politenessSchema>;

export interface Web {
  readonly crawler: CrawlerConfig;
  /** The page; not kept. */
  get(url: string): Promise<Fetched>;
  /** The page, fetched and stored once in the life of the job. @throws what `HttpClient.get` throws */
  page(url: string, name: string): Promise<StoredPage>;
  /** The page, fetched, for the caller to keep: small ones in place, others as an artifact. @throws what `HttpClient.get` throws */
  pageInPlace(url: string): Promise<StoredPage>;
  /** robots.txt of the site of `url`, fetched and stored once in the life of the job; later jobs get it through `politeness`. */
  keepRobots(url: string): Promise<RobotsFile & { rules: Robots }>;
}

export interface WebOptions {
  services: Services;
  configDir: string;
  /** Changed in place: robots.txt files that come up are added. */
  politeness: Politeness;
}

/** The folder of the configuration; the shipped one where none is given. */
export function configDirOf(configDir: string): string {
  return configDir === "" ? DEFAULT_CONFIG_DIR : configDir;
}

/** robots.txt files of this process: by artifact where a job stored it, by origin where a redirect led elsewhere. */
const robotsOf = new WeakMap<HttpClient, Map<string, Promise<Robots>>>();
const troubled = new Set<string>();

/** A way out for one job or item. */
export function openWeb(ctx: Context, { services, configDir, politeness }: WebOptions): Web {
  const crawler = loadCrawlerOnce(configDirOf(configDir));
  const http = services.http(crawler);
  const userAgent = userAgentOf(crawler);
  const cache = robotsOf.get(http) ?? new Map<string, Promise<Robots>>();
  robotsOf.set(http, cache);

  const pass = async (url: string) => {
    for (const name of limitersFor(url, politeness.spacing_ms, politeness)) await ctx.limit(name);
  };

  const fetchText = (robotsUrl: string) =>
    watched(ctx, robotsUrl, () => fetchRobots(http, robotsUrl, { signal: ctx.signal, before: pass }));

  const rules = (origin: string): Promise<Robots> => {
    const robotsUrl = `${origin}/robots.txt`;
    const file = politeness.robots.find((known) => known.origin === origin);
    return shared(cache, `${origin} ${file?.artifact?.$artifact ?? (file === undefined ? "?" : "none")}`, async () => {
      const stored = file?.artifact ? await readText(ctx, file.artifact) : "";
      return readRobots(robotsUrl, file === undefined ? await fetchText(robotsUrl) : stored, userAgent);
    });
  };

  const before = async (url: string) => {
    if (!(await rules(new URL(url).origin)).allows(url)) {
      throw new ForbiddenError(`robots.txt does not allow ${url}`, { url, code: "robots_disallowed" });
    }
    await pass(url);
  };

  const get: Web["get"] = (url) => watched(ctx, url, () => http.get(url, { signal: ctx.signal, before }));

  return {
    crawler,
    get,
    async keepRobots(url) {
      const { origin } = new URL(url);
      const known = politeness.robots.find((file) => file.origin === origin);
      if (known !== undefined) return { ...known, rules: await rules(origin) };
      const artifact = await ctx.step(["robots", origin], async () => {
        const text = await fetchText(`${origin}/robots.txt`);
        return text === "" ? null : await ctx.artifact("robots.txt", text, { mediaType: "text/plain" });
      });
      const file: RobotsFile = { origin, artifact, crawl_delay_seconds: null };
      politeness.robots.push(file);
      const read = await rules(origin);
      file.crawl_delay_seconds = read.crawlDelaySeconds;
      return { ...file, rules: read };
    },
    async pageInPlace(url) {
      return await keepPage(ctx, { answer: await get(url), name: "page", now: services.now, inPlace: IN_PLACE_CHARS });
    },
    async page(url, name) {
      const stored = await ctx.step(["page", url], () => storePage(ctx, { url, name, get, now: services.now }));
      if ("missing" in stored) throw new NotFoundError(stored.missing, { url, status: 404 });
      return stored;
    },
  };
}

interface StoreOptions {
  url: string;
  name: string;
  get: Web["get"];
  now: Services["now"];
}

async function storePage(
  ctx: Context,
  { url, name, get, now }: StoreOptions,
): Promise<StoredPage | { missing: string }> {
  try {
    return await keepPage(ctx, { answer: await get(url), name, now, inPlace: 0 });
  } catch (error) {
    // That a page is not there is an answer too, and is not asked for again.
    if (error instanceof NotFoundError) return { missing: error.message };
    throw error;
  }
}

export const PDF = "application/pdf";

/** By what it begins with, whatever the server calls it. */
function isPdf(contentType: string | null, body: Uint8Array): boolean {
  return (
    (contentType ?? "").toLowerCase().includes(PDF) || Buffer.from(body.subarray(0, 5)).toString("latin1") === "%PDF-"
  );
}

/** A page up to this length travels in the result of its item: no file to be made durable for each of thousands. */
const IN_PLACE_CHARS = 32_000;

async function keepPage(
  ctx: Context,
  { answer, name, now, inPlace }: { answer: Fetched; name: string; now: Services["now"]; inPlace: number },
): Promise<StoredPage> {
  const { url, text, linkHeader, body } = answer;
  const pdf = isPdf(answer.contentType, body);
  const contentType = pdf ? PDF : answer.contentType;
  const here = !pdf && text.length <= inPlace;
  const mediaType = contentType?.split(";")[0]?.trim() || "text/html";
  return {
    url,
    artifact: here ? null : await ctx.artifact(name, pdf ? body : text, { mediaType }),
    text: here ? text : null,
    content_type: contentType,
    link_header: linkHeader,
    fetched_at: now().toISOString(),
  };
}

/** One computation for all who ask for it at once; a failed one is forgotten. */
function shared<T>(cache: Map<string, Promise<T>>, key: string, compute: () => Promise<T>): Promise<T> {
  const known = cache.get(key);
  if (known !== undefined) return known;
  const computing = compute();
  cache.set(key, computing);
  computing.catch(() => cache.delete(key));
  return computing;
}

/** A stored page, parsed. */
export async function readPage(ctx: Context, stored: StoredPage): Promise<Page> {
  return parsePage({
    url: stored.url,
    text: stored.content_type === PDF ? "" : await textOf(ctx, stored),
    contentType: stored.content_type,
    linkHeader: stored.link_header,
  });
}

/** The bytes of a stored artifact. */
export async function readBytes(ctx: Context, artifact: ArtifactRef): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of ctx.readArtifact(artifact)) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** The text of a stored page. */
export async function textOf(ctx: Context, { text, artifact }: StoredPage): Promise<string> {
  return text ?? (artifact === null ? "" : await readText(ctx, artifact));
}

/** The text of a stored artifact. */
export async function readText(ctx: Context, artifact: ArtifactRef): Promise<string> {
  return Buffer.from(await readBytes(ctx, artifact)).toString("utf8");
}

/** Tells the host's circuit breaker of trouble, and of its end; a request without trouble before costs no write. */
async function watched<T>(ctx: Context, url: string, work: () => Promise<T>): Promise<T> {
  const [limiter] = limitersFor(url, null) as [string];
  try {
    const result = await work();
    if (troubled.delete(limiter)) await ctx.outcome(limiter, true);
    return result;
  } catch (error) {
    if (["ServerError", "TimeoutError", "ConnectionError"].includes((error as Error).name)) {
      troubled.add(limiter);
      await ctx.outcome(limiter, false);
    }
    throw error;
  }
}

const crawlers = new Map<string, CrawlerConfig>();

function loadCrawlerOnce(configDir: string): CrawlerConfig {
  const crawler = crawlers.get(configDir) ?? loadCrawler(configDir);
  crawlers.set(configDir, crawler);
  return crawler;
}
