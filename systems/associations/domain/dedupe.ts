/**
 * One record for each member of one association.
 *
 * The same member when the member ids agree, else the profile addresses or the members' own pages, else the names, provided that
 * nothing known about their place or phone disagrees: members appear in several districts, but two companies of one name in two cities are two companies.
 */
import { urlKey } from "./url.ts";

export type RecordLike = { [field: string]: unknown };

export interface Deduplicated<T> {
  records: T[];
  /** Records that went into another one. */
  merged: number;
}

const PLACE = ["street", "city", "state", "postal_code", "phone"];

/** The records in order of first appearance; later ones fill the gaps of the first. */
export function dedupeRecords<T extends RecordLike>(records: Iterable<T>): Deduplicated<T> {
  const kept: T[] = [];
  const byId = new Map<string, number>();
  const byName = new Map<string, number[]>();
  let merged = 0;
  for (const record of records) {
    const id = identity(record);
    const name = comparableName(record.company_name);
    const sameName = byName.get(name) ?? [];
    const known = id === null ? undefined : byId.get(id);
    const at = known ?? sameName.find((index) => isSame(kept[index]!, record));
    if (at === undefined) {
      if (id !== null) byId.set(id, kept.length);
      byName.set(name, [...sameName, kept.length]);
      kept.push({ ...record });
    } else {
      fillGaps(kept[at]!, record);
      if (id !== null) byId.set(id, at);
      merged++;
    }
  }
  return { records: kept, merged };
}

function identity(record: RecordLike): string | null {
  if (typeof record.member_id === "string" && record.member_id !== "") return `id ${record.member_id}`;
  if (typeof record.profile_url === "string" && record.profile_url !== "") return `url ${urlKey(record.profile_url)}`;
  // A member that has a page of its own is that page.
  if (isDetail(record) && typeof record.source_url === "string") return `url ${urlKey(record.source_url)}`;
  return null;
}

function isDetail(record: RecordLike): boolean {
  const provenance = record.provenance as { page_type?: unknown } | null | undefined;
  return provenance?.page_type === "MEMBER_DETAIL";
}

/** Same name is given; only ids or places that contradict each other keep them apart. */
function isSame(left: RecordLike, right: RecordLike): boolean {
  const ids = [identity(left), identity(right)];
  if (ids[0] !== null && ids[1] !== null) return ids[0] === ids[1];
  return PLACE.every((field) => {
    const [a, b] = [comparable(left[field]), comparable(right[field])];
    return a === "" || b === "" || a === b;
  });
}

function fillGaps(target: RecordLike, source: RecordLike): void {
  for (const [field, value] of Object.entries(source)) {
    if (isEmpty(target[field]) && !isEmpty(value)) target[field] = value;
  }
}

function isEmpty(value: unknown): boolean {
  return value === undefined || value === null || value === "";
}

function comparable(value: unknown): string {
  return isEmpty(value)
    ? ""
    : String(value)
        .toLowerCase()
        .replace(/[^\p{L}\p{N}]+/gu, "");
}

function comparableName(value: unknown): string {
  // A name of signs only must not meet every other such name.
  return comparable(value) || String(value);
}
