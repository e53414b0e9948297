/**
 * Rules of webhooks: where messages about runs go out to, and where messages that start runs come in.
 *
 * Owner: core. Invariants: (1) secrets are not here: they are derived from a key of the home, the id and `secretVersion`;
 * (2) after a rotation the former secret counts beside the new one for a day.
 */
import type { Verdict } from "./decision.ts";
import { reject } from "./decision.ts";
import type { DeliveryRow } from "./delivery.ts";

export interface WebhookRow {
  id: string;
  url: string;
  /** JSON of Occasion[]. */
  occasions: string;
  /** Only runs of this pipeline; null for all. */
  pipeline: string | null;
  /** Between two messages on the progress of a run. */
  intervalMs: number;
  enabled: 0 | 1;
  secretVersion: number;
  rotatedAt: number | null;
  createdAt: number;
  updatedAt: number;
}

/** A way in: a signed message starts a run. */
export interface HookRow {
  id: string;
  /** Name of the pipeline or template. */
  pipeline: string;
  /** JSON of the params, with placeholders `{{ params.… }}` over the message's body. */
  params: string;
  enabled: 0 | 1;
  secretVersion: number;
  rotatedAt: number | null;
  createdAt: number;
  updatedAt: number;
}

export const ROTATION_MS = 86_400_000;

interface Rows {
  webhook: WebhookRow;
  hook: HookRow;
}
type Fresh<T extends keyof Rows> = Omit<Rows[T], "secretVersion" | "rotatedAt" | "createdAt" | "updatedAt">;

const one = (table: keyof Rows, id: string) => ({ kind: "records" as const, of: [{ table, id }] });

type Slice = { records: readonly (WebhookRow | HookRow | null)[] };

const put = <T extends keyof Rows>(table: T, row: Rows[T]): Verdict<Rows[T]> => ({
  ok: true,
  effects: [{ type: "put", table, row } as never],
  result: row,
});

/** 2026, in seconds. */
const EPOCH_SECONDS = 1_767_225_600;

/** A name that was removed and is used again has another secret than before: versions begin with the time. */
const firstVersion = (at: number): number => Math.max(1, Math.floor(at / 1_000) - EPOCH_SECONDS);

/** Makes it, or takes the place of what is there under the same id; the secret stays. */
export const putWebhook = <T extends keyof Rows>(table: T, fresh: Fresh<T>, create: boolean) => ({
  select: one(table, fresh.id as string),
  decide: (slice: Slice, at: number): Verdict<Rows[T]> => {
    const before = (slice.records[0] ?? null) as Rows[T] | null;
    if (create && before !== null) return reject("conflict", `there is a ${table} "${fresh.id}" already`);
    if (!create && before === null) return reject("not_found", `there is no ${table} "${fresh.id}"`);
    const { secretVersion = firstVersion(at), rotatedAt = null, createdAt = at } = before ?? {};
    return put(table, { ...fresh, secretVersion, rotatedAt, createdAt, updatedAt: at } as unknown as Rows[T]);
  },
});

export const rotateWebhook = <T extends keyof Rows>(table: T, id: string) => ({
  select: one(table, id),
  decide: (slice: Slice, at: number): Verdict<Rows[T]> => {
    const row = (slice.records[0] ?? null) as Rows[T] | null;
    if (row === null) return reject("not_found", `there is no ${table} "${id}"`);
    return put(table, { ...row, secretVersion: row.secretVersion + 1, rotatedAt: at, updatedAt: at });
  },
});

export const dropWebhook = (table: keyof Rows, id: string) => ({
  select: one(table, id),
  decide: (slice: Slice): Verdict<void> =>
    slice.records[0] == null
      ? reject("not_found", `there is no ${table} "${id}"`)
      : { ok: true, effects: [{ type: "drop", table, id }] },
});

/** Under which name its deliveries are recorded. */
export const webhookNotifier = (id: string): string => `webhook.${id}`;

/** Begins the attempts of a delivery anew, however it ended. */
export const resendDelivery = (id: string) => ({
  select: { kind: "records" as const, of: [{ table: "delivery" as const, id }] },
  decide: (slice: { records: readonly (DeliveryRow | null)[] }, at: number): Verdict<DeliveryRow> => {
    const row = slice.records[0] ?? null;
    if (row === null) return reject("not_found", `there is no delivery "${id}"`);
    if (row.endedAt === null) return reject("conflict", `delivery ${id} is ${row.state}: it has not ended yet`);
    const again: DeliveryRow = { ...row, state: "pending", attempts: 0, dueAt: at, error: null, endedAt: null };
    return { ok: true, effects: [{ type: "put", table: "delivery", row: again }], result: again };
  },
});

/** The versions of a secret that count at a time, the newest first. */
export function secretVersions(row: Pick<WebhookRow, "secretVersion" | "rotatedAt">, at: number): number[] {
  const former = row.rotatedAt !== null && at < row.rotatedAt + ROTATION_MS ? [row.secretVersion - 1] : [];
  return [row.secretVersion, ...former];
}
