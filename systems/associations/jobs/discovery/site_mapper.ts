/** discovery/site_mapper: where an association's member directory is, how it turns its pages, and how politely to ask. */
import { join } from "node:path";
import type { Context } from "tenuto";
import { z } from "zod";
import { hasSchema, loadAssociations, loadSchema } from "../../adapters/config.ts";
import { writeJson } from "../../adapters/files.ts";
import type { Association } from "../../domain/association.ts";
import { ASSOCIATION_CODE, configuredPagination } from "../../domain/association.ts";
import { classifyPage, PAGE_TYPES } from "../../domain/classify.ts";
import {
  asksForLogin,
  dataAddresses,
  directoryLinks,
  estimateMembers,
  framedPages,
  listsOthers,
  looksLikeDirectory,
  pdfDirectories,
  readSitemap,
  refreshTarget,
  statedMembers,
} from "../../domain/directory.ts";
import {
  ConfigError,
  ForbiddenError,
  NoDirectoryFoundError,
  NotFoundError,
  RefusedError,
} from "../../domain/errors.ts";
import { countListed } from "../../domain/listing.ts";
import { slowerSpacing, UNLIMITED_ABOVE } from "../../domain/pace.ts";
import type { Page } from "../../domain/page.ts";
import type { Pagination } from "../../domain/pagination.ts";
import { detectPagination } from "../../domain/pagination.ts";
import type { Schema } from "../../domain/schema.ts";
import { sectionLinks } from "../../domain/sections.ts";
import { resolveUrl } from "../../domain/url.ts";
import type { Politeness, Services, StoredPage, Web } from "../web.ts";
import { configDirOf, openWeb, PDF, politenessSchema, readPage, storedPageSchema, textOf } from "../web.ts";

export const paginationSchema = z.object({
  type: z.enum(["none", "auto", "next_link", "query_param", "path_segment", "load_more", "infinite_scroll"]),
  param: z.string().nullable().default(null),
  param_type: z.enum(["page", "count", "offset"]).nullable().default(null),
  pattern: z.string().nullable().default(null),
  start: z.number().int().default(1),
  page_size: z.number().nullable().default(null),
});

export const siteMapperInput = z.object({
  association: z.string().regex(ASSOCIATION_CODE),
  configDir: z.string().default(""),
  dataDir: z.string().default("data"),
  /** Instead of what is configured; an association that is not configured needs `baseUrl` or `directoryUrl`. */
  baseUrl: z.string().default(""),
  directoryUrl: z.string().default(""),
  schema: z.string().default(""),
  maxPages: z.number().int().min(0).default(0),
  ratePerSecond: z.number().positive().default(0.5),
  /** Paths to try; default: those of crawler.yaml. */
  directory_patterns: z.array(z.string()).default([]),
  max_depth: z.number().int().min(0).default(3),
});

export const siteMapSchema = z.object({
  association: z.string(),
  name: z.string(),
  base_url: z.string(),
  directory_url: z.string(),
  found_by: z.enum(["configured", "pattern", "home_link", "sitemap", "frame", "data", "pdf"]),
  page_type: z.enum(PAGE_TYPES),
  page_type_confidence: z.number(),
  pagination: paginationSchema,
  auth_required: z.boolean(),
  estimated_members: z.number().nullable(),
  expected_members: z.number().nullable(),
  schema: z.string(),
  member_links: z.string().nullable(),
  max_pages: z.number().int(),
  politeness: politenessSchema,
  /** The first page of the directory, which the crawler need not fetch again. */
  entry: storedPageSchema,
  mapped_at: z.string(),
});

export type SiteMap = z.infer<typeof siteMapSchema>;
type Input = z.infer<typeof siteMapperInput>;
type FoundBy = SiteMap["found_by"];

interface Search {
  input: Input;
  association: Association;
  schema: Schema;
}

interface Found {
  foundBy: FoundBy;
  stored: StoredPage;
  page: Page;
}

const DEFAULT_MAX_PAGES = 200;

export function siteMapper(services: Services) {
  return {
    name: "discovery/site_mapper",
    description: "Finds the member directory of a site, its pagination and its rules",
    version: "1",
    input: siteMapperInput,
    output: siteMapSchema,
    run: (input: Input, ctx: Context) => mapSite(input, ctx, services),
  };
}

