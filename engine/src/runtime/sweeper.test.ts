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
  beforeEach(() => {
    clock = new FakeClock(1_700_000_000_000);
    monotonic = 1_000;
    vi.spyOn(performance, "now").mockImplementation(() => monotonic);
    ledger = openSqliteLedger({ path: ":memory:", clock });
    onTheWay = async () => {};
    const slow: Pick<Ledger, "boots" | "abandoned" | "endBoot"> = {
      boots: async (state) => {
        const boots = await ledger.boots(state);
        await onTheWay();
        return boots;
      },
      abandoned: () => ledger.abandoned(),
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
    ledger.registerBoot({ id: "far.1", host: "far", machine: "far", pid: 1, pidStart: "1", startedAt: clock.now() });
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
});
