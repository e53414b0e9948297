/**
 * The audit log: what was asked of the server and what it answered, as a chain in which each row's hash covers the one before.
 *
 * Owner: core. Invariants: (1) numbers have no gap; (2) a row that is changed, removed or put in breaks the chain from there
 * on; (3) tokens and bodies are not in it, only their ids and hashes.
 */
import type { Verdict } from "./decision.ts";
import { reject } from "./decision.ts";

export interface MarkRow {
  id: string;
  value: number;
  text: string | null;
  at: number;
}

export interface AuditRow {
  /** The number with leading zeros, so that ids are in order. */
  id: string;
  number: number;
  at: number;
  /** `asked` before the operation, `answered` after it; `refused` for want of a right. */
  phase: "asked" | "answered" | "refused";
  token: string;
  name: string;
  role: string;
  address: string;
  operation: string;
  /** What it was about: ids in the path. */
  target: string;
  /** SHA-256 of the body; of an answer, the number of the row that asked. */
  request: string;
  status: number | null;
  previous: string;
  hash: string;
}

export type AuditEntry = Omit<AuditRow, "id" | "number" | "at" | "previous" | "hash">;
export const AUDIT_HEAD = "audit";
const START = "0".repeat(64);

type Hash = (text: string) => string;

export function auditHash(row: Omit<AuditRow, "hash">, hash: Hash): string {
  const { number, at, phase, token, name, role, address, operation, target, request, status, previous } = row;
  return hash(
    JSON.stringify([previous, number, at, phase, token, name, role, address, operation, target, request, status]),
  );
}

/** Puts a row at the end of the chain. */
export const appendAudit = (entry: AuditEntry, hash: Hash) => ({
  select: { kind: "records" as const, of: [{ table: "mark" as const, id: AUDIT_HEAD }] },
  decide: (slice: { records: readonly (MarkRow | null)[] }, at: number): Verdict<AuditRow> => {
    const head = slice.records[0] ?? null;
    const number = (head?.value ?? 0) + 1;
    const open = { ...entry, id: String(number).padStart(16, "0"), number, at, previous: head?.text ?? START };
    const row: AuditRow = { ...open, hash: auditHash(open, hash) };
    return {
      ok: true,
      effects: [
        { type: "put", table: "audit", row },
        { type: "put", table: "mark", row: { id: AUDIT_HEAD, value: number, text: row.hash, at } },
      ],
      result: row,
    };
  },
});

/** What is wrong with consecutive rows, the first after `before`; null if nothing is. */
export function auditFault(rows: readonly AuditRow[], before: AuditRow | null, hash: Hash): string | null {
  let last = before;
  for (const row of rows) {
    const number = (last?.number ?? 0) + 1;
    if (row.number !== number) return `row ${number} is missing: ${row.number} follows`;
    if (row.previous !== (last?.hash ?? START)) return `row ${number} does not follow the one before it`;
    if (row.hash !== auditHash(row, hash)) return `row ${number} was changed`;
    last = row;
  }
  return null;
}

/** Sets a mark; backwards only if told so. */
export const putMark = (id: string, value: number, text: string | null = null) => ({
  select: { kind: "records" as const, of: [{ table: "mark" as const, id }] },
  decide: (slice: { records: readonly (MarkRow | null)[] }, at: number): Verdict<boolean> => {
    const before = slice.records[0] ?? null;
    if (before !== null && before.value > value)
      return reject("conflict", `mark ${id} is at ${before.value} already, past ${value}`);
    return { ok: true, effects: [{ type: "put", table: "mark", row: { id, value, text, at } }], result: true };
  },
});
