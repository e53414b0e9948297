/**
 * Rules of templates: pipelines that are kept in the ledger under a name, with every version that they ever had.
 *
 * Owner: core. Invariants: (1) a version is never changed; what is pushed again unchanged makes none; (2) numbers go up
 * without gaps, and a name that was removed goes on counting where it stopped; (3) a template that a schedule starts can't
 * be removed: the schedules of a template are counted in its own row, in the transactions that add and remove them.
 */
import type { Effect, Verdict } from "./decision.ts";
import { reject } from "./decision.ts";

/** A name and its present version. */
export interface TemplateRow {
  /** The pipeline's name. */
  id: string;
  /** Number of the present version, from 1. */
  number: number;
  /** Hash of its document. */
  version: string;
  description: string | null;
  stages: number;
  jobs: number;
  /** Schedules that start it. */
  schedules: number;
  createdAt: number;
  updatedAt: number;
  /** When it was removed; its versions stay, since runs may name them. */
  removedAt: number | null;
}

/** One version of a template, as it was pushed. */
export interface TemplateVersionRow {
  /** `<name>@<number>`. */
  id: string;
  template: string;
  number: number;
  version: string;
  /** JSON of the PipelineDocument. */
  document: string;
  note: string | null;
  at: number;
}

export const templateVersionId = (name: string, number: number): string => `${name}@${number}`;

export interface Push {
  name: string;
  version: string;
  document: string;
  description: string | null;
  stages: number;
  jobs: number;
  note: string | null;
}

export interface Pushed {
  name: string;
  number: number;
  version: string;
  /** False if the present version is the same. */
  changed: boolean;
}

interface TemplateSlice {
  records: readonly (TemplateRow | null)[];
}

/** Makes the next version, unless nothing has changed. */
export const pushTemplate = (push: Push) => ({
  select: { kind: "records" as const, of: [{ table: "template" as const, id: push.name }] },
  decide: (slice: TemplateSlice, at: number): Verdict<Pushed> => {
    const { name, version, document, note, description, stages, jobs } = push;
    const [before = null] = slice.records;
    if (before !== null && before.removedAt === null && before.version === version)
      return { ok: true, result: { name, number: before.number, version, changed: false } };
    const number = (before?.number ?? 0) + 1;
    const row: TemplateRow = {
      id: name,
      number,
      version,
      description,
      stages,
      jobs,
      schedules: before?.schedules ?? 0,
      createdAt: before?.createdAt ?? at,
      updatedAt: at,
      removedAt: null,
    };
    const made: TemplateVersionRow = {
      id: templateVersionId(name, number),
      template: name,
      number,
      version,
      document,
      note,
      at,
    };
    const effects: Effect[] = [
      { type: "put", table: "template", row },
      { type: "put", table: "template_version", row: made },
    ];
    return { ok: true, effects, result: { name, number, version, changed: true } };
  },
});

/** Takes the name away. Refused while schedules start it. */
export const removeTemplate = (name: string) => ({
  select: { kind: "records" as const, of: [{ table: "template" as const, id: name }] },
  decide: (slice: TemplateSlice, at: number): Verdict<TemplateRow> => {
    const [row = null] = slice.records;
    if (row === null || row.removedAt !== null) return reject("not_found", `there is no template "${name}"`);
    if (row.schedules > 0)
      return reject(
        "conflict",
        `template ${name} is started by ${row.schedules === 1 ? "a schedule" : `${row.schedules} schedules`}`,
        { template: name, schedules: row.schedules },
      );
    const removed = { ...row, removedAt: at };
    return { ok: true, effects: [{ type: "put", table: "template", row: removed }], result: removed };
  },
});
