/** Who the sweeper takes for dead: R-07 from the other side. A process that was cut off itself must not bury the living. */
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { openSqliteLedger, type SqliteLedger } from "../ledger/sqlite/index.ts";
import type { Ledger } from "../ports/ledger.ts";
import { FakeClock } from "../testing/clock.ts";
import { Sweeper } from "./sweeper.ts";

const LEASE_MS = 30_000;

describe("sweeper", () => {
  let ledger: SqliteLedger;
  let clock: FakeClock;
  let monotonic: number;
  /** Happens between the question for the boots and its answer. */
  let onTheWay: () => Promise<void>;
  let sweeper: Sweeper;
  /** How often leases of ended boots were looked for. */
  let looks: number;
  let boots = 0;
  beforeEach(() => {
    clock = new FakeClock(1_700_000_000_000);
    monotonic = 1_000;
    vi.spyOn(performance, "now").mockImplementation(() => monotonic);
    ledger = openSqliteLedger({ path: ":memory:", clock });
    onTheWay = async () => {};
    looks = 0;
    const slow: Pick<Ledger, "boots" | "abandoned" | "endBoot"> = {
      boots: async (state) => {
        const boots = await ledger.boots(state);
        await onTheWay();
        return boots;
      },
      abandoned: () => {
        looks += 1;
        return ledger.abandoned();
      },
      endBoot: (boot, state, heartbeatAt) => ledger.endBoot(boot, state, heartbeatAt),
    };
    const options = { leaseMs: LEASE_MS, maxCrashes: 3, retentionMs: null };
    // Nobody can tell of a boot on another machine whether its process lives.
    sweeper = new Sweeper({ ledger: slow, clock, probe: { alive: () => null } } as never, options as never, () => 0);
  });
  afterEach(async () => {
    vi.restoreAllMocks();
    await ledger.close();
  });

  const boot = () =>
    ledger.registerBoot({
      id: `far.${++boots}`,
      host: "far",
      machine: "far",
      pid: 1,
      pidStart: "1",
      startedAt: clock.now(),
    });
  const pass = (ms: number) => {
    monotonic += ms;
    clock.advance(ms);
  };
  const beat = (seq: number) =>
    void ledger.db.prepare("UPDATE boot SET heartbeat_at = ? WHERE seq = ?").run(clock.now(), seq);
  const states = async () => (await ledger.boots()).map((row) => row.state);

  it("declares a boot dead whose heartbeat has not changed for a lease", async () => {
    await boot();
    await sweeper.checkBoots();
    pass(LEASE_MS);
    await sweeper.checkBoots();
    expect(await states()).toEqual(["alive"]);
    pass(1);
    await sweeper.checkBoots();
    expect(await states()).toEqual(["dead"]);
  });

  it("counts no time in which it had no answer itself: the question was under way while the network was down", async () => {
    const seq = await boot();
    await sweeper.checkBoots();
    pass(1_000);
    beat(seq);
    // The question is asked, the network goes down and comes back, and only then the answer is there.
    onTheWay = async () => pass(2 * LEASE_MS);
    await sweeper.checkBoots();
    onTheWay = async () => {};
    pass(1_000);
    await sweeper.checkBoots();
    expect(await states()).toEqual(["alive"]);
    pass(LEASE_MS);
    await sweeper.checkBoots();
    expect(await states()).toEqual(["dead"]);
  });

  it("buries nobody who has been heard of since the boots were read", async () => {
    const seq = await boot();
    await sweeper.checkBoots();
    pass(LEASE_MS + 1);
    onTheWay = async () => beat(seq);
    await sweeper.checkBoots();
    expect(await states()).toEqual(["alive"]);
  });

  it("looks for leases of boots that ended for a lease after their end, then once a minute", async () => {
    const seq = await boot();
    const checks = async (count: number) => {
      looks = 0;
      for (let n = 0; n < count; n++) {
        pass(1_000);
        beat(seq);
        await sweeper.checkBoots();
      }
      return looks;
    };
    // What was there before this process may have ended a moment ago.
    expect(await checks(30)).toBe(30);
    await checks(60);
    expect(await checks(60)).toBe(1);
    // Declared dead by another process: it is not among those alive any more.
    await ledger.endBoot(seq, "dead");
    expect(await checks(30)).toBe(30);
    expect(await checks(60)).toBe(1);
    const other = await boot();
    await checks(1);
    looks = 0;
    pass(LEASE_MS + 1);
    await sweeper.checkBoots();
    expect([(await states()).at(-1), looks, other > seq]).toEqual(["dead", 1, true]);
    expect(await checks(29)).toBe(29);
  });
});
