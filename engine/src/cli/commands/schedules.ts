/** `tenuto schedules add|list|show|next|trigger|enable|disable|remove`: what is started by itself. */
import { paramsFromText } from "../../authoring/params.ts";
import type { PipelineDocument } from "../../core/document.ts";
import type { Json, Priority } from "../../core/model.ts";
import type { MissedPolicy, ScheduleRow } from "../../core/scheduling.ts";
import type { Tenuto } from "../../open.ts";
import { time } from "../documents.ts";
import { EXIT, storedError } from "../failure.ts";
import { counted, parseCount, stamp } from "../figures.ts";
import type { Cli } from "../main.ts";
import { withLedger } from "../project.ts";
import { withProject } from "../stored.ts";
import { table } from "../table.ts";
import { oneLine } from "../terminal.ts";
import { type ExcludeOptions, exclusionOf, fileParams, textParams } from "./run.ts";

const TIMES_SHOWN = 5;
const RUNS_SHOWN = 10;

export interface AddOptions extends ExcludeOptions {
  cron: string;
  zone?: string;
  param: string[];
  params?: string;
  priority?: Priority;
  missed?: MissedPolicy;
  cap?: string;
  disabled?: boolean;
}

export async function schedulesAdd(cli: Cli, name: string, pipeline: string, options: AddOptions): Promise<number> {
  return await withProject(cli, async (tenuto) => {
    const texts = textParams(options.param);
    const document = await documentOf(tenuto, pipeline);
    const params: Record<string, Json> = {
      ...(await fileParams(cli, options.params)),
      ...(document === null ? texts : paramsFromText(document, texts)),
    };
    const exclude = exclusionOf(options);
    const row = await tenuto.schedules.add({
      name,
      pipeline,
      cron: options.cron,
      params,
      ...(options.zone === undefined ? {} : { zone: options.zone }),
      ...(exclude === undefined ? {} : { exclude }),
      ...(options.priority === undefined ? {} : { priority: options.priority }),
      ...(options.missed === undefined ? {} : { missed: options.missed }),
      ...(options.cap === undefined ? {} : { cap: parseCount(options.cap, "--cap") }),
      ...(options.disabled === true ? { enabled: false } : {}),
    });
    cli.out.document("schedule", { schedule: scheduleDocument(row) });
    cli.out.data(
      row.nextAt === null
        ? `Schedule ${name} is stored, but disabled`
        : `Schedule ${name} starts ${pipeline} next at ${local(row.nextAt, row.zone)}`,
    );
    cli.out.say("It is fired by `tenuto worker`, or by any program that has this ledger open and works.");
    return EXIT.ok;
  });
}

async function documentOf({ engine, templates }: Tenuto, name: string): Promise<PipelineDocument | null> {
  const own = engine.definitions.list().find((one) => one.document.name === name);
  return own?.document ?? (await templates.known(name))?.document ?? null;
}

/** Local time of the schedule's zone, with its name. */
function local(at: number, zone: string): string {
  const format = new Intl.DateTimeFormat("sv-SE", {
    timeZone: zone,
    dateStyle: "short",
    timeStyle: "medium",
  });
  return `${format.format(at)} ${zone}`;
}

function scheduleDocument(row: ScheduleRow) {
  return {
    name: row.id,
    pipeline: row.pipeline,
    template: row.template === 1,
    cron: row.cron,
    zone: row.zone,
    params: JSON.parse(row.params) as Json,
    exclude: row.excluded === null ? null : (JSON.parse(row.excluded) as Json),
    priority: row.priority,
    missed: row.missed,
    cap: row.cap,
    enabled: row.enabled === 1,
    nextAt: time(row.nextAt),
    fired: row.fired,
    passed: row.passed,
    lastAt: time(row.lastAt),
    lastRun: row.lastRun,
    lastError: storedError(row.lastError),
  };
}

