/** Reads of schedules and of the runs that they started. */
import type { ScheduleRow } from "../core/scheduling.ts";
import type { ScheduledRun, ScheduleReads } from "../ports/schedules.ts";
import { TemplateReader } from "./reads-templates.ts";
import { RECORD_SQL } from "./records.ts";

export abstract class ScheduleReader extends TemplateReader implements ScheduleReads {
  async scheduleNamed(name: string): Promise<ScheduleRow | null> {
    return await this.one<ScheduleRow>(RECORD_SQL.schedule.get, name);
  }

  async schedules(filter: { pipeline?: string } = {}): Promise<ScheduleRow[]> {
    const { pipeline } = filter;
    if (pipeline === undefined) return await this.many<ScheduleRow>(`${RECORD_SQL.schedule.select} ORDER BY id`);
    return await this.many<ScheduleRow>(`${RECORD_SQL.schedule.select} WHERE pipeline = ? ORDER BY id`, pipeline);
  }

  async dueSchedules(at: number): Promise<{ due: ScheduleRow[]; nextAt: number | null }> {
    const rows = await this.many<ScheduleRow>(
      `${RECORD_SQL.schedule.select} WHERE next_at IS NOT NULL ORDER BY next_at, id`,
    );
    const due = rows.filter((row) => (row.nextAt as number) <= at);
    return { due, nextAt: rows[due.length]?.nextAt ?? null };
  }

  async scheduledRuns(name: string, limit: number): Promise<ScheduledRun[]> {
    // Names hold no character after ";" in the order of keys, so that this range is the schedule's own.
    const from = `schedule:${name}:`;
    const to = `schedule:${name};`;
    return await this.many<ScheduledRun>(
      `SELECT id, state, substr(idempotency_key, ${from.length + 1}) AS nominal, created_at AS createdAt, ended_at AS endedAt
       FROM run WHERE idempotency_key > ? AND idempotency_key < ? ORDER BY idempotency_key DESC LIMIT ?`,
      from,
      to,
      limit,
    );
  }
}
