/**
 * What a set of scored records looks like, counted in one pass: nothing of the records is kept but counts.
 */
import { isEmpty } from "../matching/merge.ts";
import type { Grade, ScoredRecord } from "./score.ts";
import { GRADES, gradeOf } from "./score.ts";

export interface Summary {
  total_records: number;
  /** Of them, how many reach the minimum score. */
  passed: number;
  min_score: number;
  quality_distribution: Record<Grade, number>;
  average_quality_score: number | null;
  median_quality_score: number | null;
  /** Records by score, in steps of ten: 0–9, 10–19, …, 90–100. */
  score_histogram: number[];
  /** Share of records that have the field, 0 to 1. */
  field_completeness: Record<string, number>;
  /** The ten most frequent. */
  erp_distribution: Record<string, number>;
  associations: Record<string, number>;
  validation: { dns: Verdicts; places: Verdicts };
  issues: Record<string, number>;
  merged_records: number;
  generated_at: string;
}

export interface Verdicts {
  valid: number;
  invalid: number;
  unknown: number;
}

/** Fields whose presence is reported, in this order. */
export const REPORTED_FIELDS = [
  "company_name",
  "website",
  "phone",
  "email",
  "street",
  "city",
  "state",
  "postal_code",
  "employee_count_min",
  "revenue_min_usd",
  "year_founded",
  "naics_code",
  "industry",
  "erp_system",
  "crm_system",
  "tech_stack",
  "contacts",
] as const;

const MOST_LISTED = 10;

export class SummaryBuilder {
  private readonly minScore: number;
  private readonly scores = new Uint32Array(101);
  private readonly filled = new Map<string, number>(REPORTED_FIELDS.map((field) => [field, 0]));
  private readonly erp = new Map<string, number>();
  private readonly associations = new Map<string, number>();
  private readonly issues = new Map<string, number>();
  private readonly dns: Verdicts = { valid: 0, invalid: 0, unknown: 0 };
  private readonly places: Verdicts = { valid: 0, invalid: 0, unknown: 0 };
  private merged = 0;

  constructor(minScore: number) {
    this.minScore = minScore;
  }

  add(record: ScoredRecord): void {
    const score = typeof record.quality_score === "number" ? record.quality_score : 0;
    this.scores[Math.min(100, Math.max(0, Math.round(score)))]!++;
    for (const field of REPORTED_FIELDS) if (!isEmpty(record[field])) count(this.filled, field);
    if (typeof record.erp_system === "string" && record.erp_system !== "") count(this.erp, record.erp_system);
    for (const code of associationsOf(record)) count(this.associations, code);
    const validation = (record.validation ?? {}) as Record<string, unknown>;
    verdict(this.dns, validation.dns_valid);
    verdict(this.places, validation.places_match);
    if (Array.isArray(validation.issues)) for (const issue of validation.issues) count(this.issues, String(issue));
    if (typeof record.merged_from_count === "number" && record.merged_from_count > 1) this.merged++;
  }

  build(now: Date): Summary {
    const total = this.scores.reduce((sum, number) => sum + number, 0);
    const byGrade = Object.fromEntries(GRADES.map((grade) => [grade, 0])) as Record<Grade, number>;
    const histogram = new Array<number>(10).fill(0);
    let sum = 0;
    let passed = 0;
    this.scores.forEach((number, score) => {
      byGrade[gradeOf(score)] += number;
      histogram[Math.min(9, Math.floor(score / 10))]! += number;
      sum += number * score;
      if (score >= this.minScore) passed += number;
    });
    return {
      total_records: total,
      passed,
      min_score: this.minScore,
      quality_distribution: byGrade,
      average_quality_score: total === 0 ? null : round(sum / total, 1),
      median_quality_score: this.median(total),
      score_histogram: histogram,
      field_completeness: Object.fromEntries(
        [...this.filled].map(([field, number]) => [field, total === 0 ? 0 : round(number / total, 4)]),
      ),
      erp_distribution: mostFrequent(this.erp, MOST_LISTED),
      associations: Object.fromEntries([...this.associations].sort(([a], [b]) => (a < b ? -1 : 1))),
      validation: { dns: this.dns, places: this.places },
      issues: mostFrequent(this.issues, MOST_LISTED),
      merged_records: this.merged,
      generated_at: now.toISOString(),
    };
  }

  private median(total: number): number | null {
    if (total === 0) return null;
    const at = (rank: number) => {
      let seen = 0;
      return this.scores.findIndex((number) => (seen += number) > rank);
    };
    return (at(Math.floor((total - 1) / 2)) + at(Math.floor(total / 2))) / 2;
  }
}

function associationsOf(record: ScoredRecord): string[] {
  const all = Array.isArray(record.associations) ? record.associations : [record.association];
  return all.filter((code): code is string => typeof code === "string" && code !== "");
}

function verdict(verdicts: Verdicts, value: unknown): void {
  if (value === true) verdicts.valid++;
  else if (value === false) verdicts.invalid++;
  else verdicts.unknown++;
}

function count(counts: Map<string, number>, key: string): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}

function mostFrequent(counts: ReadonlyMap<string, number>, limit: number): Record<string, number> {
  return Object.fromEntries([...counts].sort(([a, m], [b, n]) => n - m || (a < b ? -1 : 1)).slice(0, limit));
}

function round(value: number, digits: number): number {
  return Number(value.toFixed(digits));
}
