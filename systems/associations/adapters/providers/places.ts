/** Google Places: does a company stand where its record says? */
import { z } from "zod";
import type { CompanyQuery } from "../../domain/enrichment/company.ts";
import { similarCompanyName } from "../../domain/matching/same-name.ts";
import { stateCode } from "../../domain/places.ts";
import type { RequestOptions } from "./request.ts";
import { requestJson } from "./request.ts";
import type { Access } from "./settings.ts";

const answerSchema = z.object({
  places: z
    .array(
      z.object({
        displayName: z.object({ text: z.string().nullish() }).nullish(),
        formattedAddress: z.string().nullish(),
        businessStatus: z.string().nullish(),
      }),
    )
    .nullish(),
});

export interface PlaceFinding {
  match: boolean;
  name: string | null;
  address: string | null;
}

const TOP_RESULTS = 5;

/** True when there is enough to ask by. */
export function canFindPlace({ name, city, state }: CompanyQuery): boolean {
  return name !== null && (city !== null || state !== null);
}

/** Looks for name, city and state among the top results. */
export async function findPlace(
  { baseUrl, keys: [key] }: Access,
  { name, city, state }: CompanyQuery,
  options: RequestOptions = {},
): Promise<PlaceFinding> {
  const answer = await requestJson(
    {
      provider: "google_places",
      method: "POST",
      baseUrl,
      path: "/v1/places:searchText",
      headers: {
        "x-goog-api-key": key!,
        "x-goog-fieldmask": "places.displayName,places.formattedAddress,places.businessStatus",
      },
      body: { textQuery: [name, city, state].filter((part) => part !== null).join(", "), pageSize: TOP_RESULTS },
    },
    answerSchema,
    options,
  );
  const found = (answer?.places ?? [])
    .slice(0, TOP_RESULTS)
    .find(
      ({ displayName, formattedAddress }) =>
        similarCompanyName(displayName?.text ?? "", name ?? "") && !isElsewhere(formattedAddress ?? "", state),
    );
  return {
    match: found !== undefined,
    name: found?.displayName?.text ?? null,
    address: found?.formattedAddress ?? null,
  };
}

/** True when the address names another state: a search falls back to namesakes far away. */
function isElsewhere(address: string, state: string | null): boolean {
  const wanted = state === null ? null : stateCode(state);
  const found = /,\s*([A-Z]{2})\s+(?:\d{5}|[A-Z]\d[A-Z])/.exec(address)?.[1];
  return wanted !== null && found !== undefined && stateCode(found) !== null && found !== wanted;
}
