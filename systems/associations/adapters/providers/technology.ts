/** Technologies of a company from BuiltWith, and its job postings from Adzuna. */
import { z } from "zod";
import type { CompanyQuery } from "../../domain/enrichment/company.ts";
import { sameCompanyName } from "../../domain/matching/same-name.ts";
import type { RequestOptions } from "./request.ts";
import { requestJson } from "./request.ts";
import type { Access } from "./settings.ts";

export interface NamedTechnology {
  name: string;
  categories: string[];
}

const technology = z.object({ Name: z.string().nullish(), Categories: z.array(z.string()).nullish().catch(null) });
const builtwithAnswer = z.object({
  Results: z
    .array(
      z.object({
        Result: z
          .object({ Paths: z.array(z.object({ Technologies: z.array(technology).nullish() })).nullish() })
          .nullish(),
      }),
    )
    .nullish(),
  Errors: z
    .array(z.object({ Message: z.string().nullish() }))
    .nullish()
    .catch(null),
});

/** Technologies that BuiltWith has seen on a domain. Its key can only travel in the query, so addresses are never shown. */
export async function builtwithTechnologies(
  { baseUrl, keys: [key] }: Access,
  domain: string,
  options: RequestOptions = {},
): Promise<NamedTechnology[] | null> {
  const answer = await requestJson(
    { provider: "builtwith", baseUrl, path: "/v21/api.json", query: { KEY: key, LOOKUP: domain, LIVEONLY: "yes" } },
    builtwithAnswer,
    options,
  );
  const byName = new Map<string, NamedTechnology>();
  for (const { Result } of answer?.Results ?? []) {
    for (const { Technologies } of Result?.Paths ?? []) {
      for (const { Name, Categories } of Technologies ?? []) {
        if (Name && !byName.has(Name)) byName.set(Name, { name: Name, categories: Categories ?? [] });
      }
    }
  }
  return byName.size === 0 ? null : [...byName.values()];
}

const adzunaAnswer = z.object({
  results: z.array(
    z.object({
      title: z.string().nullish(),
      description: z.string().nullish(),
      company: z.object({ display_name: z.string().nullish() }).nullish(),
    }),
  ),
});

/** Texts of a company's open positions; postings of other companies that the search brings up are left out. */
export async function jobPostings(
  { baseUrl, keys: [id, key] }: Access,
  { name }: CompanyQuery,
  options: RequestOptions = {},
): Promise<string[] | null> {
  if (name === null) return null;
  const answer = await requestJson(
    {
      provider: "job_postings",
      baseUrl,
      path: "/v1/api/jobs/us/search/1",
      query: { app_id: id, app_key: key, company: name, results_per_page: 50, "content-type": "application/json" },
    },
    adzunaAnswer,
    options,
  );
  const own = (answer?.results ?? []).filter(({ company }) => sameCompanyName(company?.display_name ?? "", name));
  return own.length === 0 ? null : own.map(({ title, description }) => `${title ?? ""}\n${description ?? ""}`);
}
