/** Columns and statements of the record tables: each row is put whole, by its id. See core/records.ts. */
import type { Records, RecordTable } from "../core/records.ts";

type Columns<T extends RecordTable> = { [K in keyof Records[T]]-?: string };

export const RECORD_COLUMNS: { [T in RecordTable]: Columns<T> } = {
  approval: {
    id: "id",
    run: "run",
    job: "job",
    key: "key",
    state: "state",
    title: "title",
    shown: "shown",
    hash: "hash",
    editable: "editable",
    edited: "edited",
    decidedBy: "decided_by",
    reason: "reason",
    createdAt: "created_at",
    expiresAt: "expires_at",
    decidedAt: "decided_at",
    voided: "voided",
  },
  gate: {
    id: "id",
    run: "run",
    job: "job",
    attempt: "attempt",
    verdict: "verdict",
    findings: "findings",
    warnings: "warnings",
    errors: "errors",
    action: "action",
    at: "at",
  },
  run_usage: {
    id: "id",
    run: "run",
    calls: "calls",
    lostCalls: "lost_calls",
    inputTokens: "input_tokens",
    outputTokens: "output_tokens",
    cost: "cost",
    openCalls: "open_calls",
    openTokens: "open_tokens",
    openCost: "open_cost",
    firstAt: "first_at",
  },
  usage: {
    id: "id",
    run: "run",
    job: "job",
    item: "item",
    key: "key",
    model: "model",
    state: "state",
    tries: "tries",
    reservedTokens: "reserved_tokens",
    reservedCost: "reserved_cost",
    inputTokens: "input_tokens",
    outputTokens: "output_tokens",
    cacheReadTokens: "cache_read_tokens",
    cacheWriteTokens: "cache_write_tokens",
    cost: "cost",
    startedAt: "started_at",
    endedAt: "ended_at",
  },
  template: {
    id: "id",
    number: "number",
    version: "version",
    description: "description",
    stages: "stages",
    jobs: "jobs",
    schedules: "schedules",
    createdAt: "created_at",
    updatedAt: "updated_at",
    removedAt: "removed_at",
  },
  template_version: {
    id: "id",
    template: "template",
    number: "number",
    version: "version",
    document: "document",
    note: "note",
    at: "at",
  },
  schedule: {
    id: "id",
    pipeline: "pipeline",
    template: "template",
    cron: "cron",
    zone: "zone",
    params: "params",
    excluded: "excluded",
    priority: "priority",
    missed: "missed",
    cap: "cap",
    enabled: "enabled",
    cursor: "cursor",
    nextAt: "next_at",
    fired: "fired",
    passed: "passed",
    lastAt: "last_at",
    lastRun: "last_run",
    lastError: "last_error",
    createdAt: "created_at",
    updatedAt: "updated_at",
  },
  notifier: { id: "id", since: "since", createdAt: "created_at" },
  delivery: {
    id: "id",
    notifier: "notifier",
    run: "run",
    occasion: "occasion",
    state: "state",
    message: "message",
    attempts: "attempts",
    dueAt: "due_at",
    error: "error",
    createdAt: "created_at",
    endedAt: "ended_at",
  },
  token: {
    id: "id",
    kind: "kind",
    hash: "hash",
    name: "name",
    role: "role",
    parent: "parent",
    run: "run",
    job: "job",
    epoch: "epoch",
    createdAt: "created_at",
    expiresAt: "expires_at",
    usedAt: "used_at",
    revokedAt: "revoked_at",
  },
  audit: {
    id: "id",
    number: "number",
    at: "at",
    phase: "phase",
    token: "token",
    name: "name",
    role: "role",
    address: "address",
    operation: "operation",
    target: "target",
    request: "request",
    status: "status",
    previous: "previous",
    hash: "hash",
  },
  webhook: {
    id: "id",
    url: "url",
    occasions: "occasions",
    pipeline: "pipeline",
    intervalMs: "interval_ms",
    enabled: "enabled",
    secretVersion: "secret_version",
    rotatedAt: "rotated_at",
    createdAt: "created_at",
    updatedAt: "updated_at",
  },
  hook: {
    id: "id",
    pipeline: "pipeline",
    params: "params",
    enabled: "enabled",
    secretVersion: "secret_version",
    rotatedAt: "rotated_at",
    createdAt: "created_at",
    updatedAt: "updated_at",
  },
  mark: { id: "id", value: "value", text: "text", at: "at" },
};

interface Statements {
  /** By id. */
  get: string;
  put: string;
  drop: string;
  /** Columns under the names of the row, to be followed by FROM. */
  select: string;
}

function statementsOf(table: RecordTable): Statements {
  const columns = Object.entries(RECORD_COLUMNS[table]);
  const names = columns.map(([, column]) => column);
  const select = `SELECT ${columns.map(([name, column]) => (name === column ? column : `${column} AS ${name}`)).join(", ")}`;
  const changed = names.filter((name) => name !== "id").map((name) => `${name} = excluded.${name}`);
  return {
    get: `${select} FROM ${table} WHERE id = ?`,
    put: `INSERT INTO ${table} (${names.join(", ")}) VALUES (${names.map(() => "?").join(", ")}) ON CONFLICT (id) DO UPDATE SET ${changed.join(", ")}`,
    drop: `DELETE FROM ${table} WHERE id = ?`,
    select: `${select} FROM ${table}`,
  };
}

export const RECORD_SQL = Object.fromEntries(
  (Object.keys(RECORD_COLUMNS) as RecordTable[]).map((table) => [table, statementsOf(table)]),
) as { readonly [T in RecordTable]: Statements };

export function recordValues<T extends RecordTable>(table: T, row: Records[T]): unknown[] {
  return Object.keys(RECORD_COLUMNS[table]).map((name) => row[name as keyof Records[T]]);
}

export const CLOSE_APPROVALS =
  "UPDATE approval SET state = 'cancelled', decided_at = ? WHERE job = ? AND state = 'open'";
/** What was approved stays so; anything else is asked again. */
export const VOID_APPROVALS = "UPDATE approval SET voided = 1 WHERE job = ? AND state <> 'approved'";
