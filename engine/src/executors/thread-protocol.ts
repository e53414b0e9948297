/**
 * Messages between a worker's main thread and the threads that run agents, and errors in a form that survives the trip.
 *
 * Owner: executors. Everything here is plain data for structured clone.
 */
import type { ErrorRule } from "../core/document.ts";
import type { ErrorCode, StoredError } from "../core/errors.ts";
import { ERROR_CODES, TenutoError } from "../core/errors.ts";
import type { Json } from "../core/model.ts";
import type { ThreadContext } from "../ports/executor.ts";

export type ToThread =
  | { type: "run"; module: string; agent: string; input: Json; context: ThreadContext; rules: ErrorRule[][] }
  | { type: "abort"; reason: unknown }
  | { type: "reply"; call: number; value: unknown }
  | { type: "refusal"; call: number; error: StoredError };

/** Operations that are answered. */
export type CallName = "step" | "saveStep" | "artifact" | "limit" | "spend" | "spawn" | "sleep";
/** Operations that are not. */
export type NoteName = "log" | "progress";

export type FromThread =
  | { type: "call"; call: number; name: CallName; args: unknown[] }
  | { type: "note"; name: NoteName; args: unknown[] }
  | { type: "completed"; output: Json }
  | { type: "skipped"; reason: string }
  | { type: "failed"; error: StoredError };

/** A stored error as something to throw, on the other side. */
export function revive(stored: StoredError): Error {
  const { code, message, category, hint, details, retryAfterMs } = stored;
  if (!Object.hasOwn(ERROR_CODES, code)) return Object.assign(new Error(message), { code, category, hint, details });
  return new TenutoError(code as ErrorCode, message, {
    category,
    ...(hint === undefined ? {} : { hint }),
    ...(details === undefined ? {} : { details }),
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  });
}
