/** `tenuto migrate`: brings the ledger to this Tenuto's schema; with `--plan` only says what would be done. */
import { existsSync } from "node:fs";
import { TenutoError } from "../../core/errors.ts";
import { type Applied, planMigrations } from "../../ledger/migrate.ts";
import { openDatabase } from "../../ledger/postgres/index.ts";
import {
  loadMigrations as loadPostgresMigrations,
  migrate as migrateDatabase,
  pendingMigrations,
} from "../../ledger/postgres/migrate.ts";
import { storageError } from "../../ledger/postgres/storage-error.ts";
import { connect, loadMigrations } from "../../ledger/sqlite/open.ts";
import { isPostgres } from "../../open-ledger.ts";
import { EXIT, usage } from "../failure.ts";
import { counted } from "../figures.ts";
import type { Cli } from "../main.ts";
import { findPlace, openPlace, type Place, shown, shownDatabase } from "../project.ts";

export interface MigrateOptions {
  plan?: boolean;
  from?: string;
  to?: string;
}

export async function migrate(cli: Cli, options: MigrateOptions): Promise<number> {
  const { out } = cli;
  if (options.from !== undefined && options.to !== undefined)
    return await (await import("./migrate-move.ts")).moveLedger(cli, { from: options.from, to: options.to });
  if (options.from !== undefined || options.to !== undefined)
    throw usage("a move needs --from and --to", "Without both, migrate brings the ledger to this Tenuto's schema.");
  const place = await findPlace(cli);
  if (isPostgres(place.database)) return await migrateServer(cli, place, options.plan === true);
  if (!existsSync(place.database)) {
    throw new TenutoError("not_found", `there is no ledger at ${shownDatabase(cli, place.database)}`, {
      hint: "The first run makes one with the newest schema.",
    });
  }
  const { present, pending } = planOf(place.database);
  const names = pending.map((migration) => migration.name);
  const newest = pending.at(-1)?.number ?? present;
  out.document("migration", {
    database: place.database,
    from: present,
    to: newest,
    migrations: names,
    applied: options.plan !== true && names.length > 0,
  });
  if (names.length === 0) {
    out.data(`${shownDatabase(cli, place.database)} has schema ${present}, the newest that this Tenuto knows`);
    return EXIT.ok;
  }
  for (const name of names) out.data(`${options.plan === true ? "would apply" : "apply"}  ${name}`);
  if (options.plan === true) {
    out.say(`${counted(names.length, "migration")} from schema ${present} to ${newest}; nothing was changed.`);
    return EXIT.ok;
  }
  const tenuto = await openPlace(place, cli);
  await tenuto.close();
  out.say(
    `The ledger has schema ${newest} now. The backup from before is ${shown(cli, `${place.database}.schema-${present}.backup`)}`,
  );
  return EXIT.ok;
}

/** Makes the schema too: for an owner who runs this once, and roles without that right that work afterwards. */
async function migrateServer(cli: Cli, place: Place, plan: boolean): Promise<number> {
  const { out } = cli;
  const known = loadPostgresMigrations();
  const db = openDatabase({ url: place.database, writers: 1, readers: 0, waitMs: 0 });
  try {
    const pending = await pendingMigrations(db, known);
    const names = known.slice(known.length - pending).map((migration) => migration.name);
    const [from, to] = [known.length - pending, known.length];
    if (!plan) await migrateDatabase(db, known);
    out.document("migration", { database: db.shown, from, to, migrations: names, applied: !plan && pending > 0 });
    if (pending === 0) out.data(`${db.shown} has schema ${from}, the newest that this Tenuto knows`);
    for (const name of names) out.data(`${plan ? "would apply" : "applied"}  ${name}`);
    if (pending > 0)
      out.say(
        plan ? "Nothing was changed." : `${db.shown} has schema ${to} now. Backups are the server's: see pg_dump.`,
      );
    return EXIT.ok;
  } catch (error) {
    throw storageError(error, db.shown);
  } finally {
    await db.close();
  }
}

function planOf(path: string) {
  const db = connect(path);
  try {
    const tables = db
      .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
      .pluck()
      .all() as string[];
    const stamped = tables.includes("schema_migration");
    const applied = stamped
      ? (db.prepare("SELECT number, checksum FROM schema_migration ORDER BY number").all() as Applied[])
      : [];
    return {
      present: applied.at(-1)?.number ?? 0,
      pending: planMigrations(loadMigrations(), applied, stamped, tables.length === 0, path),
    };
  } finally {
    db.close();
  }
}
