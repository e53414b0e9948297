/** Every bound of the engine in one place, with its reason. */

/** A payload above this is stored with a warning. */
export const PAYLOAD_WARN_BYTES = 256 * 1024;
/** A payload above this is refused: use an artifact. */
export const PAYLOAD_MAX_BYTES = 1024 * 1024;
/** Nesting of JSON that is accepted; deeper input would overflow stacks of readers. */
export const JSON_MAX_DEPTH = 200;
/** Spawned jobs below spawned jobs. */
export const MAX_DEPTH = 32;
export const MAX_CHILDREN_PER_JOB = 1_000;
export const MAX_SPAWNED_PER_RUN = 10_000;
/** Edges of a dependency graph worked off in one transaction. */
export const PROPAGATION_BATCH = 500;
/** Items of a fan-out. */
export const MAX_ITEMS = 1_000_000;
/** Items leased at once unless the job says otherwise. */
export const WINDOW_ITEMS = 1_000;
/** Progress events of a job are at least this far apart. */
export const PROGRESS_EVERY_MS = 500;
/**
 * Jobs that were at work in this many crashes of their worker go on one at a time: one of them may be the cause. Not after
 * the first crash, which has mostly other causes and would hold up everything that was at work.
 */
export const SUSPECT_CRASHES = 2;
export const LEASE_MS = 30_000;
export const HEARTBEAT_MS = 5_000;
/** The heartbeat thread stops when the main loop has not ticked for this long. */
export const STALL_MS = 60_000;
/** Head start of a priority against ageing, see schedule.ts. */
/** How much earlier than ready a job of an older run may count; less than the step between two priorities. */
export const SENIORITY_MS = 30_000;
export const PRIORITY_DELAY_MS = { high: 0, normal: 60_000, low: 300_000 } as const;
