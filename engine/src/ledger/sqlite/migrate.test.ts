/** migrations from every released schema, killed at every statement, by two processes at once. */
import { spawn } from "node:child_process";
import { copyFileSync, existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import Database from "better-sqlite3";
import { afterEach, beforeEach, expect, it } from "vitest";
import { auditFile } from "../../testing/auditor.ts";
import { FakeClock } from "../../testing/clock.ts";
import { World } from "../../testing/world.ts";
import { NEXT_STATEMENTS, nextMigration } from "./fixtures/next-migration.ts";
import { openSqliteLedger } from "./index.ts";
import { loadMigrations, openDatabase } from "./open.ts";

const FIXTURES = fileURLToPath(new URL("./fixtures/", import.meta.url));
/** The newest first. */
const GOLDEN = readdirSync(FIXTURES)
  .filter((name) => /^schema-\d+\.db$/.test(name))
  .sort((a, b) => Number(b.match(/\d+/)?.[0]) - Number(a.match(/\d+/)?.[0]));
const CHILD = fileURLToPath(new URL("./migrate.child.ts", import.meta.url));
const newest = () => loadMigrations().length;

let folder: string;
let path: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "tenuto-migrate-"));
  path = join(folder, "ledger.db");
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function child(steps: number): Promise<{ signal: string | null; code: number | null; errors: string }> {
  return new Promise((resolve) => {
    const process_ = spawn(process.execPath, ["--conditions=source", CHILD, path, String(steps)]);
    let errors = "";
    process_.stderr.on("data", (chunk) => {
      errors += chunk;
    });
    process_.on("close", (code, signal) => resolve({ code, signal, errors }));
  });
}

function schemaOf(file: string): number {
  const db = new Database(file, { readonly: true });
  const number = db.prepare("SELECT max(number) FROM schema_migration").pluck().get() as number;
  db.close();
  return number;
}

it("there is a golden file of the present schema, beside those of released ones", () => {
  expect(GOLDEN, "make it with fixtures/make-golden.ts").toContain(`schema-${newest()}.db`);
});

it.each(GOLDEN)("R-50: %s is brought up to date, sound, and goes on", async (name) => {
  copyFileSync(join(FIXTURES, name), path);
  const clock = new FakeClock(1_800_000_000_000);
  const ledger = openSqliteLedger({ path, clock });
  const world = new World(ledger, clock);
  expect((await auditFile({ database: path })).problems).toEqual([]);
  for (const boot of await ledger.boots("alive")) await world.bury(boot.seq);
  for (const id of ["failed", "cancelled"]) await world.retry((await ledger.runById(id))?.seq as number);
  await world.finish(await world.boot());
  expect((await ledger.runStates()).completed).toBe(5);
  await ledger.close();
  expect((await auditFile({ database: path })).problems).toEqual([]);
});

it("R-51: killed at each statement of a migration, the ledger is as before, and the next start completes it", async () => {
  const [golden] = GOLDEN as [string];
  for (let steps = 0; steps <= NEXT_STATEMENTS.length; steps++) {
    copyFileSync(join(FIXTURES, golden), path);
    const killed = await child(steps);
    expect(killed.signal, `${steps}: ${killed.errors}`).toBe("SIGKILL");
    expect(schemaOf(path), `after ${steps} statements`).toBe(newest());
    const backup = readdirSync(folder).filter((name) => name.endsWith(".backup"));
    expect(backup, "a backup was made before").toHaveLength(1);
    expect((await auditFile({ database: join(folder, backup[0] as string) })).problems).toEqual([]);
    const again = openDatabase({ path, migrations: [...loadMigrations(), nextMigration()] });
    expect(again.prepare("SELECT count(*) FROM note").pluck().get()).toBe(5);
    expect(again.pragma("integrity_check", { simple: true })).toBe("ok");
    again.close();
    expect(schemaOf(path)).toBe(newest() + 1);
    for (const file of readdirSync(folder)) rmSync(join(folder, file));
  }
});

it("R-51: a statement that fails leaves the ledger as it was, and says where the backup is", () => {
  copyFileSync(join(FIXTURES, GOLDEN[0] as string), path);
  const broken = { ...nextMigration(), sql: `${NEXT_STATEMENTS.join(";")}; INSERT INTO nowhere VALUES (1)` };
  expect(() => openDatabase({ path, migrations: [...loadMigrations(), broken] })).toThrow(/migration .* failed/);
  expect(schemaOf(path)).toBe(newest());
  expect(existsSync(`${path}.schema-${newest()}.backup`)).toBe(true);
  openDatabase({ path }).close();
});

it("R-51: half a backup of a migrator that was killed is not taken for one", () => {
  copyFileSync(join(FIXTURES, GOLDEN[0] as string), path);
  writeFileSync(`${path}.schema-${newest()}.backup.4711.part`, "half");
  openDatabase({ path, migrations: [...loadMigrations(), nextMigration()] }).close();
  expect(schemaOf(`${path}.schema-${newest()}.backup`)).toBe(newest());
});

it("R-52: of several migrators at once one migrates, the others wait and go on", async () => {
  for (let round = 0; round < 3; round++) {
    if (round > 0) copyFileSync(join(FIXTURES, GOLDEN[0] as string), path);
    const ends = await Promise.all([child(-1), child(-1), child(-1)]);
    expect(ends.map(({ code, errors }) => `${code} ${errors}`)).toEqual(["0 ", "0 ", "0 "]);
    expect(schemaOf(path)).toBe(newest() + 1);
    expect((await auditFile({ database: path })).problems).toEqual([]);
    for (const file of readdirSync(folder)) rmSync(join(folder, file));
  }
});
