/** discovery/link_crawler: walks through the pages of a directory and gives the address of every member, each once. */
import { join } from "node:path";
import type { Context, DatasetRef } from "tenuto";
import { z } from "zod";
import { loadSchema } from "../../adapters/config.ts";
import { writeJsonl } from "../../adapters/files.ts";
import { startCrawl } from "../../domain/crawl.ts";
import { statedMembers } from "../../domain/directory.ts";
import { NotFoundError, ParseError, RefusedError } from "../../domain/errors.ts";
import type { Fields } from "../../domain/field-values.ts";
import type { ListShape } from "../../domain/general/list.ts";
import type { ListedMember, Listing, Mode } from "../../domain/listing.ts";
import { chooseListing, foreignContacts, listedOn, MODES } from "../../domain/listing.ts";
import type { Page } from "../../domain/page.ts";
import { readControls } from "../../domain/pagination.ts";
import type { Schema } from "../../domain/schema.ts";
import { neighbourParts, sectionLinks } from "../../domain/sections.ts";
import type { Services, StoredPage, Web } from "../web.ts";
import { configDirOf, openWeb, PDF, politenessSchema, readPage, storedPageSchema } from "../web.ts";
import { paginationSchema } from "./site_mapper.ts";

export const linkCrawlerInput = z.object({
  association: z.string(),
  configDir: z.string().default(""),
  dataDir: z.string().default("data"),
  entry_url: z.string(),
  entry: storedPageSchema.nullable().default(null),
  pagination: paginationSchema,
  max_pages: z.number().int().positive().default(100),
  schema: z.string().default("default"),
  /** The schema that a model has proposed and code has checked, where that was asked for. */
  proposed: z.object({ schema: z.string() }).nullable().default(null),
  member_links: z.string().nullable().default(null),
  auth_required: z.boolean().default(false),
  expected_members: z.number().nullable().default(null),
  politeness: politenessSchema.default({ robots: [], spacing_ms: null }),
});

export const linkCrawlerOutput = z.object({
  /** Dataset of `{url, mode, page, discovered_at}`: `page` is set where the records stand on the directory page itself. */
  urls: z.custom<DatasetRef>(),
  mode: z.enum(MODES),
  /** By which the records are read. */
  schema: z.string(),
  total_pages: z.number(),
  total_urls: z.number(),
  stopped_by: z.string(),
  politeness: politenessSchema,
  /** Where the records stand on the pages of this directory. */
  shape: z.custom<ListShape | null>(),
  /** Phones and mail addresses of the association itself. */
  foreign: z.array(z.string()),
});

/** One item of the extraction. */
export interface CrawledUrl {
  url: string;
  mode: Mode;
  page: StoredPage | null;
  /** What the directory says of the member. */
  listed: Fields | null;
  discovered_at: string;
}

type Input = z.infer<typeof linkCrawlerInput>;
type Output = z.infer<typeof linkCrawlerOutput>;

export function linkCrawler(services: Services) {
  return {
    name: "discovery/link_crawler",
    description: "Follows the pages of a directory and collects the addresses of its members",
    version: "1",
    input: linkCrawlerInput,
    output: linkCrawlerOutput,
    run: (input: Input, ctx: Context) => crawl(input, ctx, services),
  };
}

async function crawl(input: Input, ctx: Context, services: Services): Promise<Output> {
  if (input.auth_required) ctx.skip(`${input.entry_url} asks for a login`);
  if (input.entry?.content_type === PDF) return await onePdf(input, ctx, input.entry);
  const { politeness } = input;
  const schemaName = input.proposed?.schema ?? input.schema;
  const schema = loadSchema(configDirOf(input.configDir), schemaName);
  const web = openWeb(ctx, { services, configDir: input.configDir, politeness });
  const walk = startCrawl({ entryUrl: input.entry_url, pagination: input.pagination, maxPages: input.max_pages });
  const found: CrawledUrl[] = [];
  const reader = pageReader(input, { schema, web });
  let pages = 0;
  let members = 0;
  let stoppedBy = "";
  let closed = false;
  /** Pages on which nobody was found before it was known how this directory is read. */
  const early: { stored: StoredPage; url: string }[] = [];

  for (let url: string | null = input.entry_url; url !== null; ) {
    const stored: StoredPage | null =
      pages === 0 && input.entry ? input.entry : await pageOrNull(web.page(url, `page-${pages + 1}.html`));
    if (stored === null && pages === 0)
      throw new RefusedError("no_entry_page", `the directory ${url} is not there`, { url });
    const page: Page | null = stored === null ? null : await readPage(ctx, stored);
    const read = page === null ? null : await reader.read(page);
    const { fresh, next, stop } = walk.visit(read && { url: page!.url, ...read });
    // One page, and controls that no address stands behind: what they open is not lost silently.
    closed =
      pages === 0 && next === null && read !== null && read.controls.closed === true && !isWhole(page!, fresh.length);
    if (stored !== null && read !== null) {
      if (reader.listing === null && !read.landing) early.push({ stored, url });
      pages++;
      members += fresh.length;
      found.push(...crawledUrls(stored, { mode: reader.listing?.mode ?? "detail", url, fresh, listed: read.listed }));
    }
    ctx.progress(pages, undefined, `${members} members on ${pages} pages`);
    stoppedBy = stop ?? stoppedBy;
    url = next;
  }
  for (const { stored, url } of reader.listing?.mode === "list" ? early : []) {
    const { listed } = await reader.read(await readPage(ctx, stored));
    members += listed.length;
    found.push(...crawledUrls(stored, { mode: "list", url, fresh: listed.map(({ key }) => key), listed }));
  }
  if (members === 0) {
    throw new ParseError(`no members found on ${input.entry_url}`, {
      url: input.entry_url,
      hint: `Name the links to members by member_links of ${input.association} in associations.yaml, or the list items in its schema.`,
    });
  }
  const { mode, shape } = reader.listing!;
  if (mode === "detail") found.sort((a, b) => (a.url < b.url ? -1 : 1));
  await writeJsonl(
    join(input.dataDir, "raw", input.association, "urls.jsonl"),
    found.map(({ url, discovered_at }) => ({ url, discovered_at })),
  );
  if (closed)
    ctx.log.warn(
      `${input.entry_url} turns its pages by scripts or a posted form, which this crawler does not run: only its first page was read`,
    );
  report(ctx, input, { members, pages, stoppedBy });
  return {
    urls: await ctx.dataset("urls", found),
    mode,
    schema: schemaName,
    total_pages: pages,
    total_urls: found.length,
    stopped_by: stoppedBy,
    politeness,
    shape,
    foreign: reader.foreign,
  };
}

