/** Port: reads of templates. Writes are changes, as everywhere. */
import type { TemplateRow, TemplateVersionRow } from "../core/templates.ts";

export interface TemplateReads {
  /** By name; also one that was removed. */
  template(name: string): Promise<TemplateRow | null>;
  /** By name, without those that were removed. */
  templates(): Promise<TemplateRow[]>;
  templateVersion(name: string, number: number): Promise<TemplateVersionRow | null>;
  /** The newest first, without their documents. */
  templateVersions(name: string): Promise<Omit<TemplateVersionRow, "document">[]>;
}
