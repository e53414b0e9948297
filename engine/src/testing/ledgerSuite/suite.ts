/**
 * One conformance suite for every ledger, cut by topic. A ledger is given by two functions, `setup` and `teardown`; after
 * each case the whole ledger is dumped and its invariants are checked.
 *
 * Owner: testing. The test runner comes in as an argument, so that the suite depends on none.
 */
import assert from "node:assert/strict";
import type { Dump } from "../../core/dump.ts";
import { checkInvariants } from "../../core/invariants.ts";
import type { Ledger } from "../../ports/ledger.ts";
import { FakeClock } from "../clock.ts";
import { World } from "../world.ts";

export interface LedgerUnderTest {
  ledger: Ledger;
  /** All rows as they are committed. */
  dump(): Promise<Dump>;
  /** Opens the same ledger once more, as another process would; null where that is not possible. */
  second: (() => Promise<Ledger>) | null;
  /** A path for a backup that does not exist yet, and its dump; null where backups are made otherwise. */
  backup: { path: string; dump(): Promise<Dump> } | null;
  /** Writes into the ledger behind the engine's back; null where that is not possible. */
  spoil: ((sql: string) => void) | null;
}

/** Cases with thousands of jobs, one after the other: each transaction costs a round trip on a server. */
const LARGE: ReadonlySet<string> = new Set([
  "a chain of a thousand, one by one",
  "a stage opens wholly, however many jobs it has and whatever else becomes ready",
  "a run of many jobs",
  "more dependents than one transaction takes are no deadlock",
  "ten thousand jobs start in one transaction",
  "spawn caps: 1,000 children of a job, 10,000 of a run",
  "a run of 10,000 jobs is swept in batches, its siblings are left alone",
  "consequences are worked off while other work goes on",
  "a long cascade of skips ends the run as failed, with the true reason everywhere",
]);

export interface LedgerContract {
  /** False leaves the cases with thousands of jobs out. Default true. */
  large?: boolean;
  setup(clock: FakeClock): Promise<LedgerUnderTest>;
  teardown(under: LedgerUnderTest): Promise<void>;
}

export interface Case extends LedgerUnderTest {
  world: World;
  clock: FakeClock;
  /** Asserts that the ledger is sound now. */
  sound(): Promise<void>;
  /** Leaves the check at the end out, for cases that spoil rows. */
  unsound(): void;
}

export interface Topic {
  name: string;
  cases: { [text: string]: (on: Case) => Promise<void> };
}

export interface Runner {
  describe(name: string, body: () => void): void;
  it(name: string, body: () => Promise<void>): void;
}

export function runTopics(name: string, contract: LedgerContract, runner: Runner, topics: readonly Topic[]): void {
  for (const topic of topics) {
    runner.describe(`${name}: ${topic.name}`, () => {
      for (const [text, body] of Object.entries(topic.cases)) {
        if (contract.large === false && LARGE.has(text)) continue;
        runner.it(text, async () => await runCase(contract, body));
      }
    });
  }
}

async function runCase(contract: LedgerContract, body: (on: Case) => Promise<void>): Promise<void> {
  const clock = new FakeClock();
  const under = await contract.setup(clock);
  let check = true;
  const sound = async () => assert.deepEqual(checkInvariants(await under.dump()), []);
  try {
    await body({
      ...under,
      clock,
      world: new World(under.ledger, clock),
      sound,
      unsound: () => {
        check = false;
      },
    });
    if (check) await sound();
  } finally {
    await contract.teardown(under);
  }
}

/** Lets the ledger work off what it has put off: several turns of the event loop, no time. */
export async function calm(on: Pick<Case, "dump">): Promise<void> {
  for (let turn = 0; turn < 2_000; turn++) {
    await new Promise((next) => setImmediate(next));
    if (turn % 20 === 19 && (await on.dump()).propagations.length === 0) return;
  }
  throw new Error("consequences are never worked off");
}
