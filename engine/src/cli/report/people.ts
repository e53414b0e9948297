/** The part of a report that is about judgements: gates, approvals, and who was told what. */
import type { Finding } from "../../core/gate.ts";
import type { Json } from "../../core/model.ts";
import type { Tenuto } from "../../open.ts";
import type { RunRecord } from "../../ports/ledger.ts";
import { time } from "../documents.ts";

const MOST_FINDINGS = 10;
const MOST = 100;

export interface GateFacts {
  job: string;
  attempt: number;
  verdict: string;
  warnings: number;
  errors: number;
  /** What the policy made of it: continue, fail, retry, halt, approve. */
  action: string;
  findings: Finding[];
  moreFindings: number;
  at: string | null;
}

export interface ApprovalFacts {
  id: string;
  job: string;
  title: string;
  state: string;
  decidedBy: string | null;
  reason: string | null;
  edited: Json;
  askedAt: string | null;
  decidedAt: string | null;
  /** How long it was open, so far. */
  ms: number;
}

export interface NotificationFacts {
  delivered: number;
  pending: number;
  failed: { notifier: string; occasion: string; error: string }[];
}

/** Verdicts in the order in which they were given. */
export async function gatesOf(
  { engine }: Tenuto,
  run: RunRecord,
  ids: ReadonlyMap<number, string>,
): Promise<GateFacts[]> {
  const rows = await engine.parts.ledger.gates(run.seq);
  return rows.slice(0, MOST).map((row) => {
    const findings = JSON.parse(row.findings) as Finding[];
    return {
      job: ids.get(row.job) ?? "",
      attempt: row.attempt,
      verdict: row.verdict,
      warnings: row.warnings,
      errors: row.errors,
      action: row.action,
      findings: findings.slice(0, MOST_FINDINGS),
      moreFindings: Math.max(0, findings.length - MOST_FINDINGS),
      at: time(row.at),
    };
  });
}

export async function approvalsOf(
  { engine }: Tenuto,
  run: RunRecord,
  ids: ReadonlyMap<number, string>,
  now: number,
): Promise<ApprovalFacts[]> {
  const rows = await engine.parts.ledger.approvals({ run: run.seq, limit: MOST });
  return rows.map((row) => ({
    id: row.id,
    job: ids.get(row.job) ?? "",
    title: row.title,
    state: row.state,
    decidedBy: row.decidedBy,
    reason: row.reason,
    edited: row.edited === null ? null : (JSON.parse(row.edited) as Json),
    askedAt: time(row.createdAt),
    decidedAt: time(row.decidedAt),
    ms: Math.max(0, (row.decidedAt ?? now) - row.createdAt),
  }));
}

/** Null where nobody was to be told. */
export async function notificationsOf({ engine }: Tenuto, run: RunRecord): Promise<NotificationFacts | null> {
  const rows = await engine.parts.ledger.deliveries({ run: run.seq, limit: 1_000 });
  if (rows.length === 0) return null;
  return {
    delivered: rows.filter((row) => row.state === "delivered").length,
    pending: rows.filter((row) => row.endedAt === null).length,
    failed: rows
      .filter((row) => row.state === "failed")
      .slice(0, MOST_FINDINGS)
      .map(({ notifier, occasion, error }) => ({ notifier, occasion, error: error ?? "" })),
  };
}
