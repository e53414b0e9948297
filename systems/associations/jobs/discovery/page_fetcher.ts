/**
 * discovery/page_fetcher: fetches the page of one member and keeps it, for extraction to read.
 *
 * Fetching and reading are two jobs: what a site has sent is asked for once, whatever extraction makes of it, and a schema that was
 * mended is tried again on the kept pages. A record that stands on a page of the directory passes through; that page is known.
 */
import type { Context } from "tenuto";
import { z } from "zod";
import { ForbiddenError, ParseError } from "../../domain/errors.ts";
import type { Fields } from "../../domain/field-values.ts";
import { MODES, saysEnough } from "../../domain/listing.ts";
import { registrableDomain, sameSite } from "../../domain/url.ts";
import type { Services, StoredPage } from "../web.ts";
import { openWeb, politenessSchema, storedPageSchema } from "../web.ts";

export const pageFetcherInput = z.object({
  url: z.string(),
  mode: z.enum(["auto", ...MODES]).default("detail"),
  /** The page, where a job before has fetched it. */
  page: storedPageSchema.nullable().default(null),
  /** What the directory says of this member. */
  listed: z.custom<Fields | null>().default(null),
  configDir: z.string().default(""),
  politeness: politenessSchema.default({ robots: [], spacing_ms: null }),
});

export const pageFetcherOutput = z.object({
  url: z.string(),
  mode: z.enum(["auto", ...MODES]),
  /** Null where the member has no page to be read; `missing` says why. */
  page: storedPageSchema.nullable(),
  listed: z.custom<Fields | null>(),
  missing: z.string().nullable().default(null),
});

type Input = z.infer<typeof pageFetcherInput>;
export type FetchedPage = z.infer<typeof pageFetcherOutput>;

export function pageFetcher(services: Services) {
  return {
    name: "discovery/page_fetcher",
    description: "Fetches the page of a member and keeps it",
    version: "1",
    input: pageFetcherInput,
    output: pageFetcherOutput,
    run: async (input: Input, ctx: Context): Promise<FetchedPage> => {
      const { url, mode, listed } = input;
      try {
        const page = input.page ?? (await fetchMemberPage(input, ctx, services));
        return { url, mode, listed, page, missing: null };
      } catch (error) {
        // Profiles may be for members only: what the directory says of the member is public all the same. A dead link is a fault.
        if (!(error instanceof ForbiddenError) || !saysEnough(listed)) throw error;
        return { url, mode, listed, page: null, missing: error.message };
      }
    },
  };
}

/** A page of this site. @throws ParseError for one of another site and for what is no text */
export async function fetchMemberPage(
  { url, configDir, politeness }: Pick<Input, "url" | "configDir" | "politeness">,
  ctx: Context,
  services: Services,
): Promise<StoredPage> {
  const page = await openWeb(ctx, { services, configDir, politeness }).pageInPlace(url);
  if (!sameSite(page.url, url) && (registrableDomain(page.url) ?? page.url) !== registrableDomain(url))
    throw new ParseError(`${url} leads to another site, ${page.url}`, { url });
  if (page.content_type !== null && !/html|xml|json|text\/plain/i.test(page.content_type))
    throw new ParseError(`${page.url} is ${page.content_type}, not a page`, { url: page.url });
  return page;
}
