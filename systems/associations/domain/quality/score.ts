/**
 * The quality of a record, 0 to 100, as the source document defines it: completeness 30 %, accuracy 40 %, freshness 15 %, sources 15 %.
 *
 * 1. Pure: the time comes in. The four parts are rounded nowhere, only their sum.
 * 2. What was not checked counts neither for nor against: `null` and absent are "not known", never "no".
 */
import { isEmpty } from "../matching/merge.ts";

export type ScoredRecord = { readonly [field: string]: unknown };

export type Grade = "A" | "B" | "C" | "D" | "F";
export const GRADES: readonly Grade[] = ["A", "B", "C", "D", "F"];

export interface Quality {
  score: number;
  grade: Grade;
  parts: { completeness: number; accuracy: number; freshness: number; sources: number };
}

/** What validation found out; null is "not known". */
export interface Findings {
  dns_valid?: boolean | null;
  places_match?: boolean | null;
  linkedin_valid?: boolean | null;
  validation_score?: number | null;
}

const REQUIRED = ["company_name", "website", "city", "state"];
const OPTIONAL = [
  "employee_count_min",
  "revenue_min_usd",
  "erp_system",
  "contacts",
  "year_founded",
  "naics_code",
  "industry",
  "phone",
  "email",
];

const SOURCE_SCORES: Readonly<Record<string, number>> = {
  clearbit: 95,
  sec_edgar: 95,
  zoominfo: 90,
  apollo: 85,
  builtwith: 80,
  wappalyzer: 80,
  hunter: 75,
  website: 70,
  website_fingerprint: 70,
  job_postings: 65,
  association: 60,
  unknown: 50,
};

const WEIGHTS = { completeness: 0.3, accuracy: 0.4, freshness: 0.15, sources: 0.15 };
const DAY_MS = 86_400_000;
/** Days up to which a record is worth so much. */
const FRESHNESS: readonly (readonly [days: number, score: number])[] = [
  [7, 100],
  [30, 90],
  [90, 75],
  [180, 60],
  [365, 40],
];

/** The quality of a record at a time. */
export function qualityOf(record: ScoredRecord, now: Date): Quality {
  const parts = {
    completeness: completeness(record),
    accuracy: accuracy(record),
    freshness: freshness(record, now),
    sources: sourceReliability(sourcesOf(record)),
  };
  const sum = Object.entries(WEIGHTS).reduce(
    (total, [part, weight]) => total + weight * parts[part as keyof typeof parts],
    0,
  );
  // 65.5 must not become 65 because 0.1 is no binary number.
  const score = clamp(Math.round(Number(sum.toFixed(6))));
  return { score, grade: gradeOf(score), parts };
}

/** A from 90 on, B from 80, C from 70, D from 60, else F. */
export function gradeOf(score: number): Grade {
  if (score >= 90) return "A";
  if (score >= 80) return "B";
  if (score >= 70) return "C";
  return score >= 60 ? "D" : "F";
}

/** Share of fields that are filled. */
export function completeness(record: ScoredRecord): number {
  const filled = (fields: readonly string[]) =>
    fields.filter((field) => !isEmpty(record[field])).length / fields.length;
  return 60 * filled(REQUIRED) + 40 * filled(OPTIONAL);
}

/** How far what was checked holds. */
export function accuracy(record: ScoredRecord): number {
  const findings = (record.validation ?? {}) as Findings;
  const base = adjusted(60, findings, { dns: 20, places: 15, placesMissing: 10, linkedin: 5 });
  return typeof findings.validation_score === "number" ? (base + findings.validation_score) / 2 : base;
}

/** The score of cross-referencing alone: 50, and what speaks for and against. */
export function validationScore(findings: Findings): number {
  return adjusted(50, findings, { dns: 20, places: 20, placesMissing: 10, linkedin: 10 });
}

interface Steps {
  dns: number;
  places: number;
  placesMissing: number;
  linkedin: number;
}

function adjusted(base: number, { dns_valid, places_match, linkedin_valid }: Findings, steps: Steps): number {
  let score = base;
  if (dns_valid === true) score += steps.dns;
  if (dns_valid === false) score -= steps.dns;
  if (places_match === true) score += steps.places;
  if (places_match === false) score -= steps.placesMissing;
  if (linkedin_valid === true) score += steps.linkedin;
  return clamp(score);
}

/** By the age of the latest time at which the record was extracted, enriched or verified. */
export function freshness(record: ScoredRecord, now: Date): number {
  const times = [record.last_verified_at, record.enriched_at, record.extracted_at]
    .map((value) => (typeof value === "string" ? Date.parse(value) : Number.NaN))
    .filter((time) => !Number.isNaN(time));
  if (times.length === 0) return 50;
  const days = (now.getTime() - Math.max(...times)) / DAY_MS;
  return FRESHNESS.find(([limit]) => days <= limit)?.[1] ?? 20;
}

/** Names of the sources of a record: `data_sources`, else what its fields say, else its association. */
export function sourcesOf(record: ScoredRecord): string[] {
  const listed = Array.isArray(record.data_sources) ? record.data_sources : [];
  const named = [record.firmographic_source, record.tech_source, isEmpty(record.association) ? null : "association"];
  const all = [...listed, ...named].filter((source): source is string => typeof source === "string" && source !== "");
  return [...new Set(all.map((source) => source.toLowerCase()))];
}

/** The mean of the sources' scores, and a little for having several. */
export function sourceReliability(sources: readonly string[]): number {
  const known = sources.length === 0 ? ["unknown"] : sources;
  const scores = known.map((source) => SOURCE_SCORES[source] ?? (SOURCE_SCORES.unknown as number));
  const mean = scores.reduce((sum, score) => sum + score, 0) / scores.length;
  return Math.min(100, mean + Math.min(10, 2 * known.length));
}

function clamp(score: number): number {
  return Math.min(100, Math.max(0, score));
}
