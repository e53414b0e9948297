/**
 * validation/crossref: does the domain exist, and does the company stand where its record says.
 *
 * What could not be found out is null, never false: a missing key, a silent name server and a provider in trouble say nothing about a company.
 */
import type { Context } from "tenuto";
import { z } from "zod";
import type { Dns, DomainFinding } from "../adapters/dns.ts";
import { systemDns } from "../adapters/dns.ts";
import type { PlaceFinding } from "../adapters/providers/places.ts";
import { canFindPlace, findPlace } from "../adapters/providers/places.ts";
import type { AnyRecord } from "../adapters/records.ts";
import type { CompanyQuery } from "../domain/enrichment/company.ts";
import { companyQuery } from "../domain/enrichment/company.ts";
import { validationScore } from "../domain/quality/score.ts";
import type { EnrichServices } from "./enrich-batch.ts";
import { batchInput, batchOutput, eachRecord, environmentOf, isWanted, timeOf } from "./enrich-batch.ts";
import type { ProviderSession } from "./enrich-session.ts";
import { openSessions, providerStatsSchema, statsOf } from "./enrich-session.ts";

export const VALIDATORS = ["dns", "google_places"] as const;

export const crossrefInput = z.object({
  records: batchInput.records,
  batch: batchInput.batch,
  /** Another kind than `crossref` or `all`: the records come back as they are. */
  validation: z.enum(["all", "dedupe", "crossref", "score"]).default("all"),
  /** `dns_mx` is another name of `dns`. */
  validators: z
    .array(z.enum([...VALIDATORS, "dns_mx"]))
    .default([...VALIDATORS])
    .transform((names) => [...new Set(names.map((name) => (name === "dns_mx" ? "dns" : name)))]),
});

const verdictsSchema = z.object({ valid: z.number(), invalid: z.number(), unknown: z.number() });

export const crossrefOutput = z.object({
  ...batchOutput,
  validation_stats: z.object({ dns: verdictsSchema, places: verdictsSchema }),
  providers: z.record(z.string(), providerStatsSchema),
});

type Input = z.output<typeof crossrefInput>;
type Verdicts = z.infer<typeof verdictsSchema>;

export type CrossrefServices = EnrichServices & { dns?: () => Dns };

export function crossref(services: CrossrefServices) {
  return {
    name: "validation/crossref",
    description: "Checks domains in DNS and places at Google Places",
    version: "1",
    timeoutSeconds: 3600,
    input: crossrefInput,
    output: crossrefOutput,
    run: (input: Input, ctx: Context) => run(input, ctx, services),
  };
}

async function run(input: Input, ctx: Context, services: CrossrefServices): Promise<z.infer<typeof crossrefOutput>> {
  const wanted = isWanted(input.validation, "crossref");
  const validators = wanted ? input.validators : [];
  const at = await timeOf(ctx, services);
  const env = environmentOf(services);
  const dns = domainChecker(ctx, services);
  const sessions = validators.includes("google_places") ? openSessions(ctx, ["google_places"], env) : [];
  const stats = { dns: noVerdicts(), places: noVerdicts() };
  const one = async (record: AnyRecord): Promise<AnyRecord> => {
    if (!wanted) return record;
    const query = companyQuery(record);
    const domain = validators.includes("dns") && query?.domain ? await dns(query.domain) : null;
    const place = query === null || sessions[0] === undefined ? null : await placeOf(sessions[0], query);
    const dns_valid = domain?.valid ?? null;
    const places_match = place?.match ?? null;
    count(stats.dns, dns_valid);
    count(stats.places, places_match);
    const issues = [
      ...(dns_valid === false ? ["invalid_domain"] : []),
      ...(places_match === false ? ["address_not_found"] : []),
    ];
    const checked = dns_valid !== null || places_match !== null;
    const validation = {
      dns_valid,
      dns_method: domain?.method ?? null,
      dns_reason: domain?.reason ?? null,
      places_match,
      places_name: place?.name ?? null,
      places_address: place?.address ?? null,
      // Nothing found out is nothing to score.
      validation_score: checked ? validationScore({ dns_valid, places_match }) : null,
      issues,
      checked_at: at,
    };
    return checked ? { ...record, validation, last_verified_at: at } : { ...record, validation };
  };
  const records = await eachRecord(ctx, input.records, one, { concurrency: 8 });
  return {
    success: true,
    batch: input.batch,
    records,
    records_processed: records.length,
    validation_stats: stats,
    providers: statsOf(sessions),
  };
}

/** Each domain is looked up once in a batch, and kept: what was found does not change with a second attempt. */
function domainChecker(ctx: Context, services: CrossrefServices): (domain: string) => Promise<DomainFinding> {
  const dns = (services.dns ?? systemDns)();
  const known = new Map<string, Promise<DomainFinding>>();
  return (domain) => {
    const finding = known.get(domain) ?? ctx.step(["dns", domain], () => dns.check(domain));
    known.set(domain, finding);
    return finding;
  };
}

async function placeOf(session: ProviderSession, query: CompanyQuery): Promise<PlaceFinding | null> {
  // Not asked, not paid.
  if (!canFindPlace(query)) return null;
  const identity = [query.name, query.city, query.state]
    .map((part) => part ?? "")
    .join("|")
    .toLowerCase();
  const answer = await session.ask(identity, (access, options) => findPlace(access, query, options));
  return answer.state === "found" ? answer.data : null;
}

function noVerdicts(): Verdicts {
  return { valid: 0, invalid: 0, unknown: 0 };
}

function count(verdicts: Verdicts, value: boolean | null): void {
  if (value === null) verdicts.unknown++;
  else if (value) verdicts.valid++;
  else verdicts.invalid++;
}
