/**
 * The PostgreSQL server that all test files of one run share, and databases on it. It is started when the first file asks for
 * it, by the process that runs the tests, and ends with it; see ./setup.ts.
 *
 * `TENUTO_TEST_POSTGRES=postgres://…` names a server to be used instead; its role must be allowed to create databases.
 */
import { randomBytes } from "node:crypto";
import { createConnection } from "node:net";
import { text } from "node:stream/consumers";
import { inject } from "vitest";
import { type Database, openDatabase } from "../../src/ledger/postgres/connection.ts";

declare module "vitest" {
  interface ProvidedContext {
    /** Where the process that runs the tests listens for whoever needs a server. */
    postgres: string;
  }
}

/** `ca` is the file of who has signed the server's certificate; null for a server of somebody else's. */
export type Answer = { url: string; ca: string | null } | { reason: string };

let answer: Promise<Answer> | null = null;

async function ask(): Promise<Answer> {
  const given = process.env["TENUTO_TEST_POSTGRES"];
  if (given !== undefined && given !== "") return { url: given, ca: null };
  const socket = createConnection(inject("postgres"));
  return JSON.parse(await text(socket)) as Answer;
}

/** The server's URL; null, with the reason printed, where none can be run. */
export async function sharedServer(): Promise<string | null> {
  answer ??= ask();
  const found = await answer;
  if ("url" in found) return found.url;
  console.warn(`Tests on PostgreSQL are left out: ${found.reason}`);
  return null;
}

export async function sharedAuthority(): Promise<string | null> {
  const found = await answer;
  return found !== null && "ca" in found ? found.ca : null;
}

export interface TestDatabase {
  url: string;
  drop(): Promise<void>;
}

/** A new, empty database. */
export async function createDatabase(server: string): Promise<TestDatabase> {
  const name = `test_${randomBytes(6).toString("hex")}`;
  const admin = async (sql: string) => {
    const database = openDatabase({ url: server, writers: 1, readers: 0 });
    try {
      await database.query(sql);
    } finally {
      await database.close();
    }
  };
  await admin(`CREATE DATABASE ${name} ENCODING 'UTF8' TEMPLATE template0`);
  const url = new URL(server);
  url.pathname = `/${name}`;
  return { url: url.href, drop: () => admin(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`) };
}

/** Takes all rows out of a ledger's tables, and lets numbers begin anew: much faster than a new schema. */
export async function emptyTables(database: Database): Promise<void> {
  const tables = await database.query<{ name: string }>(
    "SELECT c.relname AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relkind = 'r' AND pg_relation_size(c.oid) > 0",
    [database.schema],
  );
  const kept = new Set(["schema_migration", "number", "definition"]);
  await database.pipeline([
    ...tables.filter(({ name }) => !kept.has(name)).map(({ name }) => ({ sql: `DELETE FROM "${name}"` })),
    { sql: "DELETE FROM definition" },
    { sql: "UPDATE number SET next = 1" },
    {
      sql: `SELECT setval(c.oid, s.seqstart, false) FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid
        JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1`,
      values: [database.schema],
    },
  ]);
}
