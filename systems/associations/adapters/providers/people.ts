/** People at a company from Apollo and Hunter, as they give them. */
import { z } from "zod";
import type { CompanyQuery } from "../../domain/enrichment/company.ts";
import type { RawContact } from "../../domain/enrichment/contacts.ts";
import type { RequestOptions } from "./request.ts";
import { requestJson } from "./request.ts";
import type { Access, ProviderName } from "./settings.ts";

export const CONTACT_PROVIDERS = ["apollo", "hunter"] as const satisfies readonly ProviderName[];
export type ContactProvider = (typeof CONTACT_PROVIDERS)[number];

const text = z.string().nullish().catch(null);

const apolloAnswer = z.object({
  people: z
    .array(
      z.object({
        name: text,
        first_name: text,
        last_name: text,
        title: text,
        email: text,
        linkedin_url: text,
        phone_numbers: z
          .array(z.object({ sanitized_number: text, raw_number: text }))
          .nullish()
          .catch(null),
      }),
    )
    .nullish(),
});

const hunterAnswer = z.object({
  data: z
    .object({
      emails: z
        .array(
          z.object({
            value: text,
            first_name: text,
            last_name: text,
            position: text,
            phone_number: text,
            linkedin: text,
          }),
        )
        .nullish(),
    })
    .nullish(),
});

/** People with the wanted titles, as far as the provider can select by title; null when it knows nobody. */
export async function findPeople(
  provider: ContactProvider,
  access: Access,
  { domain }: CompanyQuery,
  { titles, ...options }: RequestOptions & { titles: readonly string[] },
): Promise<RawContact[] | null> {
  if (domain === null) return null;
  return provider === "apollo" ? await apollo(access, domain, titles, options) : await hunter(access, domain, options);
}

async function apollo(
  { baseUrl, keys: [key] }: Access,
  domain: string,
  titles: readonly string[],
  options: RequestOptions,
) {
  const answer = await requestJson(
    {
      provider: "apollo",
      method: "POST",
      baseUrl,
      path: "/api/v1/mixed_people/search",
      headers: { "x-api-key": key! },
      body: { q_organization_domains_list: [domain], person_titles: titles, page: 1, per_page: 25 },
    },
    apolloAnswer,
    options,
  );
  const people = (answer?.people ?? []).map(
    ({ phone_numbers, ...person }): RawContact => ({
      ...person,
      // Apollo masks addresses that were not paid for.
      email: /^email_not_unlocked@/i.test(person.email ?? "") ? null : person.email,
      phone: phone_numbers?.[0]?.sanitized_number ?? phone_numbers?.[0]?.raw_number,
      source: "apollo",
    }),
  );
  return people.length === 0 ? null : people;
}

async function hunter({ baseUrl, keys: [key] }: Access, domain: string, options: RequestOptions) {
  const answer = await requestJson(
    {
      provider: "hunter",
      baseUrl,
      path: "/v2/domain-search",
      query: { domain, type: "personal", limit: 25 },
      headers: { "x-api-key": key! },
    },
    hunterAnswer,
    options,
  );
  const people = (answer?.data?.emails ?? []).map(
    ({ value, position, phone_number, linkedin, ...name }): RawContact => ({
      ...name,
      title: position,
      email: value,
      phone: phone_number,
      linkedin_url: linkedin,
      source: "hunter",
    }),
  );
  return people.length === 0 ? null : people;
}
