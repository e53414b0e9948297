/** Firmographics from Clearbit, ZoomInfo and Apollo: a request each, and their fields in our form. */
import { z } from "zod";
import type { CompanyQuery } from "../../domain/enrichment/company.ts";
import type { Firmographics } from "../../domain/enrichment/firmographics.ts";
import { firmographicsOf } from "../../domain/enrichment/firmographics.ts";
import type { RequestOptions } from "./request.ts";
import { requestJson } from "./request.ts";
import type { Access, ProviderName } from "./settings.ts";

export const FIRMOGRAPHIC_PROVIDERS = ["clearbit", "zoominfo", "apollo"] as const satisfies readonly ProviderName[];
export type FirmographicProvider = (typeof FIRMOGRAPHIC_PROVIDERS)[number];

type Lookup = (access: Access, query: CompanyQuery, options: RequestOptions) => Promise<Firmographics | null>;

/** True when the provider can look up by what is known. */
export function canLookUp(provider: FirmographicProvider, { domain, name }: CompanyQuery): boolean {
  return provider === "zoominfo" ? domain !== null || name !== null : domain !== null;
}

/** Facts about a company, or null when the provider has none. */
export function lookUpFirmographics(
  provider: FirmographicProvider,
  access: Access,
  query: CompanyQuery,
  options: RequestOptions = {},
): Promise<Firmographics | null> {
  return LOOKUPS[provider](access, query, options);
}

// Providers leave fields out, set them to null, or change their type; only what is read must be of an expected form.
const loose = z.union([z.string(), z.number()]).nullish().catch(null);
const object = <S extends z.ZodRawShape>(shape: S) => z.object(shape).nullish();

const clearbitAnswer = z.object({
  metrics: object({ employees: loose, employeesRange: loose, estimatedAnnualRevenue: loose, annualRevenue: loose }),
  foundedYear: loose,
  category: object({ naicsCode: loose, industry: loose }),
  linkedin: object({ handle: loose }),
});

const clearbit: Lookup = async ({ baseUrl, keys: [key] }, { domain }, options) => {
  const answer = await requestJson(
    {
      provider: "clearbit",
      baseUrl,
      path: "/v2/companies/find",
      query: { domain },
      headers: { authorization: `Bearer ${key}` },
    },
    clearbitAnswer,
    options,
  );
  if (answer === null) return null;
  const { metrics, foundedYear, category, linkedin } = answer;
  return firmographicsOf({
    employees: metrics?.employees ?? metrics?.employeesRange,
    revenue: metrics?.annualRevenue ?? metrics?.estimatedAnnualRevenue,
    founded: foundedYear,
    naics: category?.naicsCode,
    industry: category?.industry,
    linkedin: linkedin?.handle,
  });
};

const zoominfoCompany = z.object({
  employeeCount: loose,
  employeeRange: loose,
  revenueInMillions: loose,
  yearFounded: loose,
  foundedYear: loose,
  naicsCode: loose,
  industry: loose,
  primaryIndustry: z
    .union([z.string(), z.array(z.string())])
    .nullish()
    .catch(null),
  socialMediaUrls: z
    .array(z.object({ type: z.string().nullish(), url: z.string().nullish() }))
    .nullish()
    .catch(null),
});
const zoominfoAnswer = z.object({
  data: z.object({ result: z.array(z.object({ data: z.array(zoominfoCompany).nullish() })).nullish() }).nullish(),
});

const zoominfo: Lookup = async ({ baseUrl, keys: [key] }, { name, domain }, options) => {
  const answer = await requestJson(
    {
      provider: "zoominfo",
      method: "POST",
      baseUrl,
      path: "/enrich/company",
      headers: { authorization: `Bearer ${key}` },
      body: {
        matchCompanyInput: [
          { ...(name === null ? {} : { companyName: name }), ...(domain === null ? {} : { companyWebsite: domain }) },
        ],
        outputFields: [
          "employeeCount",
          "employeeRange",
          "revenueInMillions",
          "foundedYear",
          "naicsCode",
          "primaryIndustry",
          "socialMediaUrls",
        ],
      },
    },
    zoominfoAnswer,
    options,
  );
  const company = answer?.data?.result?.[0]?.data?.[0];
  if (company === undefined) return null;
  const millions = Number(company.revenueInMillions);
  const primary = company.primaryIndustry;
  return firmographicsOf({
    employees: company.employeeCount ?? company.employeeRange,
    revenue: company.revenueInMillions !== null && Number.isFinite(millions) && millions > 0 ? millions * 1e6 : null,
    founded: company.yearFounded ?? company.foundedYear,
    naics: company.naicsCode,
    industry: company.industry ?? (Array.isArray(primary) ? primary[0] : primary),
    linkedin: company.socialMediaUrls?.find(({ url }) => /linkedin\.com/i.test(url ?? ""))?.url,
  });
};

const apolloAnswer = z.object({
  organization: object({
    estimated_num_employees: loose,
    annual_revenue: loose,
    founded_year: loose,
    industry: loose,
    linkedin_url: loose,
    naics_codes: z.array(loose).nullish().catch(null),
  }),
});

const apollo: Lookup = async ({ baseUrl, keys: [key] }, { domain }, options) => {
  const answer = await requestJson(
    {
      provider: "apollo",
      baseUrl,
      path: "/api/v1/organizations/enrich",
      query: { domain },
      headers: { "x-api-key": key! },
    },
    apolloAnswer,
    options,
  );
  const company = answer?.organization;
  if (company === null || company === undefined) return null;
  return firmographicsOf({
    employees: company.estimated_num_employees,
    revenue: company.annual_revenue,
    founded: company.founded_year,
    naics: company.naics_codes,
    industry: company.industry,
    linkedin: company.linkedin_url,
  });
};

const LOOKUPS: Readonly<Record<FirmographicProvider, Lookup>> = { clearbit, zoominfo, apollo };