export async function schedulesList(cli: Cli): Promise<number> {
  return await withLedger(cli, async ({ schedules }) => {
    const rows = await schedules.list();
    cli.out.document("schedules", { schedules: rows.map(scheduleDocument) });
    if (rows.length === 0) {
      cli.out.say('No schedule is stored: tenuto schedules add NAME PIPELINE --cron "0 2 * * *".');
      return EXIT.ok;
    }
    cli.out.data(
      ...table(
        [
          { title: "SCHEDULE" },
          { title: "PIPELINE", shrink: true },
          { title: "CRON" },
          { title: "NEXT" },
          { title: "RUNS", align: "right" },
          { title: "WITHOUT", align: "right" },
          { title: "LAST RUN" },
        ],
        rows.map((row) => [
          row.id,
          row.pipeline,
          row.cron,
          row.nextAt === null ? (row.enabled === 1 ? "never" : "disabled") : local(row.nextAt, row.zone),
          String(row.fired),
          String(row.passed),
          row.lastError !== null
            ? { text: storedError(row.lastError)?.code ?? "failed", style: "red" as const }
            : (row.lastRun ?? "-"),
        ]),
        cli.out.paint,
        cli.out.width,
      ),
    );
    return EXIT.ok;
  });
}

export async function schedulesShow(cli: Cli, name: string): Promise<number> {
  return await withLedger(cli, async ({ schedules }) => {
    const row = await schedules.show(name);
    const next = row.enabled === 1 ? schedules.times(row.cron, row.zone, TIMES_SHOWN) : [];
    const runs = await schedules.runs(name, RUNS_SHOWN);
    cli.out.document("schedule", {
      schedule: scheduleDocument(row),
      next: next.map(time),
      runs: runs.map(({ id, state, nominal, endedAt }) => ({ id, state, nominal, endedAt: time(endedAt) })),
    });
    const error = storedError(row.lastError);
    cli.out.data(
      `Schedule ${row.id}${row.enabled === 1 ? "" : ", disabled"}`,
      `  starts   ${row.template === 1 ? "template" : "pipeline"} ${row.pipeline}${row.excluded === null ? "" : ` without ${leftOut(row.excluded)}`}`,
      `  when     ${row.cron}  in ${row.zone}`,
      `  params   ${row.params}`,
      `  missed   ${row.missed}${row.missed === "all" ? `, at most ${row.cap}` : ""}`,
      `  so far   ${counted(row.fired, "run")}, ${counted(row.passed, "time")} without a run`,
      ...(error === null ? [] : [`  trouble  ${oneLine(error.message)}`]),
      ...(next.length === 0 ? [] : ["", "Next"]),
      ...next.map((at) => `  ${local(at, row.zone)}`),
      ...(runs.length === 0 ? [] : ["", "Runs"]),
      ...runs.map((run) => `  ${stamp(Date.parse(run.nominal))}  ${run.state}  ${run.id}`),
    );
    return EXIT.ok;
  });
}

function leftOut(text: string): string {
  const { stages = [], jobs = [] } = JSON.parse(text) as { stages?: string[]; jobs?: string[] };
  return [...stages.map((stage) => `stage ${stage}`), ...jobs.map((job) => `job ${job}`)].join(", ");
}

export async function schedulesNext(cli: Cli, name: string, options: { count?: string }): Promise<number> {
  return await withLedger(cli, async ({ schedules }) => {
    const count = options.count === undefined ? TIMES_SHOWN : Math.min(1_000, parseCount(options.count, "--count"));
    const { zone } = await schedules.show(name);
    const next = await schedules.next(name, count);
    cli.out.document("schedule.next", { name, zone, next: next.map(time) });
    cli.out.data(...next.map((at) => local(at, zone)));
    return EXIT.ok;
  });
}

export async function schedulesEnable(cli: Cli, name: string, enable: boolean): Promise<number> {
  return await withLedger(cli, async ({ schedules }) => {
    const row = enable ? await schedules.enable(name) : await schedules.disable(name);
    cli.out.document("schedule", { schedule: scheduleDocument(row) });
    cli.out.data(
      row.nextAt === null
        ? `Schedule ${name} is disabled`
        : `Schedule ${name} is enabled; next at ${local(row.nextAt, row.zone)}`,
    );
    return EXIT.ok;
  });
}

export async function schedulesRemove(cli: Cli, name: string): Promise<number> {
  return await withLedger(cli, async ({ schedules }) => {
    const row = await schedules.remove(name);
    cli.out.document("schedule.removed", { name: row.id, fired: row.fired, passed: row.passed });
    cli.out.data(`Schedule ${row.id} is removed; the runs that it started stay`);
    return EXIT.ok;
  });
}

export async function schedulesTrigger(cli: Cli, name: string): Promise<number> {
  return await withProject(cli, async (tenuto) => {
    const { id } = await tenuto.schedules.trigger(name);
    cli.out.document("schedule.triggered", { name, run: id });
    cli.out.data(id);
    cli.out.say("It is worked on by `tenuto worker`, or now by `tenuto resume`.");
    return EXIT.ok;
  });
}
