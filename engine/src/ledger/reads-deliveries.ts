/** Reads of deliveries and of what they are made from: runs that ended, approvals that wait. */
import type { DeliveryRow } from "../core/delivery.ts";
import type { RunRow, RunSeq } from "../core/model.ts";
import type { ApprovalRow } from "../core/records.ts";
import type { DeliveryFilter, DeliveryReads } from "../ports/deliveries.ts";
import { READ } from "./read-sql.ts";
import { ScheduleReader } from "./reads-schedules.ts";
import { RECORD_SQL } from "./records.ts";

export abstract class LedgerReads extends ScheduleReader implements DeliveryReads {
  async delivery(id: string): Promise<DeliveryRow | null> {
    return await this.one<DeliveryRow>(RECORD_SQL.delivery.get, id);
  }

  async deliveries(filter: DeliveryFilter = {}): Promise<DeliveryRow[]> {
    const { limit = 100, ...wanted } = filter;
    const given = Object.entries(wanted).filter(([, value]) => value !== undefined);
    const where = given.length === 0 ? "" : ` WHERE ${given.map(([column]) => `${column} = ?`).join(" AND ")}`;
    return await this.many<DeliveryRow>(
      `${RECORD_SQL.delivery.select}${where} ORDER BY created_at DESC, id LIMIT ?`,
      ...given.map(([, value]) => value),
      limit,
    );
  }

  async dueDeliveries(
    notifiers: readonly string[],
    at: number,
    limit: number,
  ): Promise<{ due: string[]; nextAt: number | null }> {
    const rows = await this.many<{ id: string; dueAt: number }>(
      `SELECT id, due_at AS dueAt FROM delivery WHERE due_at IS NOT NULL AND notifier IN (${notifiers.map(() => "?").join(", ")})
       ORDER BY due_at, id LIMIT ?`,
      ...notifiers,
      limit,
    );
    const due = rows.filter((row) => row.dueAt <= at);
    return { due: due.map((row) => row.id), nextAt: rows[due.length]?.dueAt ?? null };
  }

  async endedRuns(after: RunSeq, since: number, limit: number): Promise<RunRow[]> {
    return await this.many<RunRow>(READ.endedRuns, after, since, limit);
  }

  async openRuns(after: RunSeq, limit: number): Promise<RunRow[]> {
    return await this.many<RunRow>(READ.openRuns, after, limit);
  }

  async runsAfter(after: RunSeq, limit: number): Promise<RunRow[]> {
    return await this.many<RunRow>(READ.runsAfter, after, limit);
  }

  async runsNumbered(runs: readonly RunSeq[]): Promise<RunRow[]> {
    return await this.many<RunRow>(READ.runsNumbered, JSON.stringify(runs));
  }

  async openApprovals(since: number, limit: number): Promise<ApprovalRow[]> {
    return await this.many<ApprovalRow>(
      `${RECORD_SQL.approval.select} WHERE state = 'open' AND created_at >= ? ORDER BY created_at, id LIMIT ?`,
      since,
      limit,
    );
  }
}
