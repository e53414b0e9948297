/**
 * The schema of a PostgreSQL ledger: made and migrated under an advisory lock, one transaction each; refusal of what is newer
 * or not ours.
 *
 * Invariants: (1) of several processes that start at once one migrates and the others wait for it; (2) a schema that is up to
 * date is only read, so that a role without the right to change it can work; (3) a migration that fails leaves nothing.
 */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { TenutoError } from "../../core/errors.ts";
import { type Applied, type Migration, planMigrations } from "../migrate.ts";
import type { Database, Session } from "./connection.ts";
import { codeOf, storageError } from "./storage-error.ts";

const MIGRATIONS = fileURLToPath(new URL("./migrations/", import.meta.url));
/** Older servers lack what the statements ask for: they are not looked after by their makers either. */
const OLDEST_SERVER = 140_000;
const STAMP =
  "CREATE TABLE IF NOT EXISTS schema_migration (number bigint PRIMARY KEY, checksum text NOT NULL, name text NOT NULL)";
/** Whoever migrates may take long. */
const LOCK = { sql: "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", patient: true };

export function loadMigrations(folder = MIGRATIONS): Migration[] {
  return readdirSync(folder)
    .filter((name) => /^\d{4}_.*\.sql$/.test(name))
    .sort()
    .map((name) => {
      const sql = readFileSync(`${folder}/${name}`, "utf8");
      return { number: Number(name.slice(0, 4)), name, sql, checksum: createHash("sha256").update(sql).digest("hex") };
    });
}

/** Statements of a migration file; none of ours holds a semicolon inside. */
function statementsOf(sql: string): { sql: string }[] {
  return sql
    .replaceAll(/--.*$/gm, "")
    .split(";")
    .map((text) => ({ sql: text.trim() }))
    .filter(({ sql: text }) => text !== "");
}

interface State {
  applied: Applied[];
  stamped: boolean;
  empty: boolean;
}

async function stateOf(session: Pick<Session, "query">, schema: string): Promise<State> {
  const tables = await session.query<{ name: string }>(
    "SELECT c.relname AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relkind = 'r'",
    [schema],
  );
  const stamped = tables.some(({ name }) => name === "schema_migration");
  const applied = stamped
    ? await session.query<Applied>("SELECT number, checksum FROM schema_migration ORDER BY number")
    : [];
  return { applied, stamped, empty: tables.length === 0 };
}

async function checkServer(database: Database): Promise<void> {
  const [server] = await database.query<{ version: number; encoding: string; name: string }>(
    "SELECT current_setting('server_version_num')::integer AS version, current_setting('server_version') AS name, current_setting('server_encoding') AS encoding",
  );
  if (server === undefined || server.version < OLDEST_SERVER)
    throw new TenutoError(
      "ledger_unavailable",
      `${database.shown} is PostgreSQL ${server?.name}; at least 14 is needed`,
      {
        hint: "Use a newer server.",
      },
    );
  if (server.encoding !== "UTF8")
    throw new TenutoError("ledger_unavailable", `${database.shown} keeps texts as ${server.encoding}`, {
      hint: "Create the database with ENCODING 'UTF8' TEMPLATE template0.",
    });
}

/** Whoever owns a schema that is there need not have the right to make one. */
async function createSchema(session: Session, schema: string): Promise<void> {
  const found = await session.query("SELECT 1 AS n FROM pg_namespace WHERE nspname = $1", [schema]);
  if (found.length === 0) await session.query(`CREATE SCHEMA "${schema}"`);
}

async function apply(database: Database, known: readonly Migration[], state: State): Promise<void> {
  const plan = planMigrations(known, state.applied, state.stamped, state.empty, database.shown);
  for (const migration of plan) {
    await database.transaction(async (session) => {
      // Held to the end of the transaction; whoever waited here finds it done.
      await session.pipeline([{ ...LOCK, values: [`tenuto:${database.schema}`] }]);
      await createSchema(session, database.schema);
      const now = await stateOf(session, database.schema);
      const left = planMigrations(known, now.applied, now.stamped, now.empty, database.shown);
      if (!left.some(({ number }) => number === migration.number)) return;
      await session.pipeline([
        { sql: STAMP, patient: true },
        ...statementsOf(migration.sql),
        {
          sql: "INSERT INTO schema_migration (number, checksum, name) VALUES ($1, $2, $3)",
          values: [migration.number, migration.checksum, migration.name],
        },
      ]);
    });
  }
}

function refused(error: unknown, database: Database): Error {
  if (error instanceof TenutoError) return error;
  // Without any right in the schema it does not count as one in which a table could be made.
  if (codeOf(error) === "42501" || codeOf(error) === "3F000")
    return new TenutoError("migration_failed", `${database.shown}: this role may not change the schema`, {
      hint: "Run `tenuto migrate` once as the schema's owner; see docs/guides/postgres.md for the rights of the others.",
      cause: error,
    });
  // It is there, as the catalog says, but a role without USAGE does not see it by its name.
  if (codeOf(error) === "42P01" && /"schema_migration"/.test(String(error)))
    return new TenutoError("migration_failed", `${database.shown}: this role may not use the schema`, {
      hint: "Grant it USAGE on the schema; see docs/guides/postgres.md for the rights of roles.",
      cause: error,
    });
  const known = storageError(error, database.shown);
  if (known instanceof TenutoError && known.details?.["sqlstate"] === undefined && known.code !== "internal")
    return known;
  return new TenutoError("migration_failed", `${database.shown}: a migration failed: ${String(error)}`, {
    hint: "The ledger is as it was before.",
    cause: error,
  });
}

/** How many migrations are missing. @throws schema_newer, schema_unstamped */
export async function pendingMigrations(database: Database, known = loadMigrations()): Promise<number> {
  const { applied, stamped, empty } = await stateOf(database, database.schema);
  return planMigrations(known, applied, stamped, empty, database.shown).length;
}

/** Brings the schema up to date. @throws schema_newer, schema_unstamped, migration_failed, ledger_unavailable */
export async function migrate(database: Database, known = loadMigrations()): Promise<void> {
  try {
    await checkServer(database);
    await apply(database, known, await stateOf(database, database.schema));
  } catch (error) {
    throw refused(error, database);
  }
}
