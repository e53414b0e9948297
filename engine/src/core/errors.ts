/**
 * Errors of Tenuto: one class, a closed union of codes, and one error category per failure of a job.
 *
 * A code decides how a program reacts; the message says what happened, the hint how to mend it.
 * The engine's own states never travel as exceptions: a rejected transition is a value (see transition.ts).
 */

/** What a failure means for the work: try again, leave this one out, stop everything, or fail this one. */
export type ErrorCategory = "retryable" | "skippable" | "critical" | "permanent";

export const ERROR_CATEGORIES: readonly ErrorCategory[] = ["retryable", "skippable", "critical", "permanent"];

/** Every code that the engine raises or stores, with the exit code of the CLI that it leads to. */
export const ERROR_CODES = {
  // usage and definitions
  invalid_input: 2,
  invalid_definition: 2,
  invalid_config: 2,
  invalid_params: 2,
  missing_prerequisites: 2,
  payload_too_large: 2,
  unsupported_value: 2,
  duplicate_step_key: 1,
  // not found
  not_found: 3,
  unknown_agent: 3,
  unknown_pipeline: 3,
  // ledger and disk
  ledger_busy: 4,
  ledger_unavailable: 4,
  ledger_corrupt: 4,
  schema_newer: 4,
  schema_unstamped: 4,
  sqlite_too_old: 4,
  unsupported_filesystem: 4,
  disk_full: 4,
  artifact_corrupt: 4,
  store_unavailable: 4,
  migration_failed: 4,
  // conflicts
  illegal_transition: 5,
  conflict: 5,
  concurrency_refused: 5,
  idempotency_mismatch: 5,
  definition_changed: 5,
  cannot_resume: 5,
  approval_decided: 5,
  approval_changed: 5,
  lease_lost: 5,
  run_cancelled: 7,
  // outcomes of work
  timeout: 6,
  job_failed: 1,
  run_failed: 1,
  contract_violation: 1,
  error_rate_exceeded: 1,
  retries_exhausted: 1,
  crashed_too_often: 1,
  spawn_limit: 1,
  deadlock: 1,
  command_failed: 1,
  command_not_startable: 1,
  output_invalid: 1,
  budget_exhausted: 1,
  quota_exhausted: 1,
  circuit_open: 1,
  gate_failed: 1,
  approval_rejected: 1,
  approval_expired: 1,
  loop_limit: 1,
  agent_error: 1,
  model_failed: 1,
  stuck: 1,
  stopped: 130,
  uncaught: 9,
  internal: 1,
} as const;

export type ErrorCode = keyof typeof ERROR_CODES;

export interface TenutoErrorOptions {
  /** How to mend it, as one sentence a user can act on. */
  hint?: string;
  /** Machine-readable facts: paths, ids, figures. */
  details?: Record<string, unknown>;
  cause?: unknown;
  /** What the failure means when a job raises it. Default `permanent`. */
  category?: ErrorCategory;
  /** For `retryable`: wait at least this long (from Retry-After, for example). */
  retryAfterMs?: number;
}

/** The one error class of the engine. Match on `code`, show `message` and `hint`. */
export class TenutoError extends Error {
  readonly code: ErrorCode;
  readonly hint: string | undefined;
  readonly details: Record<string, unknown>;
  readonly category: ErrorCategory;
  readonly retryAfterMs: number | undefined;

  constructor(code: ErrorCode, message: string, options: TenutoErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "TenutoError";
    this.code = code;
    this.hint = options.hint;
    this.details = options.details ?? {};
    this.category = options.category ?? "permanent";
    this.retryAfterMs = options.retryAfterMs;
  }
}

/** How to mend a refusal that says no more itself. */
export const REJECTION_HINTS: Partial<Record<ErrorCode, string>> = {
  illegal_transition: "Look at its state with `tenuto runs show`.",
  idempotency_mismatch: "Use another key for another start, or the same params for the same one.",
  concurrency_refused: "Wait for that run or cancel it, or let the pipeline queue: concurrency.onConflict: queue.",
  cannot_resume: "Start a new run.",
  spawn_limit: "Use a fan-out (ctx.map or forEach) for many pieces of work.",
  lease_lost: "The work was taken over by another attempt; nothing is to be done.",
  approval_decided: "Look at it with `tenuto approvals show`.",
  approval_changed: "Look at what it shows now, then decide again.",
  run_cancelled: "Retry the run to go on: `tenuto runs retry`.",
};

/** A failure as it is stored with a job, an attempt or an item, and shown to people. */
export interface StoredError {
  category: ErrorCategory;
  /** An engine code, or the code or class name that the agent's error carried. */
  code: string;
  message: string;
  hint?: string;
  details?: Record<string, unknown>;
  /** The first lines of the stack of code in this process; never sent by commands. */
  stack?: string;
  retryAfterMs?: number;
}

/** A broken invariant: a fault in Tenuto itself. It stops the worker; it is never stored as a job's failure. */
export function invariant(condition: unknown, message: string): asserts condition {
  if (!condition)
    throw new TenutoError("internal", `broken invariant: ${message}`, {
      hint: "This is a fault in Tenuto; please report it.",
    });
}
