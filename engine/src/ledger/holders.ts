/** Holders of a limiter as they are inside a transaction that has taken some and given others back. */
import type { Effect } from "../core/decision.ts";
import type { JobSeq } from "../core/model.ts";

export interface Holder {
  job: JobSeq;
  epoch: number;
  item: number;
}

type HolderEffect = Effect & { type: "hold" | "release" };

/** What this transaction has added and taken away so far. */
export function holderEffects(effects: readonly Effect[]): HolderEffect[] {
  return effects.filter((effect): effect is HolderEffect => effect.type === "hold" || effect.type === "release");
}

/** How many hold the limiter, of those that are stored and those that are not yet. */
export function countHolders(
  stored: readonly Holder[],
  pending: readonly HolderEffect[],
  limiter: { name: string; key: string },
): number {
  const held = new Map<string, Holder>();
  const idOf = (row: Holder) => `${row.job}.${row.epoch}.${row.item}`;
  for (const row of stored) held.set(idOf(row), row);
  for (const effect of pending) {
    const other = (effect.limiter ?? limiter.name) !== limiter.name || (effect.key ?? limiter.key) !== limiter.key;
    if (other) continue;
    if (effect.type === "hold") held.set(idOf(effect), effect);
    else
      for (const [id, row] of held)
        if (row.job === effect.job && row.epoch === effect.epoch && (effect.item ?? row.item) === row.item)
          held.delete(id);
  }
  return held.size;
}
