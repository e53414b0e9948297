/** PostgreSQL is killed while a ledger works on it: what was acknowledged is there, once; what waits goes on by itself. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { checkInvariants } from "../../src/core/invariants.ts";
import { openDatabase } from "../../src/ledger/postgres/connection.ts";
import { openPostgresLedger } from "../../src/ledger/postgres/index.ts";
import { FakeClock } from "../../src/testing/clock.ts";
import { dumpPostgres } from "../../src/testing/postgres-dump.ts";
import { World } from "../../src/testing/world.ts";
import { type Server, startServer } from "./server.ts";
import { sharedServer } from "./shared.ts";

const KILLS = Number(process.env["TENUTO_SERVER_KILLS"] ?? 2);
const none = process.env["TENUTO_TEST_POSTGRES"] !== undefined || (await sharedServer()) === null;

describe.skipIf(none)("a server that is killed", () => {
  let server: Server;
  beforeAll(async () => {
    server = await startServer({ durable: true });
  });
  afterAll(async () => await server?.stop());

  it("again and again, under load: nothing is lost, nothing is there twice", async () => {
    const clock = new FakeClock();
    const ledger = await openPostgresLedger({ url: server.url, clock, ahead: 1 });
    const world = new World(ledger, clock);
    const boot = await world.boot();
    await ledger.putDefinition("v1", "test", "{}");
    const acknowledged = new Set<number>();
    let stop = false;
    let waited = () => {};
    const some = (count: number) =>
      new Promise<void>((resolve) => {
        const wanted = acknowledged.size + count;
        waited = () => {
          if (acknowledged.size >= wanted) resolve();
        };
      });
    const starting = Array.from({ length: 4 }, async (_, lane) => {
      for (let n = 0; !stop; n++) {
        // A key is looked for before it is decided about; without one the start may follow a commit that is under way.
        const key = lane % 2 === 0 ? { idempotencyKey: `${lane}-${n}`, requestHash: "same" } : {};
        const run = await world.start("a | b", key);
        expect(acknowledged.has(run.seq)).toBe(false);
        acknowledged.add(run.seq);
        waited();
      }
    });
    const working = (async () => {
      while (!stop) for (const held of await world.claim(boot, 8)) await world.complete(held);
    })();
    for (let round = 0; round < KILLS; round++) {
      await some(10);
      await server.kill();
      await server.start();
    }
    await some(10);
    stop = true;
    await Promise.all([...starting, working]);
    await world.finish(boot);
    await ledger.close();

    const admin = openDatabase({ url: server.url, writers: 1, readers: 1 });
    const dump = await admin.snapshot((session) => dumpPostgres(session));
    await admin.close();
    expect(checkInvariants(dump)).toEqual([]);
    expect(new Set(dump.runs.map((run) => run.seq))).toEqual(acknowledged);
    expect(dump.runs.filter((run) => run.state !== "completed")).toEqual([]);
    // One attempt each: nothing that was committed is done again.
    expect(dump.jobs.filter((job) => job.attempt !== 1)).toEqual([]);
  }, 3_600_000);
});
