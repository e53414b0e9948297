/** enrichment/contact_finder: the people to talk to, at companies with more than fifty employees. */
import type { Context } from "tenuto";
import { z } from "zod";
import { CONTACT_PROVIDERS, findPeople } from "../adapters/providers/people.ts";
import type { AnyRecord } from "../adapters/records.ts";
import { companyQuery, enriched, identityOf } from "../domain/enrichment/company.ts";
import type { RawContact } from "../domain/enrichment/contacts.ts";
import { chooseContacts, qualifies } from "../domain/enrichment/contacts.ts";
import type { TitleTarget } from "../domain/enrichment/titles.ts";
import { DEFAULT_TARGETS, matchTitle } from "../domain/enrichment/titles.ts";
import type { EnrichServices } from "./enrich-batch.ts";
import { batchInput, batchOutput, eachRecord, environmentOf, isWanted, timeOf } from "./enrich-batch.ts";
import { openSessions, providerStatsSchema, statsOf } from "./enrich-session.ts";

export const contactFinderInput = z.object({
  ...batchInput,
  /** Titles wanted; default: all that are known. Those not known come last. */
  target_titles: z.array(z.string().min(1)).default([]),
  /** The second is asked when the first gives fewer than two contacts. */
  providers: z.array(z.enum(CONTACT_PROVIDERS)).default([...CONTACT_PROVIDERS]),
});

export const contactFinderOutput = z.object({
  ...batchOutput,
  contacts_found: z.number(),
  /** Companies large enough to be asked about. */
  qualified: z.number(),
  providers: z.record(z.string(), providerStatsSchema),
});

type Input = z.infer<typeof contactFinderInput>;

const ENOUGH_CONTACTS = 2;
const LAST_PRIORITY = 4;

export function contactFinder(services: EnrichServices) {
  return {
    name: "enrichment/contact_finder",
    description: "Adds up to five contacts with wanted titles at companies of more than fifty employees",
    version: "1",
    timeoutSeconds: 3600,
    input: contactFinderInput,
    output: contactFinderOutput,
    run: (input: Input, ctx: Context) => run(input, ctx, services),
  };
}

async function run(input: Input, ctx: Context, services: EnrichServices): Promise<z.infer<typeof contactFinderOutput>> {
  const wanted = isWanted(input.enrichment, "contacts");
  const at = await timeOf(ctx, services);
  const targets = targetsOf(input.target_titles);
  const titles = targets.map(({ title }) => title);
  const sessions = openSessions(ctx, wanted ? input.providers : [], environmentOf(services));
  let found = 0;
  let qualified = 0;
  const one = async (record: AnyRecord): Promise<AnyRecord> => {
    const query = companyQuery(record);
    if (!wanted || query === null || query.domain === null || !qualifies(record)) return record;
    qualified++;
    const raw: RawContact[] = [];
    const reasons: string[] = [];
    for (const session of sessions) {
      if (chooseContacts(raw, targets).length >= ENOUGH_CONTACTS) break;
      const answer = await session.ask(identityOf(query), (access, options) =>
        findPeople(session.name, access, query, { ...options, titles }),
      );
      if (answer.state === "found") raw.push(...answer.data);
      else reasons.push(`${session.name}: ${"reason" in answer ? answer.reason : "nobody known"}`);
    }
    const contacts = chooseContacts(raw, targets);
    found += contacts.length;
    const source = contacts[0]?.source ?? null;
    const reason = reasons.join("; ") || "nobody with a wanted title";
    return enriched(record, { agent: "contacts", found: { contacts }, source, at, reason });
  };
  const records = await eachRecord(ctx, input.records, one);
  return {
    success: true,
    batch: input.batch,
    records,
    records_processed: records.length,
    contacts_found: found,
    qualified,
    providers: statsOf(sessions),
  };
}

/** The wanted titles with the priority that the known ones have. */
function targetsOf(titles: readonly string[]): readonly TitleTarget[] {
  if (titles.length === 0) return DEFAULT_TARGETS;
  return titles.map((title) => ({ title, priority: matchTitle(title)?.priority ?? LAST_PRIORITY }));
}
