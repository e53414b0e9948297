/** The record that is stored for a member: the fields of the schema and where they come from. */
import type { Fields } from "./field-values.ts";

export interface Provenance {
  source_url: string;
  source_type: "web" | "pdf";
  extracted_at: string;
  extracted_by: string;
  association_code: string;
  /** The run. */
  job_id: string;
  page_type: string;
  schema: string;
  /** Share of the schema's fields that the page itself filled, 0 to 1. */
  confidence: number;
  /** Where each value stands: `selector .city`, `label phone`, `directory`, `default` … */
  fields: Record<string, string>;
}

export type MemberRecord = Fields & {
  source_url: string;
  association: string;
  extracted_at: string;
  provenance: Provenance;
};

/** The record of one member. */
export function memberRecord(fields: Fields, provenance: Provenance): MemberRecord {
  const { source_url, association_code, extracted_at } = provenance;
  return { ...fields, source_url, association: association_code, extracted_at, provenance } as MemberRecord;
}
