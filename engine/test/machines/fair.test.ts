/**
 * One fan-out on two workers. Whoever comes first takes all of its slots; where items are slow the other one gets its share, a
 * worker that comes later too, and what nobody takes is taken back.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { defineAgent, definePipeline, openTenuto, type Tenuto } from "tenuto";
import { afterEach, describe, expect, test } from "vitest";
import { FairShare, PATIENCE_MS } from "../../src/runtime/fair-share.ts";
import { FakeClock } from "../../src/testing/clock.ts";
import { createDatabase, sharedServer, type TestDatabase } from "../postgres/shared.ts";

const ITEMS = 2_000;
const SLOTS = 20;
/** So many items each worker does slowly; what comes after that is done at once, so that the test ends. */
const ENOUGH = 2 * SLOTS;

const takes = (ms: number) => new Promise<void>((next) => setTimeout(next, ms));

const server = await sharedServer();

describe.skipIf(server === null)("a fan-out on two workers", () => {
  let database: TestDatabase;
  const root = mkdtempSync(join(tmpdir(), "tenuto-fair-"));
  const opened: Tenuto[] = [];
  afterEach(async () => {
    for (const tenuto of opened.splice(0)) await tenuto.close();
    await database?.drop();
    rmSync(root, { recursive: true, force: true });
  });

  test("slow items go to both of them, and never more at once than the fan-out's slots", {
    timeout: 240_000,
  }, async () => {
    database = await createDatabase(server as string);
    const done = new Map<string, number>();
    let [atWork, most] = [0, 0];
    const open = async (name: string) => {
      done.set(name, 0);
      const slow = defineAgent({
        name: "fair/slow",
        run: async (item: number) => {
          atWork += 1;
          most = Math.max(most, atWork);
          // Nothing is decided by how long this takes; it is slow until both have shown that they take part.
          if ([...done.values()].some((count) => count < ENOUGH)) await takes(100);
          atWork -= 1;
          done.set(name, (done.get(name) ?? 0) + 1);
          return item;
        },
      });
      const source = Array.from({ length: ITEMS }, (_, n) => n);
      const pipeline = definePipeline({
        name: "fair",
        jobs: [{ id: "each", agent: slow, forEach: { source, concurrency: SLOTS } }],
      });
      const home = join(root, name);
      const tenuto = await openTenuto({ home, database: database.url, pipelines: [pipeline] });
      opened.push(tenuto);
      return tenuto;
    };
    const [first] = await Promise.all([open("first"), open("second")]);
    const run = await first.start("fair");
    const { state } = await run.wait({ timeoutMs: 200_000 });
    expect(state).toBe("completed");
    expect(Math.min(...done.values()), JSON.stringify([...done])).toBeGreaterThanOrEqual(ENOUGH);
    expect(done.get("first")! + done.get("second")!).toBe(ITEMS);
    expect(most).toBeLessThanOrEqual(SLOTS);
  });
});

describe("what is left to others", () => {
  /** A fan-out whose items take `itemMs`, on a worker beside `takers - 1` others. */
  function on({ itemMs, takers }: { itemMs: number; takers: number }) {
    const clock = new FakeClock(1_700_000_000_000);
    const boots = Array.from({ length: takers }, (_, n) => ({ seq: n + 1, heartbeatAt: clock.now() }));
    const ledger = {
      now: () => clock.now(),
      boots: async () => boots,
      offers: async () => boots.map(({ seq }) => ({ boot: seq, agents: ["fair/slow"] })),
    };
    const pace = { ended: 0, atWork: 100, slots: 100 };
    const given: number[] = [];
    const driver = {
      pace,
      give: (slots: number, tell: (taken: boolean) => void) => {
        given.push(slots);
        pace.slots -= slots;
        tell(true);
      },
    };
    let again = 0;
    const shares = new FairShare({ ledger, clock, probe: { alive: () => null } } as never, () => again++);
    const fanout = { job: 7, agent: "fair/slow", concurrency: 100, since: clock.now(), driver };
    const second = async () => {
      clock.advance(1_000);
      pace.ended += Math.round((1_000 * pace.atWork) / itemMs);
      await shares.look([fanout]);
    };
    return { clock, shares, pace, given, second, again: () => again, forget: () => shares.look([]) };
  }

  test.each([
    { itemMs: 200, takers: 2, slots: 50 },
    { itemMs: 200, takers: 3, slots: 66 },
    { itemMs: 60_000, takers: 2, slots: 50 },
  ])("items of $itemMs ms on $takers workers: $slots slots", async ({ itemMs, takers, slots }) => {
    const { given, second, shares } = on({ itemMs, takers });
    await second();
    expect(given).toEqual([slots]);
    expect(shares.leaves(7)).toBe(true);
    expect(shares.leaves(8)).toBe(false);
  });

  test.each([
    { itemMs: 10, takers: 2 },
    { itemMs: 200, takers: 1 },
  ])("nothing of quick items, and nothing where nobody else is: $itemMs ms, $takers worker(s)", async (how) => {
    const { given, second, shares } = on(how);
    for (let n = 0; n < 5; n++) await second();
    expect([given, shares.leaves(7)]).toEqual([[], false]);
  });

  test("what nobody takes is taken back, and the next try comes later each time", async () => {
    const { given, second, shares, again, pace, clock, forget } = on({ itemMs: 200, takers: 2 });
    await second();
    clock.advance(PATIENCE_MS);
    expect([shares.leaves(7), again()]).toEqual([false, 1]);
    const tries: number[] = [];
    for (let seconds = 1; seconds <= 60; seconds++) {
      // The worker has claimed them again as soon as it might.
      if (!shares.leaves(7)) pace.slots = 100;
      const before = given.length;
      await second();
      if (given.length > before) tries.push(seconds);
    }
    expect(tries).toEqual([10, 33]);
    await forget();
    expect(shares.leaves(7)).toBe(false);
  });
});
