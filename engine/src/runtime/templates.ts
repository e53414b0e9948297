/**
 * Templates: pipelines kept in the ledger under a name, pushed, read and started by whoever has the ledger, without a file.
 *
 * Invariants: (1) what is pushed can run: it is checked as a file is; (2) a start runs the version that was the present one
 * when it was asked for, or the one that was named; a run keeps it; (3) a template holds data only, so its agents must be
 * known to whoever works on its runs.
 */
import type { PipelineDocument } from "../core/document.ts";
import { TenutoError } from "../core/errors.ts";
import type { Json } from "../core/model.ts";
import { suggest } from "../core/names.ts";
import { canonicalJson, definitionError, validateDocument } from "../core/pipeline.ts";
import {
  type Pushed,
  pushTemplate,
  removeTemplate,
  type TemplateRow,
  type TemplateVersionRow,
} from "../core/templates.ts";
import type { KnownPipeline, Parts } from "./parts.ts";

/** A template as it is, or was in one of its versions. */
export interface Template {
  name: string;
  number: number;
  /** Hash of the document. */
  version: string;
  document: PipelineDocument;
  note: string | null;
  /** When this version was pushed. */
  at: number;
  /** Whether this is the version that a start takes. */
  present: boolean;
  schedules: number;
}

const NOTE_MAX = 1_000;

export class Templates {
  private readonly parts: Parts;
  private readonly cwd: string;

  constructor(parts: Parts, cwd: string) {
    this.parts = parts;
    this.cwd = cwd;
  }

  /** Makes the document the present version of the template of its name. @throws invalid_definition, invalid_input */
  async push(document: PipelineDocument, options: { note?: string } = {}): Promise<Pushed> {
    const problems = validateDocument(document);
    if (problems.length > 0) throw definitionError(problems, `template ${String(document?.name).slice(0, 100)}`);
    const { name, kind, description, stages } = document;
    if (kind !== "graph")
      throw new TenutoError("invalid_input", `pipeline ${name} is code, which no ledger can keep`, {
        hint: "Push a pipeline of stages and jobs; the function itself can be one of its agents.",
      });
    const { note = null } = options;
    if (note !== null && (typeof note !== "string" || note.length > NOTE_MAX))
      throw new TenutoError("invalid_input", `a note is a text of at most ${NOTE_MAX} characters`);
    const text = canonicalJson(document as unknown as Json);
    return await this.parts.ledger.apply(
      pushTemplate({
        name,
        version: this.parts.hash(text),
        document: JSON.stringify(document),
        description: description ?? null,
        stages: stages.length,
        jobs: stages.reduce((sum, stage) => sum + stage.jobs.length, 0),
        note,
      }),
    );
  }

  /** All templates, by name. */
  async list(): Promise<TemplateRow[]> {
    return await this.parts.ledger.templates();
  }

  /** The present version of a template, or that of a number. @throws not_found */
  async show(name: string, number?: number): Promise<Template> {
    const row = await this.row(name);
    const version = await this.parts.ledger.templateVersion(name, number ?? row.number);
    if (version === null)
      throw new TenutoError("not_found", `template ${name} has no version ${number}`, {
        hint: row.number === 1 ? "It has only version 1." : `It has versions 1 to ${row.number}.`,
      });
    return {
      name,
      number: version.number,
      version: version.version,
      document: JSON.parse(version.document) as PipelineDocument,
      note: version.note,
      at: version.at,
      present: version.number === row.number,
      schedules: row.schedules,
    };
  }

  /** The newest first. @throws not_found */
  async versions(name: string): Promise<Omit<TemplateVersionRow, "document">[]> {
    await this.row(name);
    return await this.parts.ledger.templateVersions(name);
  }

  /** Takes the name away; runs that began with it go on. @throws not_found, conflict while schedules start it */
  async remove(name: string): Promise<TemplateRow> {
    const row = await this.row(name);
    try {
      return await this.parts.ledger.apply(removeTemplate(name));
    } catch (error) {
      if (!(error instanceof TenutoError) || error.code !== "conflict") throw error;
      const names = (await this.parts.ledger.schedules({ pipeline: name })).map((schedule) => schedule.id);
      throw new TenutoError("conflict", error.message, {
        hint: `Remove first: ${names.map((schedule) => `tenuto schedules remove ${schedule}`).join(", ")}.`,
        details: { template: row.id, schedules: names },
      });
    }
  }

  /** As a pipeline that can be started here; null if there is no such template. @throws not_found for its version */
  async known(name: string, number?: number): Promise<KnownPipeline | null> {
    const row = await this.parts.ledger.template(name);
    if (row === null || row.removedAt !== null) return null;
    const { document, version } = await this.show(name, number);
    return { document, version, agents: [], folder: this.cwd };
  }

  private async row(name: string): Promise<TemplateRow> {
    const row = await this.parts.ledger.template(name);
    if (row !== null && row.removedAt === null) return row;
    const names = (await this.list()).map((one) => one.id);
    throw new TenutoError("not_found", `there is no template ${JSON.stringify(name)}`, {
      hint: names.length === 0 ? "None is stored: `tenuto templates push FILE`." : suggest(name, names, "template"),
    });
  }
}
