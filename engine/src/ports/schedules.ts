/** Port: reads of schedules. Writes are changes, as everywhere. */
import type { RunState } from "../core/model.ts";
import type { ScheduleRow } from "../core/scheduling.ts";

/** A run that a schedule has started. */
export interface ScheduledRun {
  id: string;
  state: RunState;
  /** The nominal time, as the run's idempotency key names it. */
  nominal: string;
  createdAt: number;
  endedAt: number | null;
}

export interface ScheduleReads {
  scheduleNamed(name: string): Promise<ScheduleRow | null>;
  /** By name; with `pipeline` only those that start it. */
  schedules(filter?: { pipeline?: string }): Promise<ScheduleRow[]>;
  /** Enabled schedules whose next time has come, the longest due first; and the next time of any. */
  dueSchedules(at: number): Promise<{ due: ScheduleRow[]; nextAt: number | null }>;
  /** Runs that a schedule has started and that are still kept, the newest first. */
  scheduledRuns(name: string, limit: number): Promise<ScheduledRun[]>;
}
