/** What providers are asked about: the company behind a record. */
import { isEmpty } from "../matching/merge.ts";
import { bareHost, isSocial } from "../url.ts";

export interface CompanyQuery {
  name: string | null;
  /** Host in lower case without `www.`. */
  domain: string | null;
  city: string | null;
  state: string | null;
}

export type EnrichableRecord = { readonly [field: string]: unknown };

/** The company of a record; null when there is neither name nor domain to ask by. */
export function companyQuery(record: EnrichableRecord): CompanyQuery | null {
  const text = (value: unknown) => (typeof value === "string" && value.trim() !== "" ? value.trim() : null);
  const name = text(record.company_name);
  const domain = domainOf(text(record.website) ?? text(record.domain));
  return name === null && domain === null ? null : { name, domain, city: text(record.city), state: text(record.state) };
}

function domainOf(website: string | null): string | null {
  if (website === null) return null;
  const url = URL.parse(/^https?:\/\//i.test(website) ? website : `https://${website}`);
  if (url === null || !url.hostname.includes(".") || isSocial(url.href)) return null;
  return bareHost(url.hostname);
}

/** The same company for the same identity: asked about once in a batch. */
export function identityOf({ name, domain, city, state }: CompanyQuery): string {
  return (
    domain ??
    [name, city, state]
      .map((part) => part ?? "")
      .join("|")
      .toLowerCase()
  );
}

/** The record with what was found laid over it. What was not found (null, empty) overwrites nothing. */
export function laidOver(record: EnrichableRecord, found: EnrichableRecord): EnrichableRecord {
  return { ...record, ...Object.fromEntries(Object.entries(found).filter(([, value]) => !isEmpty(value))) };
}

/** The record with what an agent found, from which source, and when; or why there is nothing. */
export function enriched(
  record: EnrichableRecord,
  {
    agent,
    found,
    source,
    at,
    reason,
  }: { agent: string; found: EnrichableRecord; source: string | null; at: string; reason?: string },
): EnrichableRecord {
  const fields = Object.keys(found).filter((field) => !isEmpty(found[field]));
  const history = (record.enrichment ?? {}) as Record<string, unknown>;
  const enrichment = { ...history, [agent]: source === null ? { source, at, reason } : { source, at, fields } };
  if (source === null) return { ...record, enrichment };
  const known = Array.isArray(record.data_sources) ? (record.data_sources as unknown[]) : associationSource(record);
  const data_sources = known.includes(source) ? known : [...known, source];
  return { ...laidOver(record, found), data_sources, enriched_at: at, enrichment };
}

function associationSource(record: EnrichableRecord): string[] {
  return isEmpty(record.association) && isEmpty(record.associations) ? [] : ["association"];
}
