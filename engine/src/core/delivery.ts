/**
 * Rules of deliveries: messages about runs to people and other systems, each recorded and sent at least once.
 *
 * Owner: core. Invariants: (1) an occasion makes one delivery per notifier, however many processes see it: its id is made of
 * both; (2) one process at a time sends it: it is claimed for a time, and its outcome is taken only from the claim that is
 * the present one; (3) it ends `delivered` or, after the last attempt, `failed`, and stays on record either way.
 */
import type { Verdict } from "./decision.ts";
import { reject } from "./decision.ts";
import type { RunSeq } from "./model.ts";

/** What people are told of. */
export type Occasion = "completed" | "failed" | "cancelled" | "approval" | "progress";
export const OCCASIONS: readonly Occasion[] = ["completed", "failed", "cancelled", "approval", "progress"];

export type DeliveryState = "pending" | "sending" | "delivered" | "failed";

export interface DeliveryRow {
  /** `<notifier>/<run>/<occasion>/<what tells it from others of its kind>`. */
  id: string;
  notifier: string;
  run: RunSeq;
  occasion: Occasion;
  state: DeliveryState;
  /** JSON of the message; the same for every attempt. */
  message: string;
  attempts: number;
  /** Earliest time of the next attempt; while it is being sent, when the claim runs out. Null at the end. */
  dueAt: number | null;
  /** Why the last attempt failed. */
  error: string | null;
  createdAt: number;
  endedAt: number | null;
}

/** What a notifier has been told of so far. */
export interface NotifierRow {
  /** Its name in the configuration. */
  id: string;
  /** Ends of runs before this are all recorded as deliveries; at first, when the notifier came to be. */
  since: number;
  createdAt: number;
}

/** Waits between attempts: eight attempts within a day. */
export const DELIVERY_DELAYS_MS: readonly number[] = [
  5_000, 30_000, 120_000, 600_000, 1_800_000, 7_200_000, 21_600_000,
];
/** Longer than any adapter may take for one attempt. */
export const DELIVERY_CLAIM_MS = 120_000;

const one = <R>(id: string, rule: (row: DeliveryRow | null, at: number) => Verdict<R>) => ({
  select: { kind: "records" as const, of: [{ table: "delivery" as const, id }] },
  decide: (slice: { records: readonly (DeliveryRow | null)[] }, at: number): Verdict<R> =>
    rule(slice.records[0] ?? null, at),
});

export type NewDelivery = Pick<DeliveryRow, "id" | "notifier" | "run" | "occasion" | "message">;

/** False if the delivery is there already. */
export const recordDelivery = (fresh: NewDelivery) =>
  one(fresh.id, (row, at): Verdict<boolean> => {
    if (row !== null) return { ok: true, result: false };
    const made: DeliveryRow = {
      ...fresh,
      state: "pending",
      attempts: 0,
      dueAt: at,
      error: null,
      createdAt: at,
      endedAt: null,
    };
    return { ok: true, effects: [{ type: "put", table: "delivery", row: made }], result: true };
  });

/** The delivery, to be sent now by whoever asked; null if it is not due, or somebody else sends it. */
export const claimDelivery = (id: string) =>
  one(id, (row, at): Verdict<DeliveryRow | null> => {
    if (row === null || row.dueAt === null || row.dueAt > at) return { ok: true, result: null };
    const claimed: DeliveryRow = {
      ...row,
      state: "sending",
      attempts: row.attempts + 1,
      dueAt: at + DELIVERY_CLAIM_MS,
    };
    return { ok: true, effects: [{ type: "put", table: "delivery", row: claimed }], result: claimed };
  });

/** How an attempt ended; `error` null if it was delivered. `final` means that trying again is of no use. */
export const settleDelivery = (
  { id, attempts }: Pick<DeliveryRow, "id" | "attempts">,
  error: string | null,
  final: boolean,
  /** The receiver asked to wait this long. */
  waitMs = 0,
) =>
  one(id, (row, at): Verdict<DeliveryRow> => {
    if (row === null) return reject("not_found", `there is no delivery "${id}"`);
    if (row.state !== "sending" || row.attempts !== attempts)
      return reject("lease_lost", `delivery ${id} is ${row.state} in attempt ${row.attempts}, not in ${attempts}`);
    const delay = DELIVERY_DELAYS_MS[attempts - 1];
    const over = error === null || final || delay === undefined;
    const next: DeliveryRow = {
      ...row,
      state: error === null ? "delivered" : over ? "failed" : "pending",
      dueAt: over ? null : at + Math.max(delay, waitMs),
      error,
      endedAt: over ? at : null,
    };
    return { ok: true, effects: [{ type: "put", table: "delivery", row: next }], result: next };
  });

/** Remembers that a notifier is there; moves what it has been told of forward. Gives the row. */
export const keepNotifier = (id: string, since: number | null) => ({
  select: { kind: "records" as const, of: [{ table: "notifier" as const, id }] },
  decide: (slice: { records: readonly (NotifierRow | null)[] }, at: number): Verdict<NotifierRow> => {
    const [row = null] = slice.records;
    const next = row ?? { id, since: at, createdAt: at };
    const moved = since === null || since <= next.since ? next : { ...next, since };
    if (moved === row) return { ok: true, result: moved };
    return { ok: true, effects: [{ type: "put", table: "notifier", row: moved }], result: moved };
  },
});
