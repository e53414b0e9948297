/**
 * Schedules: adds and reads them, and starts what is due.
 *
 * Invariants: (1) any number of processes may look at once: the run of a nominal time has an idempotency key, and the
 * schedule's cursor moves by compare-and-set; (2) a start comes before its time is settled, so that nothing is lost in
 * between; (3) a pipeline that this process does not know is left to another one; (4) a fault in one schedule harms no other.
 */
import { type StoredError, TenutoError } from "../core/errors.ts";
import type { Json, Priority } from "../core/model.ts";
import { isName, NAME_RULE, suggest } from "../core/names.ts";
import { checkPayload } from "../core/payload.ts";
import {
  addSchedule,
  DEFAULT_CAP,
  disableSchedule,
  enableSchedule,
  MAX_CAP,
  MISSED_POLICIES,
  type MissedPolicy,
  removeSchedule,
  type ScheduleRow,
  scheduleKey,
  settleSchedule,
  settleTimes,
} from "../core/scheduling.ts";
import type { Exclusion } from "../core/template.ts";
import { excludes } from "../core/template.ts";
import type { Calendar } from "../ports/calendar.ts";
import type { ScheduledRun } from "../ports/schedules.ts";
import type { StartOptions } from "./client.ts";
import type { Service } from "./engine.ts";
import type { KnownPipeline, Params, Parts } from "./parts.ts";

/** What is needed to make a schedule. */
export interface ScheduleInput {
  name: string;
  /** A pipeline of the configuration, or a template. */
  pipeline: string;
  /** Five fields: minute, hour, day of month, month, day of week; or six with seconds in front. */
  cron: string;
  /** IANA name. Default UTC. */
  zone?: string;
  params?: Params;
  exclude?: Exclusion;
  priority?: Priority;
  /** Times at which nobody was there: none, the newest, or all. Default `last`. */
  missed?: MissedPolicy;
  /** With `all`: how many at most. Default 100. */
  cap?: number;
  enabled?: boolean;
}

/** What the rest of the engine does for schedules. */
export interface ScheduleHost {
  calendar: Calendar;
  /** A pipeline of this process, or a template; null if neither is known here. */
  find(name: string): Promise<{ pipeline: KnownPipeline; template: boolean } | null>;
  /** Throws what a start would throw for wrong params or exclusions. */
  check(pipeline: KnownPipeline, params: unknown, options: StartOptions): void;
  start(pipeline: KnownPipeline, params: unknown, options: StartOptions): Promise<{ id: string }>;
  /** Names of all that could be started here, for hints. */
  names(): Promise<string[]>;
}

/** Looks again at least this often: clocks jump, and timers sleep with the machine. */
const LOOK_EVERY_MS = 30_000;
/** Errors that say nothing about the start itself: it is tried again. */
const TRANSIENT = new Set(["ledger_busy", "ledger_unavailable", "disk_full"]);

type Outcome = { run: string | null; error: StoredError | null } | "later";

export class Schedules implements Service {
  readonly startsRuns = true;
  private readonly parts: Parts;
  private readonly host: ScheduleHost;
  private timer: { cancel(): void } | null = null;
  private off: () => void = () => {};
  private looking: Promise<void> | null = null;
  private again = false;
  private active = false;
  onFault: (error: unknown) => void = () => {};

  constructor(parts: Parts, host: ScheduleHost) {
    this.parts = parts;
    this.host = host;
  }

  /** Makes a schedule that begins now. @throws invalid_input, invalid_params, unknown_pipeline, conflict */
  async add(input: ScheduleInput): Promise<ScheduleRow> {
    const {
      name,
      pipeline,
      cron,
      zone = "UTC",
      params = {},
      exclude,
      priority,
      missed = "last",
      cap = DEFAULT_CAP,
    } = input;
    checkInput(input, missed, cap);
    const fault = this.host.calendar.fault(cron, zone);
    if (fault !== null)
      throw new TenutoError("invalid_input", fault.message, {
        hint:
          fault.what === "zone"
            ? "Give an IANA name such as Europe/Berlin or UTC."
            : 'Five fields: minute, hour, day of month, month, day of week; for example "0 2 * * *" for 02:00 each day.',
      });
    const found = await this.host.find(pipeline);
    if (found === null)
      throw new TenutoError("unknown_pipeline", `there is no pipeline or template named ${JSON.stringify(pipeline)}`, {
        hint: suggest(pipeline, await this.host.names(), "pipeline"),
      });
    const excluded = exclude !== undefined && excludes(exclude) ? exclude : null;
    this.host.check(found.pipeline, params, excluded === null ? {} : { exclude: excluded });
    const row = await this.parts.ledger.apply(
      addSchedule(
        {
          id: name,
          pipeline,
          template: found.template ? 1 : 0,
          cron,
          zone,
          params: checkPayload(params as Json, `params of schedule ${name}`).json,
          excluded: excluded === null ? null : JSON.stringify(excluded),
          priority: priority ?? null,
          missed,
          cap,
          enabled: input.enabled === false ? 0 : 1,
        },
        this.upcoming(cron, zone, this.parts.ledger.now()),
      ),
    );
    this.look();
    return row;
  }

