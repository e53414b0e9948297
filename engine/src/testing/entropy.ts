/** Randomness from a seed: the same seed gives the same numbers, on every machine. Owner: testing. */
import type { Entropy } from "../ports/clock.ts";

export interface Random extends Entropy {
  /** A whole number in [0, below). */
  below(below: number): number;
  /** True with this probability. */
  chance(probability: number): boolean;
  pick<T>(list: readonly T[]): T;
}

/** mulberry32: small, fast, good enough to choose test cases. */
export function seededEntropy(seed: number): Random {
  let state = seed >>> 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  const below = (limit: number): number => Math.floor(next() * limit);
  return {
    below,
    chance: (probability) => next() < probability,
    pick: (list) => list[below(list.length)] as (typeof list)[number],
    hex: (bytes) => {
      let text = "";
      for (let at = 0; at < bytes; at++) text += below(256).toString(16).padStart(2, "0");
      return text;
    },
  };
}
