/**
 * enrichment/tech_stack: which ERP and CRM systems a company uses, and what else its site shows.
 *
 * Methods are tried in order until one names an ERP system; what the others found on the way is kept. Sites are visited like any other:
 * robots.txt first, the host's pace kept, no private address.
 */
import { isIP } from "node:net";
import type { Context } from "tenuto";
import { TenutoError } from "tenuto";
import { z } from "zod";
import type { Dns } from "../adapters/dns.ts";
import { systemDns } from "../adapters/dns.ts";
import { privateAddressIn } from "../adapters/network-guard.ts";
import type { NamedTechnology } from "../adapters/providers/technology.ts";
import { builtwithTechnologies, jobPostings } from "../adapters/providers/technology.ts";
import type { AnyRecord } from "../adapters/records.ts";
import type { CompanyQuery } from "../domain/enrichment/company.ts";
import { companyQuery, enriched, identityOf } from "../domain/enrichment/company.ts";
import { crmOfTechnology, erpOfPostings, erpOfTechnology } from "../domain/enrichment/erp-mentions.ts";
import { detectTechnologies } from "../domain/enrichment/fingerprint.ts";
import { TECH_RULES } from "../domain/enrichment/technologies.ts";
import { PageError } from "../domain/errors.ts";
import type { EnrichServices } from "./enrich-batch.ts";
import { batchInput, batchOutput, eachRecord, environmentOf, isWanted, rate, timeOf } from "./enrich-batch.ts";
import { openSessions, providerStatsSchema, statsOf } from "./enrich-session.ts";
import type { Services, Web } from "./web.ts";
import { openWeb } from "./web.ts";

export const TECH_METHODS = ["builtwith", "job_postings", "website_fingerprint"] as const;
type Method = (typeof TECH_METHODS)[number];

export const techStackInput = z.object({
  ...batchInput,
  methods: z.array(z.enum(TECH_METHODS)).default([...TECH_METHODS]),
  configDir: z.string().default(""),
  /** Visits sites in private networks as well; for tests and for a company's own. */
  allow_private_sites: z.boolean().default(false),
});

export const techStackOutput = z.object({
  ...batchOutput,
  /** Share of the records for which an ERP system was found. */
  detection_rate: z.number(),
  providers: z.record(z.string(), providerStatsSchema),
  /** How visiting the companies' sites went. */
  sites: z.object({ visited: z.number(), failed: z.number() }),
});

type Input = z.infer<typeof techStackInput>;

/** What one method found. */
interface Stack {
  erp: string | null;
  crm: string | null;
  names: string[];
}

type Tried = Stack | { reason: string };

const MAX_TECHNOLOGIES = 20;
/** Less sure than this is not worth saying. */
const MIN_CONFIDENCE = 0.5;

export type TechServices = Services & EnrichServices & { dns?: () => Dns };

export function techStack(services: TechServices) {
  return {
    name: "enrichment/tech_stack",
    description: "Adds ERP, CRM and other technologies from BuiltWith, job postings and the company's own site",
    version: "1",
    timeoutSeconds: 3600,
    input: techStackInput,
    output: techStackOutput,
    run: (input: Input, ctx: Context) => run(input, ctx, services),
  };
}

async function run(input: Input, ctx: Context, services: TechServices): Promise<z.infer<typeof techStackOutput>> {
  const wanted = isWanted(input.enrichment, "techstack");
  const at = await timeOf(ctx, services);
  const methods = wanted ? input.methods : [];
  const asked = methods.filter((method) => method !== "website_fingerprint");
  const sessions = openSessions(ctx, asked, environmentOf(services));
  const web = openWeb(ctx, { services, configDir: input.configDir, politeness: { robots: [], spacing_ms: null } });
  const dns = (services.dns ?? systemDns)();
  const visits = new SiteVisits(ctx, { web, dns, allowPrivate: input.allow_private_sites });
  let detected = 0;
  const attempt = async (method: Method, record: AnyRecord, query: CompanyQuery): Promise<Tried> => {
    if (method === "website_fingerprint") return await visits.stackOf(record, query);
    // What cannot be asked is not paid.
    if (method === "builtwith" && query.domain === null) return { reason: "no website" };
    if (method === "job_postings" && query.name === null) return { reason: "no name" };
    const session = sessions.find(({ name }) => name === method)!;
    const answer = await session.ask<Stack>(identityOf(query), (access, options) =>
      method === "builtwith"
        ? fromBuiltwith(query, (domain) => builtwithTechnologies(access, domain, options))
        : fromPostings(() => jobPostings(access, query, options)),
    );
    return answer.state === "found" ? answer.data : { reason: "reason" in answer ? answer.reason : "nothing known" };
  };
  const one = async (record: AnyRecord): Promise<AnyRecord> => {
    const query = companyQuery(record);
    if (!wanted || query === null) return record;
    const found = await tryMethods(methods, (method) => attempt(method, record, query));
    if (found.erp_system !== null) detected++;
    const { tech_source, reason, ...fields } = found;
    const known = { ...fields, tech_source, tech_stack: united(record.tech_stack, fields.tech_stack) };
    return enriched(record, { agent: "tech_stack", found: known, source: tech_source, at, reason });
  };
  const records = await eachRecord(ctx, input.records, one);
  return {
    success: true,
    batch: input.batch,
    records,
    records_processed: records.length,
    detection_rate: rate(detected, records.length),
    providers: statsOf(sessions),
    sites: visits.counts,
  };
}

