/** enrichment/firmographic: size, revenue, age and industry of each company, from the first provider that knows it. */
import type { Context } from "tenuto";
import { z } from "zod";
import { canLookUp, FIRMOGRAPHIC_PROVIDERS, lookUpFirmographics } from "../adapters/providers/firmographic.ts";
import type { AnyRecord } from "../adapters/records.ts";
import { companyQuery, enriched, identityOf } from "../domain/enrichment/company.ts";
import type { EnrichServices } from "./enrich-batch.ts";
import { batchInput, batchOutput, eachRecord, environmentOf, isWanted, rate, timeOf } from "./enrich-batch.ts";
import { openSessions, providerStatsSchema, statsOf } from "./enrich-session.ts";

export const firmographicInput = z.object({
  ...batchInput,
  /** Asked in this order until one knows the company. */
  providers: z.array(z.enum(FIRMOGRAPHIC_PROVIDERS)).default([...FIRMOGRAPHIC_PROVIDERS]),
});

export const firmographicOutput = z.object({
  ...batchOutput,
  /** Share of the records for which something was found. */
  match_rate: z.number(),
  providers: z.record(z.string(), providerStatsSchema),
});

type Input = z.infer<typeof firmographicInput>;

export function firmographic(services: EnrichServices) {
  return {
    name: "enrichment/firmographic",
    description: "Adds employees, revenue, year and industry from firmographic providers",
    version: "1",
    timeoutSeconds: 3600,
    input: firmographicInput,
    output: firmographicOutput,
    run: (input: Input, ctx: Context) => run(input, ctx, services),
  };
}

async function run(input: Input, ctx: Context, services: EnrichServices): Promise<z.infer<typeof firmographicOutput>> {
  const wanted = isWanted(input.enrichment, "firmographic");
  const at = await timeOf(ctx, services);
  const sessions = openSessions(ctx, wanted ? input.providers : [], environmentOf(services));
  let matched = 0;
  const one = async (record: AnyRecord): Promise<AnyRecord> => {
    const query = companyQuery(record);
    if (!wanted || query === null) return record;
    const reasons: string[] = [];
    for (const session of sessions) {
      if (!canLookUp(session.name, query)) continue;
      const answer = await session.ask(identityOf(query), (access, options) =>
        lookUpFirmographics(session.name, access, query, options),
      );
      if (answer.state === "found") {
        matched++;
        const found = { ...answer.data, firmographic_source: session.name };
        return enriched(record, { agent: "firmographic", found, source: session.name, at });
      }
      reasons.push(`${session.name}: ${"reason" in answer ? answer.reason : "not known"}`);
    }
    const reason = reasons.join("; ") || "no provider can look this up";
    return enriched(record, { agent: "firmographic", found: {}, source: null, at, reason });
  };
  const records = await eachRecord(ctx, input.records, one);
  return {
    success: true,
    batch: input.batch,
    records,
    records_processed: records.length,
    match_rate: rate(matched, records.length),
    providers: statsOf(sessions),
  };
}
