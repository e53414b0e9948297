/**
 * random histories with faults on the real ledger. The invariants hold after each step; when the faults stop,
 * everything ends. A failure prints one line that plays it again, and the shortest history found that still fails.
 */
import fc from "fast-check";
import { expect, it } from "vitest";
import { Simulation } from "./simulation.ts";
import { type Action, KINDS, SqliteStage } from "./stage.ts";

const RUNS = Number(process.env["TENUTO_SIM_RUNS"] ?? 300);
const STEPS = 100;
const FIRST_SEED = Number(process.env["TENUTO_SIM_FIRST"] ?? 1);
const SHRINK_MS = 20_000;

const action: fc.Arbitrary<Action> = fc.record({
  kind: fc.constantFrom(...KINDS),
  x: fc.nat(999),
  y: fc.nat(999),
  together: fc.integer({ min: 0, max: 3 }).map((n) => n === 0),
});
const histories = fc.array(action, { minLength: STEPS, maxLength: STEPS, size: "max" });

let stage: SqliteStage | null = null;

/** The problem that a history ends with, if any. */
async function problemOf(actions: readonly Action[]): Promise<string | null> {
  stage ??= new SqliteStage();
  const simulation = new Simulation(stage);
  try {
    await simulation.play(actions);
    await simulation.settle();
    await stage.clear();
    return null;
  } catch (error) {
    await stage.ledger.close();
    stage = null;
    return `${error instanceof Error ? error.message : String(error)}\n${simulation.log.join("\n")}`;
  }
}

/** Leaves out whatever is not needed for a failure. */
async function shrink(actions: readonly Action[]): Promise<Action[]> {
  let least = [...actions];
  const deadline = performance.now() + SHRINK_MS;
  for (let size = Math.ceil(least.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let at = 0; at < least.length && performance.now() < deadline; ) {
      const shorter = least.toSpliced(at, size);
      if ((await problemOf(shorter)) !== null) least = shorter;
      else at += size;
    }
  }
  return least;
}

it(`${RUNS} histories of ${STEPS} steps keep the invariants and end`, async () => {
  const replay = process.env["TENUTO_SIM"];
  const [first, last] = replay === undefined ? [FIRST_SEED, FIRST_SEED + RUNS - 1] : [Number(replay), Number(replay)];
  for (let seed = first; seed <= last; seed++) {
    const [actions] = fc.sample(histories, { seed, numRuns: 1 }) as [Action[]];
    const problem = await problemOf(actions);
    if (problem === null) continue;
    const least = await shrink(actions);
    const shortest = least.map(({ kind, x, y, together }) => `${kind}(${x},${y})${together ? "&" : ""}`).join(" ");
    expect.fail(`TENUTO_SIM=${seed} npx vitest run engine/test/sim\n${await problemOf(least)}\n${shortest}`);
  }
}, 3_600_000);
