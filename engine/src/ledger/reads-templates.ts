/** Reads of templates and their versions. */
import { type TemplateRow, type TemplateVersionRow, templateVersionId } from "../core/templates.ts";
import type { TemplateReads } from "../ports/templates.ts";
import { PeopleReader } from "./reads-people.ts";
import { RECORD_SQL } from "./records.ts";

export abstract class TemplateReader extends PeopleReader implements TemplateReads {
  async template(name: string): Promise<TemplateRow | null> {
    return await this.one<TemplateRow>(RECORD_SQL.template.get, name);
  }

  async templates(): Promise<TemplateRow[]> {
    return await this.many<TemplateRow>(`${RECORD_SQL.template.select} WHERE removed_at IS NULL ORDER BY id`);
  }

  async templateVersion(name: string, number: number): Promise<TemplateVersionRow | null> {
    return await this.one<TemplateVersionRow>(RECORD_SQL.template_version.get, templateVersionId(name, number));
  }

  async templateVersions(name: string): Promise<Omit<TemplateVersionRow, "document">[]> {
    return await this.many(
      "SELECT id, template, number, version, note, at FROM template_version WHERE template = ? ORDER BY number DESC",
      name,
    );
  }
}
