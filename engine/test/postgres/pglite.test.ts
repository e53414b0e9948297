/** The conformance suite on PGlite, PostgreSQL in this process. */
import { describe, it } from "vitest";
import { ledgerSuite } from "../../src/testing/ledgerSuite/index.ts";
import { inProcess } from "./contract.ts";

ledgerSuite("PGlite", inProcess(), { describe, it });
