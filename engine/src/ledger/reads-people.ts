/** Reads of approvals and gates. */
import type { RunSeq } from "../core/model.ts";
import type { ApprovalRow, GateRow } from "../core/records.ts";
import type { ApprovalFilter, ApprovalReads } from "../ports/approvals.ts";
import { ServerReader } from "./reads-server.ts";
import { RECORD_SQL } from "./records.ts";

export abstract class PeopleReader extends ServerReader implements ApprovalReads {
  async approval(id: string): Promise<ApprovalRow | null> {
    return await this.one<ApprovalRow>(RECORD_SQL.approval.get, id);
  }

  async approvals(filter: ApprovalFilter = {}): Promise<ApprovalRow[]> {
    const given = Object.entries({ run: filter.run, job: filter.job, state: filter.state }).filter(
      ([, value]) => value !== undefined,
    );
    const where = given.length === 0 ? "" : ` WHERE ${given.map(([column]) => `${column} = ?`).join(" AND ")}`;
    return await this.many<ApprovalRow>(
      `${RECORD_SQL.approval.select}${where} ORDER BY created_at, id LIMIT ?`,
      ...given.map(([, value]) => value),
      filter.limit ?? 1_000,
    );
  }

  async gates(run: RunSeq): Promise<GateRow[]> {
    return await this.many<GateRow>(`${RECORD_SQL.gate.select} WHERE run = ? ORDER BY at, id`, run);
  }
}
