/** The conformance suite that any ledger must pass. Owner: testing. */
import { artifacts } from "./artifacts.ts";
import { cancel } from "./cancel.ts";
import { claim } from "./claim.ts";
import { fanouts } from "./fanout.ts";
import { fencing } from "./fencing.ts";
import { graphs } from "./graph.ts";
import { limits } from "./limits.ts";
import { people } from "./people.ts";
import { records } from "./records.ts";
import { reopen } from "./reopen.ts";
import { schedules } from "./schedules.ts";
import { start } from "./start.ts";
import { type LedgerContract, type Runner, runTopics } from "./suite.ts";
import { upkeep } from "./upkeep.ts";

export type { LedgerContract, LedgerUnderTest, Runner } from "./suite.ts";

const TOPICS = [
  start,
  claim,
  fencing,
  graphs,
  fanouts,
  limits,
  records,
  cancel,
  people,
  reopen,
  schedules,
  upkeep,
  artifacts,
];

export function ledgerSuite(name: string, contract: LedgerContract, runner: Runner): void {
  runTopics(name, contract, runner, TOPICS);
}
