/**
 * Rules of schedules: when a pipeline is started by itself, and what becomes of times that passed unattended.
 *
 * Owner: core. Invariants: (1) each nominal time of a schedule is settled once, in order: `cursor` is the last one, and only
 * moves forward, by compare-and-set; (2) a run that a schedule starts carries an idempotency key made of the schedule's name
 * and the nominal time, so that several processes, or one that died between start and settling, start it once; (3) a time
 * that passed without a run is counted, never forgotten in silence; (4) no cron and no clock here: times come in.
 */
import type { Effect, Verdict } from "./decision.ts";
import { reject } from "./decision.ts";
import type { Priority } from "./model.ts";
import type { TemplateRow } from "./templates.ts";

/** What becomes of times at which nobody was there to start a run: nothing, the newest only, or all up to the cap. */
export type MissedPolicy = "skip" | "last" | "all";
export const MISSED_POLICIES: readonly MissedPolicy[] = ["skip", "last", "all"];

export interface ScheduleRow {
  /** Its name. */
  id: string;
  /** Name of the pipeline or template that it starts. */
  pipeline: string;
  /** 1 if that is a template of the ledger. */
  template: 0 | 1;
  cron: string;
  /** IANA name of the time zone that the expression is read in. */
  zone: string;
  /** JSON. */
  params: string;
  /** JSON of an Exclusion, for templates. */
  excluded: string | null;
  priority: Priority | null;
  missed: MissedPolicy;
  /** With `all`: at most this many missed times are made up for, the newest. */
  cap: number;
  enabled: 0 | 1;
  /** The last nominal time that is settled; before the first one, when the schedule began. */
  cursor: number;
  /** The next nominal time; null while it is disabled or when there is none. */
  nextAt: number | null;
  fired: number;
  /** Times that passed without a run. */
  passed: number;
  /** The last nominal time with a run, and the run. */
  lastAt: number | null;
  lastRun: string | null;
  /** JSON of a StoredError: why the last time that came up had no run. */
  lastError: string | null;
  createdAt: number;
  updatedAt: number;
}

/** A time that is this late was missed; a little less is only a busy engine. */
export const LATE_MS = 60_000;
export const DEFAULT_CAP = 100;
export const MAX_CAP = 1_000;

export const scheduleKey = (name: string, nominal: number): string =>
  `schedule:${name}:${new Date(nominal).toISOString()}`;

/** What `nominals`, the times that have come since the cursor, oldest first, lead to. */
export function settleTimes(
  row: Pick<ScheduleRow, "missed" | "cap">,
  nominals: readonly number[],
  now: number,
): { fire: number[]; passed: number } {
  const late = nominals.filter((nominal) => now - nominal > LATE_MS);
  const punctual = nominals.slice(late.length);
  const again =
    row.missed === "all" ? late.slice(-row.cap) : row.missed === "last" && punctual.length === 0 ? late.slice(-1) : [];
  return { fire: [...again, ...punctual], passed: late.length - again.length };
}

/** What is given for a schedule; the rest follows. */
export type ScheduleSettings = Pick<
  ScheduleRow,
  "id" | "pipeline" | "template" | "cron" | "zone" | "params" | "excluded" | "priority" | "missed" | "cap" | "enabled"
>;

const named = (schedule: string, template: string) => ({
  kind: "records" as const,
  of: [
    { table: "schedule" as const, id: schedule },
    { table: "template" as const, id: template },
  ],
});

interface ScheduleSlice {
  records: readonly (ScheduleRow | TemplateRow | null)[];
}

const rowsOf = (slice: ScheduleSlice) => slice.records as readonly [ScheduleRow | null, TemplateRow | null];

