/**
 * One record out of several that are the same, and where each value of it came from.
 *
 * 1. The first record is the base: what it says stays. Fields that are empty, or hold a schema's default, are filled from the others, in
 *    their order.
 * 2. Lists of people and technologies are united; of counts and scores the larger is kept; `associations` is the sorted union.
 * 3. Nothing is invented: every value stood in one of the records. What another record said differently is kept in `merge_conflicts`.
 * 4. The records themselves are not changed.
 */

export type MergeableRecord = { readonly [field: string]: unknown };

export interface MergedFacts {
  merged_at: string;
  /** Records that went into this one. */
  merged_from_count: number;
  /** Number of the group, as in the list of groups. */
  duplicate_group: string;
  /** What the records were, in order; the first two hundred. */
  merged_from: RecordSource[];
  /** For fields that do not come from the base alone: the numbers in `merged_from` of those they come from. */
  merged_fields: Record<string, number[]>;
  /** Other values that were found for a field, each once. */
  merge_conflicts: Record<string, unknown[]>;
}

export interface RecordSource {
  association: string | null;
  source_url: string | null;
  company_name: string | null;
}

const UNITED = new Set(["contacts", "tech_stack", "data_sources", "specialties", "capabilities", "certifications"]);
const LARGER = /^(?:employee_count|employees|revenue|quality_score|validation_score)/;
/** Describe one record, not the company. */
const OF_THE_RECORD = new Set([
  "source_url",
  "association",
  "extracted_at",
  "provenance",
  "member_id",
  "profile_url",
  "enriched_at",
  "enrichment",
  "firmographic_source",
  "tech_source",
  "last_verified_at",
  "validation",
  "_meta",
]);
const MAX_CONFLICTS = 10;
const MAX_SOURCES = 200;

/** The records in order as one. A single record comes out as it is, with its `associations`. */
export function mergeRecords<T extends MergeableRecord>(
  records: readonly T[],
  facts: { mergedAt: string; group: string },
): MergeableRecord {
  const [base, ...others] = records;
  if (base === undefined) return {};
  const associations = associationsOf(records);
  if (others.length === 0) return associations.length === 0 ? { ...base } : { ...base, associations };
  const merged: Record<string, unknown> = { ...base };
  const fields: Record<string, number[]> = {};
  const conflicts: Record<string, unknown[]> = {};
  others.forEach((other, index) => {
    for (const [field, value] of Object.entries(other)) {
      if (field === "associations" || isEmpty(value)) continue;
      // A default of another record is no news where there is a value.
      if (isDefault(other, field) && !isEmpty(merged[field])) continue;
      takeValue({ merged, fields, conflicts, field, value, from: index + 1 });
    }
  });
  const added: MergedFacts = {
    merged_at: facts.mergedAt,
    merged_from_count: records.length,
    duplicate_group: facts.group,
    merged_from: records.slice(0, MAX_SOURCES).map(sourceOf),
    merged_fields: fields,
    merge_conflicts: conflicts,
  };
  return { ...merged, ...(associations.length === 0 ? {} : { associations }), ...added };
}

interface Taking {
  merged: Record<string, unknown>;
  fields: Record<string, number[]>;
  conflicts: Record<string, unknown[]>;
  field: string;
  value: unknown;
  from: number;
}

function takeValue({ merged, fields, conflicts, field, value, from }: Taking): void {
  const own = merged[field];
  if (isEmpty(own) || (isDefault(merged, field) && !fields[field])) {
    merged[field] = value;
    fields[field] = [from];
    return;
  }
  if (OF_THE_RECORD.has(field) || same(own, value)) return;
  if (UNITED.has(field) && Array.isArray(own) && Array.isArray(value)) {
    const united = unite(own, value);
    if (united.length === own.length) return;
    merged[field] = united;
    fields[field] = [...(fields[field] ?? [0]), from];
    return;
  }
  if (LARGER.test(field) && typeof own === "number" && typeof value === "number") {
    if (value > own) {
      merged[field] = value;
      fields[field] = [from];
    }
    return;
  }
  const others = (conflicts[field] ??= []);
  if (others.length < MAX_CONFLICTS && !others.some((known) => same(known, value))) others.push(value);
}

/** True for a value that no page said: the schema filled it in. */
function isDefault({ provenance }: MergeableRecord, field: string): boolean {
  const said = (provenance as { fields?: Record<string, unknown> } | null | undefined)?.fields;
  return said?.[field] === "default";
}

/** Both lists, each element once: people by mail address, else by name; others by their value. */
function unite(own: readonly unknown[], more: readonly unknown[]): unknown[] {
  const known = new Set(own.map(identity));
  return [...own, ...more.filter((element) => !known.has(identity(element)) && known.add(identity(element)))];
}

function identity(element: unknown): string {
  if (element === null || typeof element !== "object") return String(element).trim().toLowerCase();
  const { email, name } = element as { email?: unknown; name?: unknown };
  const key = [email, name].find((part) => typeof part === "string" && part.trim() !== "");
  return key === undefined ? JSON.stringify(element) : `person ${String(key).trim().toLowerCase()}`;
}

function associationsOf(records: readonly MergeableRecord[]): string[] {
  const all = records.flatMap(({ association, associations }) => [
    ...(Array.isArray(associations) ? associations : []),
    association,
  ]);
  return [...new Set(all.filter((code): code is string => typeof code === "string" && code !== ""))].sort();
}

function sourceOf(record: MergeableRecord): RecordSource {
  const text = (value: unknown) => (typeof value === "string" && value !== "" ? value : null);
  return {
    association: text(record.association),
    source_url: text(record.source_url),
    company_name: text(record.company_name),
  };
}

function same(one: unknown, two: unknown): boolean {
  if (typeof one === "string" && typeof two === "string") return one.trim().toLowerCase() === two.trim().toLowerCase();
  return one === two || JSON.stringify(one) === JSON.stringify(two);
}

/** Nothing there: absent, empty text, empty list. */
export function isEmpty(value: unknown): boolean {
  if (value === undefined || value === null) return true;
  if (typeof value === "string") return value.trim() === "";
  return Array.isArray(value) && value.length === 0;
}