async function tryMethods(methods: readonly Method[], attempt: (method: Method) => Promise<Tried>) {
  const reasons: string[] = [];
  const names = new Set<string>();
  let erp: string | null = null;
  let crm: string | null = null;
  let source: Method | null = null;
  for (const method of methods) {
    const tried = await attempt(method);
    if ("reason" in tried) {
      reasons.push(`${method}: ${tried.reason}`);
      continue;
    }
    // The one that names the ERP system is the source, else the first that found anything.
    source = tried.erp === null ? (source ?? method) : method;
    crm ??= tried.crm;
    for (const name of tried.names) names.add(name);
    erp = tried.erp;
    if (erp !== null) break;
  }
  return {
    erp_system: erp,
    crm_system: crm,
    tech_stack: [...names].slice(0, MAX_TECHNOLOGIES),
    tech_source: source,
    reason: reasons.join("; ") || "nothing found",
  };
}

async function fromBuiltwith(
  { domain }: CompanyQuery,
  ask: (domain: string) => Promise<NamedTechnology[] | null>,
): Promise<Stack | null> {
  const technologies = domain === null ? null : await ask(domain);
  if (technologies === null) return null;
  const names = technologies.map(({ name }) => name);
  const first = (find: (name: string) => string | null) => names.map(find).find((system) => system !== null) ?? null;
  // What names a system stands first, so that the cut at twenty does not lose it.
  const telling = (name: string) => (erpOfTechnology(name) ?? crmOfTechnology(name)) !== null;
  names.sort((a, b) => Number(telling(b)) - Number(telling(a)));
  return { erp: first(erpOfTechnology), crm: first(crmOfTechnology), names };
}

async function fromPostings(ask: () => Promise<string[] | null>): Promise<Stack | null> {
  const texts = await ask();
  const mention = texts === null ? null : erpOfPostings(texts);
  return mention === null ? null : { erp: mention.system, crm: null, names: [mention.system] };
}

function united(known: unknown, found: readonly string[]): string[] {
  const before = Array.isArray(known) ? known.filter((name): name is string => typeof name === "string") : [];
  return [...new Set([...before, ...found])].slice(0, MAX_TECHNOLOGIES);
}

const NAMELESS = "no_name_server";
const MAY_BE_NAMELESS = new Set(["EAI_AGAIN", "timeout"]);

/** Home pages of companies, each visited once in a batch. */
class SiteVisits {
  readonly counts = { visited: 0, failed: 0 };
  private readonly ctx: Context;
  private readonly web: Web;
  private readonly dns: Dns;
  private readonly allowPrivate: boolean;
  private readonly known = new Map<string, Promise<Tried>>();
  /** No name server answers: names are not tried for the rest of the batch, each of which would take many seconds. */
  private nameless = false;

  constructor(ctx: Context, { web, dns, allowPrivate }: { web: Web; dns: Dns; allowPrivate: boolean }) {
    this.ctx = ctx;
    this.web = web;
    this.dns = dns;
    this.allowPrivate = allowPrivate;
  }

  stackOf(record: AnyRecord, { domain }: CompanyQuery): Promise<Tried> {
    const url = homePage(record.website);
    if (url === null || domain === null) return Promise.resolve({ reason: "no website" });
    const visit = this.known.get(url) ?? this.visit(url);
    this.known.set(url, visit);
    return visit;
  }

  private async visit(url: string): Promise<Tried> {
    const host = new URL(url).hostname.replace(/^\[|\]$/g, "");
    const tried = await this.ctx.step<Tried>(["site", url], async () => {
      if (this.nameless && isIP(host) === 0) return { reason: NAMELESS };
      if (!this.allowPrivate && (await privateAddressIn(host))) return { reason: "private address" };
      try {
        const { text, headers } = await this.web.get(url);
        return stackOfPage(text, headers);
      } catch (error) {
        // What is wrong with a site is no fault of the record; what is wrong with us is.
        if (error instanceof PageError) {
          if (!MAY_BE_NAMELESS.has(error.code) || isIP(host) !== 0 || !(await this.isCutOff()))
            return { reason: error.code };
          return { reason: NAMELESS };
        }
        if (error instanceof TenutoError && error.code === "circuit_open") return { reason: error.code };
        throw error;
      }
    });
    if ("reason" in tried) this.counts.failed++;
    else this.counts.visited++;
    return tried;
  }

  private async isCutOff(): Promise<boolean> {
    if (this.nameless || !(await this.dns.cutOff())) return this.nameless;
    this.nameless = true;
    this.ctx.log.warn("no name server answers: the other sites of this batch are not visited");
    return true;
  }
}

function stackOfPage(html: string, headers: readonly (readonly [string, string])[]): Tried {
  const found = detectTechnologies({ html, headers }, TECH_RULES).filter(
    ({ confidence }) => confidence >= MIN_CONFIDENCE,
  );
  if (found.length === 0) return { reason: "nothing recognised" };
  const business = (wanted: "erp" | "crm") => found.find(({ category }) => category === wanted)?.family ?? null;
  const order = (category: string) => (category === "erp" ? 0 : category === "crm" ? 1 : 2);
  const names = [...found].sort((a, b) => order(a.category) - order(b.category)).map(({ name }) => name);
  return { erp: business("erp"), crm: business("crm"), names };
}

/** The first page of a company's site. A page below it may belong to somebody else's. */
function homePage(website: unknown): string | null {
  if (typeof website !== "string" || website.trim() === "") return null;
  const url = URL.parse(/^https?:\/\//i.test(website) ? website : `https://${website}`);
  return url === null ? null : `${url.origin}/`;
}
