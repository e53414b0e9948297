/** `tenuto migrate`: brings the ledger to this Tenuto's schema; with `--plan` only says what would be done. */
import { existsSync } from "node:fs";
import { TenutoError } from "../../core/errors.ts";
import { type Applied, planMigrations } from "../../ledger/migrate.ts";
import { connect, loadMigrations } from "../../ledger/sqlite/open.ts";
import { EXIT } from "../failure.ts";
import { counted } from "../figures.ts";
import type { Cli } from "../main.ts";
import { findPlace, openPlace, shown } from "../project.ts";

export async function migrate(cli: Cli, options: { plan?: boolean }): Promise<number> {
  const { out } = cli;
  const place = await findPlace(cli);
  if (!existsSync(place.database)) {
    throw new TenutoError("not_found", `there is no ledger at ${shown(cli, place.database)}`, {
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
    out.data(`${shown(cli, place.database)} has schema ${present}, the newest that this Tenuto knows`);
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