  /** The first time after `after` of an expression that is known to come up. */
  private upcoming(cron: string, zone: string, after: number): number {
    const next = this.host.calendar.next(cron, zone, after);
    if (next === null)
      throw new TenutoError("invalid_input", `${JSON.stringify(cron)} does not come up any more`, {
        hint: "Give another expression.",
      });
    return next;
  }

  async list(): Promise<ScheduleRow[]> {
    return await this.parts.ledger.schedules();
  }

  /** @throws not_found */
  async show(name: string): Promise<ScheduleRow> {
    const row = await this.parts.ledger.scheduleNamed(name);
    if (row !== null) return row;
    const names = (await this.list()).map((one) => one.id);
    throw new TenutoError("not_found", `there is no schedule ${JSON.stringify(name)}`, {
      hint: names.length === 0 ? "None is stored: `tenuto schedules add`." : suggest(name, names, "schedule"),
    });
  }

  /** Runs that it has started, the newest first. */
  async runs(name: string, limit = 10): Promise<ScheduledRun[]> {
    return await this.parts.ledger.scheduledRuns((await this.show(name)).id, limit);
  }

  /** Its next nominal times, as if it were enabled. */
  async next(name: string, count = 5): Promise<number[]> {
    const { cron, zone } = await this.show(name);
    return this.times(cron, zone, count);
  }

  /** The next nominal times of an expression. */
  times(cron: string, zone: string, count = 5): number[] {
    const times: number[] = [];
    let at: number | null = this.parts.ledger.now();
    while (times.length < count && at !== null) {
      at = this.host.calendar.next(cron, zone, at);
      if (at !== null) times.push(at);
    }
    return times;
  }

  /** Starts its pipeline now, with its params, beside its times. @throws what a start throws */
  async trigger(name: string): Promise<{ id: string }> {
    const row = await this.show(name);
    const found = await this.host.find(row.pipeline);
    if (found === null)
      throw new TenutoError(
        "unknown_pipeline",
        `there is no pipeline or template named ${JSON.stringify(row.pipeline)}`,
        {
          hint: suggest(row.pipeline, await this.host.names(), "pipeline"),
        },
      );
    return await this.host.start(found.pipeline, JSON.parse(row.params), settingsOf(row));
  }

  /** Removes it; runs that it has started go on. @throws not_found */
  async remove(name: string): Promise<ScheduleRow> {
    return await this.parts.ledger.apply(removeSchedule(name, (await this.show(name)).pipeline));
  }

  /** From now on; what came while it was disabled is not made up for. @throws not_found */
  async enable(name: string): Promise<ScheduleRow> {
    const { cron, zone } = await this.show(name);
    const row = await this.parts.ledger.apply(enableSchedule(name, this.upcoming(cron, zone, this.parts.ledger.now())));
    this.look();
    return row;
  }

  /** @throws not_found */
  async disable(name: string): Promise<ScheduleRow> {
    await this.show(name);
    return await this.parts.ledger.apply(disableSchedule(name));
  }

  /** Begins to start what is due. */
  async start(): Promise<void> {
    this.active = true;
    this.off = this.parts.ledger.onForeignWrite(() => this.look());
    this.look();
    await this.looking;
  }

  async stop(): Promise<void> {
    this.active = false;
    this.off();
    this.timer?.cancel();
    await this.looking;
  }

  private look(): void {
    if (!this.active) return;
    this.again = true;
    this.looking ??= this.lookWhileAsked().finally(() => {
      this.looking = null;
    });
  }

