/**
 * a cancel in every order with what else may happen to a run at the same time, in one batch and in several. The run
 * ends in one of the legal states, nothing starts after it was cancelled, its siblings do not notice.
 */
import { afterAll, expect, it } from "vitest";
import * as changes from "../../src/core/changes.ts";
import { checkInvariants } from "../../src/core/invariants.ts";
import { errorOf } from "../../src/testing/builders.ts";
import { dumpSqlite } from "../../src/testing/sqlite-dump.ts";
import { type Held, World } from "../../src/testing/world.ts";
import { SqliteStage } from "./stage.ts";

const LONG = process.env["LONG"] === "1";
/** How many other things happen beside the cancel. */
const OTHERS = LONG ? 3 : 2;

interface Scene {
  world: World;
  run: number;
  boot: number;
  other: number;
  held: Record<string, Held>;
  /** Whether the cancel was accepted. */
  cancelled: boolean;
}

const OPS: Record<string, (scene: Scene) => Promise<unknown>> = {
  cancel: async (scene) => {
    scene.cancelled = await scene.world.cancel(scene.run);
  },
  claim: ({ world, other }) => world.claim(other, 10),
  complete: ({ world, held }) => world.complete(held["a"] as Held),
  retryLater: ({ world, held }) => world.fail(held["a"] as Held, errorOf("retryable"), { maxRetries: 3, delayMs: 50 }),
  halt: ({ world, held }) => world.fail(held["b"] as Held, errorOf("critical")),
  spawn: ({ world, held }) => world.spawn(held["b"] as Held, "kid"),
  park: ({ world, held }) => world.park(held["b"] as Held, 1_000),
  expand: ({ world, held }) => world.expand(held["f"] as Held, 6),
  window: async ({ world, held, boot }) => {
    const window = await world.leaseWindow((held["g"] as Held).job, boot, null, 1);
    if (window !== null) await world.settleAll(window);
  },
  lose: ({ world, boot }) => world.bury(boot),
  retryRun: ({ world, run }) => world.retry(run),
  replace: ({ world }) => world.start("z", { concurrency: { key: "k", onConflict: "replace" } }),
};

const stage = new SqliteStage();
afterAll(() => stage.ledger.close());

async function sceneOf(world: World): Promise<Scene> {
  const [boot, other] = [await world.boot(), await world.boot()];
  const { seq: run } = await world.start("a b f* g* | c", { concurrency: { key: "k", onConflict: "queue" } });
  const held = Object.fromEntries((await world.claim(boot, 10)).map((one) => [one.id, one]));
  await world.expand(held["g"] as Held, 6, { concurrency: 4 });
  return { world, run, boot, other, held, cancelled: false };
}

async function play(order: readonly string[], together: number): Promise<string> {
  const world = new World(stage.ledger, stage.clock);
  await stage.ledger.putDefinition("v1", "test", "{}");
  const scene = await sceneOf(world);
  const sibling = await world.start("s | t");
  const before = await world.states(sibling.seq);
  let batch: Promise<unknown>[] = [];
  for (const [at, name] of order.entries()) {
    if ((together & (1 << at)) === 0) {
      await Promise.allSettled(batch);
      batch = [];
    }
    batch.push((OPS[name] as (scene: Scene) => Promise<unknown>)(scene));
  }
  for (const answer of await Promise.allSettled(batch))
    if (answer.status === "rejected" && (answer.reason as { code?: string }).code === "internal") throw answer.reason;
  sound();
  if (!order.includes("claim")) expect(await world.states(sibling.seq)).toBe(before);
  for (const dead of [scene.boot, scene.other]) await world.bury(dead, 100);
  await world.finish(await world.boot());
  sound();
  const run = await world.run(scene.run);
  expect((await world.run(sibling.seq)).state).toBe("completed");
  await stage.clear();
  return scene.cancelled ? run.state : `refused, ${run.state}`;
}

function sound(): void {
  const problems = checkInvariants(dumpSqlite(stage.ledger.db));
  if (problems.length > 0) throw new Error(problems.join("\n"));
}

function permutations<T>(list: readonly T[]): T[][] {
  if (list.length <= 1) return [[...list]];
  return list.flatMap((first, at) => permutations(list.toSpliced(at, 1)).map((rest) => [first, ...rest]));
}

function subsets(names: readonly string[], size: number): string[][] {
  if (size === 0) return [[]];
  return names.flatMap((name, at) => subsets(names.slice(at + 1), size - 1).map((rest) => [name, ...rest]));
}

it(`a cancel in all orders with ${OTHERS} others`, async () => {
  const others = Object.keys(OPS).filter((name) => name !== "cancel");
  const ends = new Map<string, number>();
  for (const chosen of subsets(others, OTHERS))
    for (const order of permutations(["cancel", ...chosen]))
      for (let together = 0; together < 2 ** (OTHERS + 1); together += 2) {
        const name = order.map((op, at) => ((together & (1 << at)) === 0 ? op : `& ${op}`)).join(" ");
        const end = await play(order, together).catch((error) => expect.fail(`${name}: ${(error as Error).message}`));
        ends.set(end, (ends.get(end) ?? 0) + 1);
        // A cancel that was accepted is only undone by a retry.
        if (!order.includes("retryRun")) expect(end, name).toMatch(/^(cancelled|refused, failed|refused, cancelled)$/);
      }
  // A retry of the run may follow the cancel, and then the run completes.
  const legal = ["cancelled", "completed", "refused, cancelled", "refused, completed", "refused, failed"];
  for (const end of ends.keys()) expect(legal).toContain(end);
  for (const end of ["cancelled", "completed"]) expect(ends.get(end)).toBeGreaterThan(0);
}, 3_600_000);

it("a cancel and a halt of one run do not get in each other's way", async () => {
  const world = new World(stage.ledger, stage.clock);
  await stage.ledger.putDefinition("v1", "test", "{}");
  const scene = await sceneOf(world);
  await Promise.all([OPS["halt"]?.(scene), OPS["cancel"]?.(scene)]);
  await stage.ledger.apply(changes.haltRun(scene.run, errorOf("critical")));
  await world.bury(scene.boot);
  expect((await world.run(scene.run)).state).toBe("cancelled");
  sound();
  await stage.clear();
});