/** Makes a schedule; it begins now. `nextAt` is its first time. */
export const addSchedule = (settings: ScheduleSettings, nextAt: number) => ({
  select: named(settings.id, settings.pipeline),
  decide: (slice: ScheduleSlice, at: number): Verdict<ScheduleRow> => {
    const [before, template] = rowsOf(slice);
    if (before !== null)
      return reject(
        "conflict",
        `there is a schedule "${settings.id}" already: remove it first, or give this one another name`,
      );
    if (settings.template === 1 && (template === null || template.removedAt !== null))
      return reject("not_found", `there is no template "${settings.pipeline}"`);
    const row: ScheduleRow = {
      ...settings,
      cursor: Math.min(at, nextAt - 1),
      nextAt: settings.enabled === 1 ? nextAt : null,
      fired: 0,
      passed: 0,
      lastAt: null,
      lastRun: null,
      lastError: null,
      createdAt: at,
      updatedAt: at,
    };
    return {
      ok: true,
      effects: [{ type: "put", table: "schedule", row }, ...counted(settings, template, 1)],
      result: row,
    };
  },
});

function counted(row: Pick<ScheduleRow, "template">, template: TemplateRow | null, by: 1 | -1): Effect[] {
  if (row.template === 0 || template === null) return [];
  return [{ type: "put", table: "template", row: { ...template, schedules: Math.max(0, template.schedules + by) } }];
}

/** `template`: what the schedule starts, as it was read. */
export const removeSchedule = (name: string, template: string) => ({
  select: named(name, template),
  decide: (slice: ScheduleSlice): Verdict<ScheduleRow> => {
    const [row, used] = rowsOf(slice);
    if (row === null) return reject("not_found", `there is no schedule "${name}"`);
    if (row.pipeline !== template) return reject("conflict", `schedule ${name} was changed meanwhile`);
    return {
      ok: true,
      effects: [{ type: "drop", table: "schedule", id: name }, ...counted(row, used, -1)],
      result: row,
    };
  },
});

const one = <R>(name: string, rule: (row: ScheduleRow, at: number) => Verdict<R>) => ({
  select: { kind: "records" as const, of: [{ table: "schedule" as const, id: name }] },
  decide: (slice: { records: readonly (ScheduleRow | null)[] }, at: number): Verdict<R> => {
    const [row = null] = slice.records;
    return row === null ? reject("not_found", `there is no schedule "${name}"`) : rule(row, at);
  },
});

const put = (row: ScheduleRow): Verdict<ScheduleRow> => ({
  ok: true,
  effects: [{ type: "put", table: "schedule", row }],
  result: row,
});

/** A schedule that is enabled begins anew: what came while it was disabled was not missed. */
export const enableSchedule = (name: string, nextAt: number) =>
  one(name, (row, at) =>
    row.enabled === 1
      ? { ok: true, result: row }
      : put({ ...row, enabled: 1, cursor: Math.min(Math.max(row.cursor, at), nextAt - 1), nextAt, updatedAt: at }),
  );

export const disableSchedule = (name: string) =>
  one(name, (row, at) =>
    row.enabled === 0 ? { ok: true, result: row } : put({ ...row, enabled: 0, nextAt: null, updatedAt: at }),
  );

/** What became of the times after `from` up to `to`. */
export interface Settled {
  from: number;
  to: number;
  nextAt: number | null;
  passed: number;
  /** The run that `to` led to; null if it has none. */
  run: string | null;
  /** JSON of a StoredError. */
  error: string | null;
}

/** Moves the cursor; false if another process was faster, or the schedule is disabled. */
export const settleSchedule = (name: string, settled: Settled) =>
  one(name, (row, at): Verdict<boolean> => {
    if (row.cursor !== settled.from || row.enabled === 0) return { ok: true, result: false };
    const { to, nextAt, run, error } = settled;
    const next: ScheduleRow = {
      ...row,
      cursor: to,
      nextAt,
      passed: row.passed + settled.passed,
      fired: row.fired + (run === null ? 0 : 1),
      lastAt: run === null ? row.lastAt : to,
      lastRun: run ?? row.lastRun,
      lastError: run === null ? (error ?? row.lastError) : null,
      updatedAt: at,
    };
    return { ok: true, effects: [{ type: "put", table: "schedule", row: next }], result: true };
  });
