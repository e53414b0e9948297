/**
 * The same random histories with faults on SQLite and on PostgreSQL: every answer and every row is the same. And histories in
 * which much is under way at once, on PostgreSQL alone: the invariants hold, and everything ends.
 */
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Dump } from "../../src/core/dump.ts";
import { type Database, openDatabase } from "../../src/ledger/postgres/connection.ts";
import { openPostgresLedger, type PostgresLedger } from "../../src/ledger/postgres/index.ts";
import { migrate } from "../../src/ledger/postgres/migrate.ts";
import { FakeClock } from "../../src/testing/clock.ts";
import { dumpPostgres } from "../../src/testing/postgres-dump.ts";
import { Simulation } from "../sim/simulation.ts";
import { type Action, KINDS, SqliteStage, type Stage } from "../sim/stage.ts";
import { comparable } from "./compare.ts";
import { Pooler } from "./pooler.ts";
import { createDatabase, emptyTables, sharedServer, type TestDatabase } from "./shared.ts";

const HISTORIES = Number(process.env["TENUTO_DIFFERENTIAL_RUNS"] ?? 6);
const FIRST_SEED = Number(process.env["TENUTO_DIFFERENTIAL_FIRST"] ?? 1);
const STEPS = 60;

const action = (together: fc.Arbitrary<boolean>): fc.Arbitrary<Action> =>
  fc.record({ kind: fc.constantFrom(...KINDS), x: fc.nat(999), y: fc.nat(999), together });
const history = (seed: number, together: fc.Arbitrary<boolean>): Action[] =>
  fc.sample(fc.array(action(together), { minLength: STEPS, maxLength: STEPS, size: "max" }), {
    seed,
    numRuns: 1,
  })[0] as Action[];

class PostgresStage implements Stage {
  readonly clock = new FakeClock();
  readonly quick = false;
  readonly ledger: PostgresLedger;
  private readonly admin: Database;

  constructor(ledger: PostgresLedger, admin: Database) {
    this.ledger = ledger;
    this.admin = admin;
  }

  /** With `ahead` 1 whatever waits is decided while a commit is under way: other batches than SQLite's, which events show. */
  static async open(url: string, admin: Database, ahead = 32): Promise<PostgresStage> {
    await emptyTables(admin);
    const clock = new FakeClock();
    const stage = new PostgresStage(await openPostgresLedger({ url, clock, ahead }), admin);
    return Object.assign(stage, { clock });
  }

  dump(): Promise<Dump> {
    return this.admin.snapshot((session) => dumpPostgres(session));
  }

  async clear(): Promise<void> {
    await this.ledger.close();
  }
}

/** Answers without the numbers in which ledgers differ. */
const answers = (simulation: Simulation): string[] => simulation.log.map((line) => line.replaceAll(/\d+/g, "n"));

const server = await sharedServer();

describe.skipIf(server === null)("SQLite and PostgreSQL", () => {
  let test: TestDatabase;
  let admin: Database;
  beforeAll(async () => {
    test = await createDatabase(server as string);
    admin = openDatabase({ url: test.url, writers: 1, readers: 1 });
    await migrate(admin);
  });
  afterAll(async () => {
    await admin?.close();
    await test?.drop();
  });

  it(`${HISTORIES} histories of ${STEPS} steps: the same answers and the same rows`, async () => {
    for (let seed = FIRST_SEED; seed < FIRST_SEED + HISTORIES; seed++) {
      const actions = history(seed, fc.constant(false));
      const stages = [new SqliteStage(), await PostgresStage.open(test.url, admin)] as const;
      const simulations = stages.map((stage) => new Simulation(stage));
      for (const round of ["play", "settle"] as const) {
        const seen = [];
        for (const [at, stage] of stages.entries()) {
          const simulation = simulations[at] as Simulation;
          await (round === "play" ? simulation.play(actions) : simulation.settle());
          seen.push({ answers: answers(simulation), rows: await comparable(stage.ledger, await stage.dump()) });
        }
        expect(seen[1], `TENUTO_DIFFERENTIAL_FIRST=${seed} after ${round}`).toEqual(seen[0]);
      }
      for (const stage of stages) await stage.ledger.close();
    }
  }, 3_600_000);

  it(`${HISTORIES} histories with much at once: the invariants hold and everything ends`, async () => {
    for (let seed = FIRST_SEED; seed < FIRST_SEED + HISTORIES; seed++) {
      const stage = await PostgresStage.open(test.url, admin, seed % 3 === 0 ? 32 : 1);
      const simulation = new Simulation(stage);
      try {
        await simulation.play(
          history(
            seed,
            fc.nat(2).map((n) => n > 0),
          ),
        );
        await simulation.settle();
      } catch (error) {
        throw new Error(`TENUTO_DIFFERENTIAL_FIRST=${seed}: ${String(error)}\n${simulation.log.join("\n")}`);
      } finally {
        await stage.clear();
      }
    }
  }, 3_600_000);

  it("through a pooler in transaction mode", async () => {
    const pooler = new Pooler(test.url);
    const stage = await PostgresStage.open(await pooler.listen(6), admin, 1);
    const simulation = new Simulation(stage);
    await simulation.play(history(FIRST_SEED, fc.boolean()));
    await simulation.settle();
    await stage.clear();
    await pooler.close();
    expect(pooler.switches).toBeGreaterThan(20);
  });
});
