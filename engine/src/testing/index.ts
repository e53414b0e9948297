/** `tenuto/testing`: what tests of pipelines, agents and ledgers are built from. */
export type { Dump } from "../core/dump.ts";
export { checkInvariants } from "../core/invariants.ts";
export { errorOf, graph, planFrom, type StartSettings, startOf } from "./builders.ts";
export { FakeClock } from "./clock.ts";
export { type Random, seededEntropy } from "./entropy.ts";
export { type LedgerContract, type LedgerUnderTest, ledgerSuite, type Runner } from "./ledgerSuite/index.ts";
export { codeOf, type Held, World } from "./world.ts";
