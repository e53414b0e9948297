/** Seeded randomness and the figures of a suite, which the long runner raises by environment variables. */

export type Random = () => number;

/** Mulberry32: small, fast, and the same on every machine. */
export function seeded(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

export function between(random: Random, low: number, high: number): number {
  return Math.floor(low + random() * (high - low + 1));
}

/** A figure of a suite: `CRASH_<NAME>` where given, otherwise what fits into `npm test`. */
export function figure(name: string, otherwise: number): number {
  const text = process.env[`CRASH_${name}`];
  return text === undefined || text === "" ? otherwise : Number(text);
}

export const SEED = figure("SEED", 20_260_901);

/** The line that repeats a failure. */
export function replay(file: string, figures: Record<string, number | string> = {}): string {
  const settings = Object.entries({ SEED, ...figures }).map(([name, value]) => `CRASH_${name}=${value}`);
  return `replay: ${settings.join(" ")} npx vitest run engine/test/crash/${file}`;
}