async function mapSite(input: Input, ctx: Context, services: Services): Promise<SiteMap> {
  const configDir = configDirOf(input.configDir);
  const association = associationOf(input, configDir);
  const unlimited = input.ratePerSecond > UNLIMITED_ABOVE;
  const politeness: Politeness = { robots: [], spacing_ms: null, ...(unlimited ? { unlimited } : {}) };
  const web = openWeb(ctx, { services, configDir: input.configDir, politeness });
  const target = input.directoryUrl || association.directory_url || association.url;
  const rateLimit = association.rate_limit ?? null;
  politeness.spacing_ms = slowerSpacing({ ratePerSecond: input.ratePerSecond, rateLimit, crawlDelaySeconds: null });
  const robots = await web.keepRobots(target);
  const { crawl_delay_seconds: crawlDelaySeconds } = robots;
  politeness.spacing_ms = slowerSpacing({ ratePerSecond: input.ratePerSecond, rateLimit, crawlDelaySeconds });
  if (crawlDelaySeconds !== null) ctx.log.info(`robots.txt asks for ${crawlDelaySeconds} s between requests`);

  const configured = input.directoryUrl || association.directory_url;
  const schemaName = schemaOf(input, association, configDir);
  const search: Search = { input, association, schema: loadSchema(configDir, schemaName) };
  const found = configured
    ? await inFrames(ctx, web, await visit(ctx, web, configured, "configured"), search)
    : await discover(ctx, web, search);
  // A redirect may have led to another host, which has its own rules.
  await web.keepRobots(found.page.url);
  const listed = countListed(found.page, search.schema, association.member_links ?? null);
  const divided = sectionLinks(found.page, search.schema).length > 0;
  const kind = classifyPage(found.page, { entries: listed.shown, member: false });
  const map: SiteMap = {
    association: input.association,
    name: association.name,
    base_url: association.url,
    directory_url: found.page.url,
    found_by: found.foundBy,
    page_type: kind.page_type,
    page_type_confidence: kind.confidence,
    pagination: paginationOf(found.page, configuredPagination(association.pagination), divided ? 0 : listed.shown),
    auth_required: !divided && asksForLogin(found.page, listed.shown),
    estimated_members: estimateMembers(found.page),
    expected_members: association.expected_members ?? null,
    schema: schemaName,
    member_links: association.member_links ?? null,
    max_pages: input.maxPages || association.max_pages || DEFAULT_MAX_PAGES,
    politeness,
    entry: found.stored,
    mapped_at: found.stored.fetched_at,
  };
  const { entry, politeness: _, ...shown } = map;
  await writeJson(join(input.dataDir, "raw", input.association, "site_map.json"), {
    ...shown,
    crawl_delay_seconds: crawlDelaySeconds,
    entry_sha256: entry.artifact?.$artifact ?? null,
  });
  ctx.log.info(
    `Found directory at ${map.directory_url}, about ${map.estimated_members ?? "an unknown number of"} members`,
  );
  if (map.auth_required) ctx.log.warn(`${map.directory_url} asks for a login; it is flagged, not scraped`);
  return map;
}

function associationOf(input: Input, configDir: string): Association {
  const associations = loadAssociations(configDir);
  const configured = associations.get(input.association);
  const url = input.baseUrl || configured?.url || (input.directoryUrl ? new URL(input.directoryUrl).origin : "");
  if (url === "") {
    throw new ConfigError(`there is no association ${input.association} in ${join(configDir, "associations.yaml")}`, {
      hint: `Known: ${[...associations.keys()].join(", ")}. Or give baseUrl or directoryUrl.`,
    });
  }
  // A base address of the run's own stands for another site: the configured directory is not on it.
  const moved = input.baseUrl !== "" && configured !== undefined && input.baseUrl !== configured.url;
  const { directory_url: _, ...rest } = configured ?? { name: input.association, url };
  return { ...(moved ? rest : (configured ?? rest)), url };
}

function schemaOf(input: Input, association: Association, configDir: string): string {
  const wanted = input.schema || association.schema;
  if (wanted) {
    if (!hasSchema(configDir, wanted)) throw new ConfigError(`there is no schema ${wanted}`);
    return wanted;
  }
  const own = input.association.toLowerCase();
  return hasSchema(configDir, own) ? own : "default";
}

/** What is configured wins; what it leaves open is taken from the page. */
function paginationOf(page: Page, configured: Pagination | null, listed: number): Pagination {
  const detected = detectPagination(page);
  const stated = statedMembers(page);
  // More members than are shown, and nothing to turn the page with: `page=2` is tried, and a repeated page ends it.
  const hidden = detected.type === "none" && stated !== null && listed > 0 && stated > listed * 1.3;
  const seen: Pagination = hidden ? { ...detected, type: "query_param", param: "page", param_type: "page" } : detected;
  if (configured === null || configured.type === "auto")
    return seen.type === "none" && configured !== null ? configured : seen;
  if (configured.type !== detected.type || configured.param !== detected.param) return configured;
  return { ...detected, ...configured, page_size: configured.page_size ?? detected.page_size, start: detected.start };
}

/** A page that lists nobody may show the directory of another maker in a frame, or link to it as a file. */
async function inFrames(ctx: Context, web: Web, found: Found, { schema, association }: Search): Promise<Found> {
  const count = (page: Page) => countListed(page, schema, association.member_links ?? null).shown;
  if (count(found.page) > 3) return found;
  for (const url of framedPages(found.page).slice(0, 4)) {
    const framed = await visitIfThere(ctx, web, url, "frame");
    if (framed !== null && count(framed.page) > 3) return framed;
  }
  // Or its scripts fetch what it lists.
  const asked = sectionLinks(found.page, schema).length > 0 ? [] : dataAddresses(found.page);
  for (const url of asked.slice(0, 3)) {
    const data = await visitIfThere(ctx, web, url, "data");
    if (data !== null && data.page.json !== undefined && count(data.page) > 1) return data;
  }
  // Nor does a page that hands out the list as a file.
  const [file] = found.stored.content_type === PDF || asksForLogin(found.page, 0) ? [] : pdfDirectories(found.page);
  const handedOut = file === undefined ? null : await visitIfThere(ctx, web, file, "pdf");
  return handedOut?.stored.content_type === PDF ? handedOut : found;
}

