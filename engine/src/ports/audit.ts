/** Port: reads of the audit log and of marks. */
import type { AuditRow, MarkRow } from "../core/audit.ts";

export interface AuditReads {
  mark(id: string): Promise<MarkRow | null>;
  /** In the order of their numbers, after `after`. */
  audit(after: number, limit: number): Promise<AuditRow[]>;
  /** The newest first, below `before`. */
  auditBefore(before: number, limit: number): Promise<AuditRow[]>;
}
