/**
 * Migrations: numbered, up only, one transaction each, a backup before, refusal of what is newer or not ours.
 *
 * Owner: ledger. Released migration files are immutable: their checksums are kept with the schema and compared at open.
 */
import { TenutoError } from "../core/errors.ts";

export interface Migration {
  number: number;
  name: string;
  sql: string;
  checksum: string;
}

export interface Applied {
  number: number;
  checksum: string;
}

/** What is to be done with a database in its present state; throws when it must not be touched. */
export function planMigrations(
  known: readonly Migration[],
  applied: readonly Applied[],
  stamped: boolean,
  empty: boolean,
  where: string,
): Migration[] {
  if (!stamped && !empty) {
    throw new TenutoError("schema_unstamped", `${where} has tables but is not a Tenuto ledger`, {
      hint: "Give another file with --database, or move this one away.",
    });
  }
  const newest = known.at(-1)?.number ?? 0;
  const present = applied.at(-1)?.number ?? 0;
  if (present > newest) {
    throw new TenutoError("schema_newer", `${where} has schema ${present}; this Tenuto knows ${newest}`, {
      hint: "Use the newer Tenuto that wrote it. Nothing was changed.",
      details: { present, newest },
    });
  }
  for (const [index, row] of applied.entries()) {
    const migration = known[index];
    if (migration === undefined || migration.number !== row.number || migration.checksum !== row.checksum) {
      throw new TenutoError(
        "migration_failed",
        `${where}: migration ${row.number} is not the one that this Tenuto knows`,
        {
          hint: "It was written by a modified or unreleased Tenuto: use that one, restore a backup, or begin with another home (--home).",
        },
      );
    }
  }
  return known.slice(applied.length);
}
