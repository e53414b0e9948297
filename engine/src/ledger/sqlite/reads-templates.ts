/** Reads of templates and their versions. */
import { type TemplateRow, type TemplateVersionRow, templateVersionId } from "../../core/templates.ts";
import type { TemplateReads } from "../../ports/templates.ts";
import { SqlitePeople } from "./reads-people.ts";
import { RECORD_SQL } from "./records.ts";

export class SqliteTemplates extends SqlitePeople implements TemplateReads {
  async template(name: string): Promise<TemplateRow | null> {
    return this.one<TemplateRow>(RECORD_SQL.template.get, name);
  }

  async templates(): Promise<TemplateRow[]> {
    return this.many<TemplateRow>(`${RECORD_SQL.template.select} WHERE removed_at IS NULL ORDER BY id`);
  }

  async templateVersion(name: string, number: number): Promise<TemplateVersionRow | null> {
    return this.one<TemplateVersionRow>(RECORD_SQL.template_version.get, templateVersionId(name, number));
  }

  async templateVersions(name: string): Promise<Omit<TemplateVersionRow, "document">[]> {
    return this.many(
      "SELECT id, template, number, version, note, at FROM template_version WHERE template = ? ORDER BY number DESC",
      name,
    );
  }
}
