/** The conformance suite on a real PostgreSQL server. */
import { describe, it } from "vitest";
import { ledgerSuite } from "../../src/testing/ledgerSuite/index.ts";
import { onServer } from "./contract.ts";
import { sharedServer } from "./shared.ts";

const server = await sharedServer();
if (server === null) describe.skip("PostgreSQL: no server", () => {});
else ledgerSuite("PostgreSQL", onServer(server), { describe, it });
