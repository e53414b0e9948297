/** Records that came as data, brought into the fields of a schema by the same parsers as text. */
import type { Fields, FieldValues } from "../field-values.ts";
import { PARSERS } from "../parsers.ts";
import { regionOf } from "../places.ts";
import type { Schema } from "../schema.ts";
import type { DataRecord } from "./embedded.ts";

/** The fields of a schema that the data fills. */
export function dataFields(record: DataRecord, schema: Schema, pageUrl: string): FieldValues {
  const fields: Fields = {};
  const sources: Record<string, string> = {};
  const region = record.country === undefined ? undefined : (regionOf(record.country) ?? undefined);
  for (const field of schema.fields) {
    const text = record[field.name];
    const value = text === undefined ? null : PARSERS[field.parser]!(text, { pageUrl, region });
    fields[field.name] = value ?? field.default;
    if (value !== null) sources[field.name] = "data";
    else if (field.default !== null) sources[field.name] = "default";
  }
  return { fields, sources };
}

/** Takes over what is open in `target`. */
export function fillByName(target: FieldValues, data: FieldValues): void {
  for (const [name, value] of Object.entries(data.fields)) {
    const open = (target.fields[name] ?? null) === null || target.sources[name] === "default";
    if (!open || value === null || data.sources[name] === "default") continue;
    target.fields[name] = value;
    target.sources[name] = "data";
  }
}
