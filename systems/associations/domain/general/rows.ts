/**
 * Data that names no fields: `["Acme Inc.", 40.1, -83.2, "Dayton, OH", "937 …"]`, as maps and tables of scripts have it.
 *
 * A column is what its texts look like in most rows. Invariant: rows that do not agree on their columns give nothing.
 */

import type { Page } from "../page.ts";
import { cleanText } from "../page.ts";
import { emailIn } from "../parsers.ts";
import { regionOfPage } from "../regions.ts";
import type { DataRecord } from "./embedded.ts";
import type { Kind } from "./kinds.ts";
import { kindOf } from "./kinds.ts";

const MIN_ROWS = 3;
const FIELDS: Partial<Record<Kind, string>> = {
  phone: "phone",
  email: "email",
  url: "website",
  place: "full_address",
  state: "state",
  postal: "postal_code",
  street: "street",
};

/** The records of a list of lists; empty for every other list. */
export function recordsOfRows(value: readonly unknown[], page: Page): DataRecord[] {
  const rows = value.filter((row): row is unknown[] => Array.isArray(row) && row.length >= 2 && row.every(isPlain));
  if (rows.length < MIN_ROWS || rows.length < value.length) return [];
  const width = Math.max(...rows.map((row) => row.length));
  const columns = Array.from({ length: width }, (_, at) => kindOfColumn(rows, at, page));
  const name = nameColumn(rows, columns);
  if (name < 0 || !columns.some((kind) => kind !== null && FIELDS[kind] !== undefined)) return [];
  return rows.flatMap((row) => {
    const company_name = textOf(row[name]);
    if (company_name === "") return [];
    const record: DataRecord = { company_name };
    row.forEach((cell, at) => {
      const field = at === name ? undefined : FIELDS[columns[at] ?? "words"];
      const text = textOf(cell);
      if (field !== undefined && text !== "") record[field] ??= field === "email" ? (emailIn(text) ?? "") : text;
    });
    return [record];
  });
}

const isPlain = (cell: unknown) => cell === null || ["string", "number", "boolean", "undefined"].includes(typeof cell);

function textOf(cell: unknown): string {
  return typeof cell === "string" ? cleanText(cell.replace(/<[^>]*>/g, " ").replace(/&amp;/g, "&")) : "";
}

/** What most of the texts in a column are; null where they differ or are numbers. */
function kindOfColumn(rows: readonly (readonly unknown[])[], at: number, page: Page): Kind | null {
  const region = regionOfPage(page);
  const texts = rows.map((row) => textOf(row[at])).filter((text) => text !== "");
  const counts = new Map<Kind, number>();
  for (const text of texts) counts.set(kindOf(text, region), (counts.get(kindOf(text, region)) ?? 0) + 1);
  const [kind, count] = [...counts].sort((a, b) => b[1] - a[1])[0] ?? [null, 0];
  return count * 2 > texts.length ? kind : null;
}

/** The first column of words that differ from row to row. */
function nameColumn(rows: readonly (readonly unknown[])[], columns: readonly (Kind | null)[]): number {
  return columns.findIndex((kind, at) => {
    const texts = rows.map((row) => textOf(row[at])).filter((text) => text !== "");
    return kind === "words" && texts.length >= rows.length * 0.9 && new Set(texts).size >= texts.length * 0.9;
  });
}
