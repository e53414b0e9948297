/**
 * Rare rows: nouns that few decisions look at and that have an id of their own. Each is a table with the columns of its row.
 *
 * Owner: core. A decision writes them with the effects `put` and `drop` and sees them through the selector `records`; a unit
 * of work shows what its own transaction has put. They are never kept from one transaction to the next.
 */
import type { TokenRow } from "./access.ts";
import type { AuditRow, MarkRow } from "./audit.ts";
import type { RunUsageRow, UsageRow } from "./budget.ts";
import type { DeliveryRow, NotifierRow } from "./delivery.ts";
import type { JobSeq, RunSeq } from "./model.ts";
import type { ScheduleRow } from "./scheduling.ts";
import type { TemplateRow, TemplateVersionRow } from "./templates.ts";
import type { HookRow, WebhookRow } from "./webhook.ts";

export type ApprovalState = "open" | "approved" | "rejected" | "expired" | "cancelled";

/** A wait for a person's decision, bound to what was shown. */
export interface ApprovalRow {
  /** `<run id>:<job id>:<key>`, with `#2` and so on when it had to be asked again. */
  id: string;
  run: RunSeq;
  job: JobSeq;
  key: string;
  state: ApprovalState;
  title: string;
  /** JSON of what was shown, and its SHA-256: a decision must name the hash that it saw. */
  shown: string;
  hash: string;
  editable: 0 | 1;
  /** JSON that a person put in the place of what was shown. */
  edited: string | null;
  decidedBy: string | null;
  reason: string | null;
  createdAt: number;
  expiresAt: number | null;
  decidedAt: number | null;
  /** 1 when a retry of the job made the decision void: it is asked again. */
  voided: 0 | 1;
}

export type Verdict = "PASSED" | "PASSED_WITH_WARNINGS" | "FAILED";

/** The verdict on a job's output. */
export interface GateRow {
  /** `<job seq>/<attempt>`. */
  id: string;
  run: RunSeq;
  job: JobSeq;
  attempt: number;
  verdict: Verdict;
  /** JSON of Finding[]. */
  findings: string;
  warnings: number;
  errors: number;
  /** What the policy made of the verdict: continue, fail, retry, halt, approve. */
  action: string;
  at: number;
}

/** All record tables by name. */
export interface Records {
  approval: ApprovalRow;
  gate: GateRow;
  run_usage: RunUsageRow;
  usage: UsageRow;
  template: TemplateRow;
  template_version: TemplateVersionRow;
  schedule: ScheduleRow;
  notifier: NotifierRow;
  delivery: DeliveryRow;
  token: TokenRow;
  audit: AuditRow;
  webhook: WebhookRow;
  hook: HookRow;
  mark: MarkRow;
}

export type RecordTable = keyof Records;

export type RecordEffect = {
  [T in RecordTable]: { type: "put"; table: T; row: Records[T] } | { type: "drop"; table: T; id: string };
}[RecordTable];

/** What a decision about records sees: the rows asked for, in order, null where there is none. */
export interface RecordSlice<T extends RecordTable = RecordTable> {
  records: (Records[T] | null)[];
}

export const recordKey = (table: RecordTable, id: string): string => `${table}\u0000${id}`;