  private async lookWhileAsked(): Promise<void> {
    while (this.again && this.active) {
      this.again = false;
      const nextAt = await this.fireDue().catch((error) => {
        this.onFault(error);
        return null;
      });
      this.timer?.cancel();
      if (!this.active) return;
      const wait = nextAt === null ? LOOK_EVERY_MS : Math.max(0, nextAt - this.parts.ledger.now());
      this.timer = this.parts.clock.after(Math.min(wait, LOOK_EVERY_MS), () => this.look());
    }
  }

  /** Starts what has come up; gives the next time that anything does. */
  private async fireDue(): Promise<number | null> {
    const { due, nextAt } = await this.parts.ledger.dueSchedules(this.parts.ledger.now());
    let soonest = nextAt;
    for (const row of due) {
      const next = await this.fire(row).catch((error) => {
        this.onFault(error);
        return null;
      });
      if (next !== null && (soonest === null || next < soonest)) soonest = next;
    }
    return soonest;
  }

  /** Settles all that has come up of one schedule; gives its next time, or null to look again later. */
  private async fire(row: ScheduleRow): Promise<number | null> {
    const found = await this.host.find(row.pipeline);
    if (found === null || found.template !== (row.template === 1)) return null;
    const { calendar } = this.host;
    const until = this.parts.ledger.now();
    const times = calendar.between(row.cron, row.zone, { after: row.cursor, until, limit: MAX_CAP + 1 });
    const { fire, passed } = settleTimes(row, times, until);
    const steps = fire.length > 0 ? fire : [times.at(-1) ?? until];
    let from = row.cursor;
    let nextAt: number | null = null;
    for (const [i, to] of steps.entries()) {
      if (!this.active) return null;
      const outcome = fire.length > 0 ? await this.startAt(row, found.pipeline, to) : { run: null, error: null };
      if (outcome === "later") return null;
      nextAt = calendar.next(row.cron, row.zone, to);
      const moved = await this.parts.ledger.apply(
        settleSchedule(row.id, {
          from,
          to,
          nextAt,
          passed: (i === 0 ? passed : 0) + (outcome.error === null ? 0 : 1),
          run: outcome.run,
          error: outcome.error === null ? null : JSON.stringify(outcome.error),
        }),
      );
      // Somebody else settled it, or took the schedule away.
      if (!moved) return null;
      from = to;
    }
    return nextAt;
  }

  private async startAt(row: ScheduleRow, pipeline: KnownPipeline, nominal: number): Promise<Outcome> {
    const options: StartOptions = {
      idempotencyKey: scheduleKey(row.id, nominal),
      ...settingsOf(row),
      labels: { schedule: row.id, nominal: new Date(nominal).toISOString() },
    };
    try {
      const { id } = await this.host.start(pipeline, JSON.parse(row.params), options);
      return { run: id, error: null };
    } catch (error) {
      if (!(error instanceof TenutoError)) throw error;
      if (TRANSIENT.has(error.code) || error.category === "critical") {
        this.onFault(error);
        return "later";
      }
      // The key belongs to this schedule and time: whatever the params are now, the run is there.
      if (error.code === "idempotency_mismatch" && typeof error.details.run === "string")
        return { run: error.details.run, error: null };
      const { category, code, message, hint } = error;
      return { run: null, error: { category, code, message, ...(hint === undefined ? {} : { hint }) } };
    }
  }
}

/** What each of its runs is started with. */
function settingsOf(row: ScheduleRow): StartOptions {
  return {
    labels: { schedule: row.id },
    ...(row.priority === null ? {} : { priority: row.priority }),
    ...(row.excluded === null ? {} : { exclude: JSON.parse(row.excluded) as Exclusion }),
  };
}

function checkInput({ name, pipeline, priority }: ScheduleInput, missed: MissedPolicy, cap: number): void {
  const refuse = (message: string, hint?: string) => {
    throw new TenutoError("invalid_input", message, hint === undefined ? {} : { hint });
  };
  if (typeof name !== "string" || !isName(name))
    refuse(`${JSON.stringify(name)} can't be the name of a schedule`, `Use ${NAME_RULE}.`);
  if (typeof pipeline !== "string" || pipeline === "") refuse("a schedule needs the name of a pipeline");
  if (!MISSED_POLICIES.includes(missed)) refuse(`missed must be ${MISSED_POLICIES.join(", ")}, not ${String(missed)}`);
  if (!Number.isInteger(cap) || cap < 1 || cap > MAX_CAP) refuse(`cap must be a whole number from 1 to ${MAX_CAP}`);
  if (priority !== undefined && !["high", "normal", "low"].includes(priority))
    refuse(`priority must be high, normal or low, not ${String(priority)}`);
}