/** The page says itself that it shows all there are. */
function isWhole(page: Page, shown: number): boolean {
  const stated = statedMembers(page);
  return stated !== null && stated <= shown;
}

/** A directory that is a file: nothing to walk through. */
async function onePdf(input: Input, ctx: Context, entry: StoredPage): Promise<Output> {
  const { url, fetched_at: discovered_at } = entry;
  await writeJsonl(join(input.dataDir, "raw", input.association, "urls.jsonl"), [{ url, discovered_at }]);
  const found: CrawledUrl[] = [{ url, mode: "pdf", page: entry, listed: null, discovered_at }];
  return {
    urls: await ctx.dataset("urls", found),
    mode: "pdf",
    schema: input.schema,
    total_pages: 1,
    total_urls: 1,
    stopped_by: "all_on_one_page",
    politeness: input.politeness,
    shape: null,
    foreign: [],
  };
}

/** Reads the pages of one directory; the first one decides how. */
function pageReader(input: Input, { schema, web }: { schema: Schema; web: Web }) {
  const selector = input.member_links;
  const state = {
    listing: null as Listing | null,
    foreign: [] as string[],
    async read(page: Page) {
      const controls = readControls(page);
      const listing = state.listing ?? (await choose(page));
      const listed = listedOn(page, listing, { schema, selector, controls });
      const found = { controls, landing: false, listed, keys: listed.map(({ key }) => key) };
      // What is listed as on the pages before are members; otherwise it may be the parts of the directory.
      if (listed.length > 0 && state.listing !== null) return found;
      const sections = selector === null && !schema.ownList ? sectionLinks(page, schema) : [];
      // Beside the part that is shown stand links to the others.
      const tabs =
        sections.length > 0 || controls.letters.length > 0 || listed.length === 0 ? [] : neighbourParts(page);
      if (sections.length > 0)
        return { controls: { ...controls, letters: sections }, landing: true, listed: [], keys: [] };
      // A page without members, such as an index by letters, says nothing about those that follow.
      if (listed.length > 0) state.listing = listing;
      return tabs.length === 0 ? found : { ...found, controls: { ...controls, letters: tabs } };
    },
  };
  const choose = async (page: Page): Promise<Listing> => {
    const { rules } = await web.keepRobots(page.url);
    const listing = chooseListing(page, { schema, selector, allows: (url) => rules.allows(url) });
    state.foreign = foreignContacts(page, listing.list);
    return listing;
  };
  return state;
}

async function pageOrNull(page: Promise<StoredPage>): Promise<StoredPage | null> {
  try {
    return await page;
  } catch (error) {
    if (error instanceof NotFoundError) return null;
    throw error;
  }
}

function crawledUrls(
  stored: StoredPage,
  { mode, url, fresh, listed }: { mode: Mode; url: string; fresh: string[]; listed: ListedMember[] },
): CrawledUrl[] {
  const discovered_at = stored.fetched_at;
  if (mode === "list") return fresh.length === 0 ? [] : [{ url, mode, page: stored, listed: null, discovered_at }];
  const said = new Map(listed.map(({ key, fields }) => [key, fields]));
  return fresh.map((member) => ({ url: member, mode, page: null, listed: said.get(member) ?? null, discovered_at }));
}

function report(
  ctx: Context,
  input: Input,
  { members, pages, stoppedBy }: { members: number; pages: number; stoppedBy: string },
): void {
  ctx.log.info(`Discovered ${members} members on ${pages} pages (${stoppedBy})`);
  const expected = input.expected_members;
  if (stoppedBy === "max_pages") ctx.log.warn(`stopped after ${pages} pages; raise max_pages to go on`);
  if (expected !== null && members < expected * 0.9)
    ctx.log.warn(`expected about ${expected} members, found ${members}`);
}
