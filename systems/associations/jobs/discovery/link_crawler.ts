/** discovery/link_crawler: walks through the pages of a directory and gives the address of every member, each once. */
import { join } from "node:path";
import type { Context, DatasetRef } from "tenuto";
import { z } from "zod";
import { loadSchema } from "../../adapters/config.ts";
import { writeJsonl } from "../../adapters/files.ts";
import { startCrawl } from "../../domain/crawl.ts";
import { NotFoundError, ParseError, RefusedError } from "../../domain/errors.ts";
import { listItems } from "../../domain/extract.ts";
import { memberLinks } from "../../domain/member-links.ts";
import type { Page } from "../../domain/page.ts";
import { cleanText } from "../../domain/page.ts";
import { readControls } from "../../domain/pagination.ts";
import type { Schema } from "../../domain/schema.ts";
import type { Services, StoredPage } from "../web.ts";
import { configDirOf, openWeb, politenessSchema, readPage, storedPageSchema } from "../web.ts";
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
  member_links: z.string().nullable().default(null),
  auth_required: z.boolean().default(false),
  expected_members: z.number().nullable().default(null),
  politeness: politenessSchema.default({ robots: [], spacing_ms: null }),
});

export const linkCrawlerOutput = z.object({
  /** Dataset of `{url, mode, page, discovered_at}`: `page` is set where the records stand on the directory page itself. */
  urls: z.custom<DatasetRef>(),
  mode: z.enum(["detail", "list"]),
  total_pages: z.number(),
  total_urls: z.number(),
  stopped_by: z.string(),
  politeness: politenessSchema,
});

/** One item of the extraction. */
export interface CrawledUrl {
  url: string;
  mode: "detail" | "list";
  page: StoredPage | null;
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
  const { politeness } = input;
  const schema = loadSchema(configDirOf(input.configDir), input.schema);
  const web = openWeb(ctx, { services, configDir: input.configDir, politeness });
  const walk = startCrawl({ entryUrl: input.entry_url, pagination: input.pagination, maxPages: input.max_pages });
  const found: CrawledUrl[] = [];
  let mode: CrawledUrl["mode"] | null = null;
  let pages = 0;
  let members = 0;
  let stoppedBy = "";

  for (let url: string | null = input.entry_url; url !== null; ) {
    const stored: StoredPage | null =
      pages === 0 && input.entry ? input.entry : await pageOrNull(web.page(url, `page-${pages + 1}.html`));
    if (stored === null && pages === 0)
      throw new RefusedError("no_entry_page", `the directory ${url} is not there`, { url });
    const page: Page | null = stored === null ? null : await readPage(ctx, stored);
    mode ??= modeOf(page!, schema, input.member_links);
    const keys: string[] = page === null ? [] : listed(page, { schema, mode, memberLinks: input.member_links });
    const { fresh, next, stop } = walk.visit(page && { url: page.url, controls: readControls(page), keys });
    if (stored !== null) {
      pages++;
      members += fresh.length;
      found.push(...crawledUrls(stored, { mode, url, fresh }));
    }
    ctx.progress(pages, undefined, `${members} members on ${pages} pages`);
    stoppedBy = stop ?? stoppedBy;
    url = next;
  }
  if (members === 0) {
    throw new ParseError(`no members found on ${input.entry_url}`, {
      url: input.entry_url,
      hint: `Name the links to members by member_links of ${input.association} in associations.yaml, or the list items in its schema.`,
    });
  }
  if (mode === "detail") found.sort((a, b) => (a.url < b.url ? -1 : 1));
  await writeJsonl(
    join(input.dataDir, "raw", input.association, "urls.jsonl"),
    found.map(({ url, discovered_at }) => ({ url, discovered_at })),
  );
  report(ctx, input, { members, pages, stoppedBy });
  return {
    urls: await ctx.dataset("urls", found),
    mode: mode!,
    total_pages: pages,
    total_urls: found.length,
    stopped_by: stoppedBy,
    politeness,
  };
}

async function pageOrNull(page: Promise<StoredPage>): Promise<StoredPage | null> {
  try {
    return await page;
  } catch (error) {
    if (error instanceof NotFoundError) return null;
    throw error;
  }
}

/** Records are taken from the directory itself where its schema says so, or where it has entries but hardly any links to members. */
function modeOf(page: Page, schema: Schema, selector: string | null): CrawledUrl["mode"] {
  const items = listItems(page, schema).length;
  if (items === 0) return "detail";
  if (schema.ownList) return "list";
  return memberLinks(page, { selector: selector ?? undefined }).length * 2 >= items ? "detail" : "list";
}

interface ListedOptions {
  schema: Schema;
  mode: CrawledUrl["mode"];
  memberLinks: string | null;
}

/** What identifies the members on a page: their addresses, or their text where they have none. */
function listed(page: Page, { schema, mode, memberLinks: selector }: ListedOptions): string[] {
  if (mode === "list") return listItems(page, schema).map((item) => cleanText(item.text()));
  const { next, more, numbered } = readControls(page);
  const turns = [next, more, ...numbered.map(({ url }) => url)].filter((url): url is string => url !== null);
  return memberLinks(page, { selector: selector ?? undefined, exclude: turns });
}

function crawledUrls(
  stored: StoredPage,
  { mode, url, fresh }: { mode: CrawledUrl["mode"]; url: string; fresh: string[] },
): CrawledUrl[] {
  const discovered_at = stored.fetched_at;
  if (mode === "detail") return fresh.map((member) => ({ url: member, mode, page: null, discovered_at }));
  return fresh.length === 0 ? [] : [{ url, mode, page: stored, discovered_at }];
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