async function visit(ctx: Context, web: Web, url: string, foundBy: FoundBy): Promise<Found> {
  const stored = await web.page(url, "directory.html");
  const page = await readPage(ctx, stored);
  const target = refreshTarget(page);
  if (target === null) return { foundBy, stored, page };
  const there = await web.page(target, "directory.html");
  return { foundBy, stored: there, page: await readPage(ctx, there) };
}

/** The nine usual places, links of the home page, the sitemap: the first page that lists members, else the first that looks like it. */
async function discover(ctx: Context, web: Web, search: Search): Promise<Found> {
  const { input, association, schema } = search;
  let second: Found | null = null;
  let walled: Found | null = null;
  let home: Found | null = null;
  const tried = new Set<string>();
  // A link that says where the members are is believed sooner than a usual place.
  const lists = (page: Page, foundBy: FoundBy): boolean => {
    if (listsOthers(page)) return false;
    const { shown, records } = countListed(page, schema, association.member_links ?? null);
    if (looksLikeDirectory(page)) return shown > 3 || sectionLinks(page, schema).length > 0;
    return records > (foundBy === "home_link" && page.url !== home?.page.url ? 2 : 9);
  };
  const attempt = async (url: string, foundBy: FoundBy): Promise<Found | null> => {
    if (tried.has(url)) return null;
    tried.add(url);
    const visited = await visitIfThere(ctx, web, url, foundBy);
    const found = visited === null ? null : await inFrames(ctx, web, visited, search);
    if (found === null) return null;
    if (found.stored.content_type === PDF || lists(found.page, foundBy)) return found;
    if (asksForLogin(found.page, 0)) walled ??= found;
    else if (looksLikeDirectory(found.page)) second ??= found;
    return null;
  };
  const patterns = input.directory_patterns.length > 0 ? input.directory_patterns : web.crawler.directory_patterns;
  for (const pattern of patterns) {
    const found = await attempt(new URL(pattern, association.url).href, "pattern");
    if (found !== null) return found;
  }
  home = await visitIfThere(ctx, web, new URL(association.url).href, "home_link");
  for (const url of home === null ? [] : directoryLinks(home.page).slice(0, 5)) {
    const found = await attempt(url, "home_link");
    if (found !== null) return found;
  }
  for (const url of (await sitemapCandidates(ctx, web, search)).slice(0, 5)) {
    const found = await attempt(url, "sitemap");
    if (found !== null) return found;
  }
  // The home page may be the directory itself.
  if (home !== null && lists(home.page, "home_link")) return home;
  const rest = second ?? walled;
  if (rest !== null) return rest;
  throw new NoDirectoryFoundError(`no member directory found at ${association.url}`, {
    url: association.url,
    hint: `Set directory_url of ${input.association} in associations.yaml, or give -p directoryUrl=…`,
  });
}

async function visitIfThere(ctx: Context, web: Web, url: string, foundBy: FoundBy): Promise<Found | null> {
  try {
    return await visit(ctx, web, url, foundBy);
  } catch (error) {
    if (!(error instanceof NotFoundError || error instanceof ForbiddenError || error instanceof RefusedError))
      throw error;
    if (!(error instanceof NotFoundError)) ctx.log.warn(error.message);
    return null;
  }
}

async function sitemapCandidates(ctx: Context, web: Web, { input, association }: Search): Promise<string[]> {
  const { rules } = await web.keepRobots(association.url);
  const declared = rules.sitemaps
    .map((url) => resolveUrl(url, association.url))
    .filter((url): url is string => url !== null);
  const open = (declared.length > 0 ? declared : [new URL("/sitemap.xml", association.url).href]).map((url) => ({
    url,
    depth: 0,
  }));
  const candidates: string[] = [];
  const seen = new Set<string>();
  const maxSitemaps = 10;
  for (let at = open.shift(); at !== undefined && seen.size < maxSitemaps; at = open.shift()) {
    if (seen.has(at.url)) continue;
    seen.add(at.url);
    const { url, depth } = at;
    const stored = await web.page(url, "sitemap.xml").catch((error: unknown) => {
      if (error instanceof NotFoundError || error instanceof ForbiddenError || error instanceof RefusedError)
        return null;
      throw error;
    });
    if (stored === null) continue;
    const { sitemaps, candidates: found } = readSitemap(await textOf(ctx, stored), url);
    candidates.push(...found);
    if (depth < input.max_depth) open.push(...sitemaps.map((next) => ({ url: next, depth: depth + 1 })));
  }
  return candidates;
}
