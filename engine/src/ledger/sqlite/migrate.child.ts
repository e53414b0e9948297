/**
 * Opens a ledger with a second migration of which only the first `steps` statements are run, then dies by SIGKILL before
 * the commit; with `steps` -1 it opens, migrates and exits in order.
 */
import { nextMigration } from "./fixtures/next-migration.ts";
import { loadMigrations, openDatabase } from "./open.ts";

const [path, steps] = process.argv.slice(2) as [string, string];
const count = Number(steps);
const next = nextMigration(count < 0 ? undefined : count);
const db = openDatabase({
  path,
  migrations: [...loadMigrations(), next],
  onMigrationStep: (number, phase) => {
    if (count >= 0 && number === next.number && phase === "after") process.kill(process.pid, "SIGKILL");
  },
});
db.close();
