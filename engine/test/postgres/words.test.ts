/** What PostgreSQL raises is told in words that say what to do, under the code that decides what happens next. */
import { expect, it } from "vitest";
import { LostConnection, storageError } from "../../src/ledger/postgres/storage-error.ts";

const raised = (code: string, message: string) => Object.assign(new Error(message), { code });
const full = raised("53100", "could not extend file: No space left on device");
const crowded = raised("53300", "sorry, too many clients already");

it.each([
  ["a full disk", full, { code: "disk_full", category: "critical" }, "Free space"],
  ["a full house", crowded, { code: "ledger_unavailable", category: "retryable" }, "max_connections"],
  [
    "a full house that lasts",
    new LostConnection(crowded.message, false, crowded),
    { code: "ledger_unavailable", category: "retryable" },
    "max_connections",
  ],
  [
    "a server that is not there",
    new LostConnection("connect ECONNREFUSED", false),
    { code: "ledger_unavailable", category: "retryable" },
    "Check that PostgreSQL runs",
  ],
  [
    "a wrong password",
    raised("28P01", "password authentication failed"),
    { code: "ledger_unavailable", category: "critical" },
    "Check user, password",
  ],
  ["a broken page", raised("XX001", "invalid page"), { code: "ledger_corrupt", category: "critical" }, "restore"],
  ["missing rights", raised("42501", "permission denied"), { code: "ledger_unavailable" }, "postgres.md"],
])("%s", (_, error, kind, hint) => {
  const told = storageError(error, "postgres://db/app");
  expect(told).toMatchObject({ ...kind, hint: expect.stringContaining(hint) });
  expect(told.message).toContain("postgres://db/app");
});
