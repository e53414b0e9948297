/** The roles of docs/guides/postgres.md, as they stand there: the owner migrates, a worker's role does everything else. */
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { checkInvariants } from "../../src/core/invariants.ts";
import { openDatabase } from "../../src/ledger/postgres/connection.ts";
import { openPostgresLedger } from "../../src/ledger/postgres/index.ts";
import { migrate } from "../../src/ledger/postgres/migrate.ts";
import { FakeClock } from "../../src/testing/clock.ts";
import { dumpPostgres } from "../../src/testing/postgres-dump.ts";
import { World } from "../../src/testing/world.ts";
import { createDatabase, sharedServer, type TestDatabase } from "./shared.ts";

const GUIDE = new URL("../../../docs/guides/postgres.md", import.meta.url);
const server = await sharedServer();

/** The guide's statements, up to the migration and after it, with names of roles that nobody else on the server has. */
function statements(suffix: string): { before: string[]; after: string[] } {
  const [, block = ""] =
    /```sql\n(CREATE ROLE tenuto_owner|-- as an administrator:[\s\S]*?)```/.exec(readFileSync(GUIDE, "utf8")) ?? [];
  const [before = "", after = ""] = block
    .replaceAll(/tenuto_(owner|worker)/g, `$&_${suffix}`)
    .split(/-- after tenuto migrate.*\n/);
  const split = (text: string) =>
    text
      .replaceAll(/--.*$/gm, "")
      .split(";")
      .map((sql) => sql.trim())
      .filter((sql) => sql !== "");
  return { before: split(before), after: split(after) };
}

describe.skipIf(server === null)("roles of the guide", () => {
  const suffix = randomBytes(4).toString("hex");
  let test: TestDatabase;
  beforeAll(async () => {
    test = await createDatabase(server as string);
  });
  afterAll(async () => {
    await test?.drop();
    const admin = openDatabase({ url: server as string, writers: 1, readers: 0 });
    for (const role of ["owner", "worker"]) await admin.query(`DROP ROLE IF EXISTS tenuto_${role}_${suffix}`);
    await admin.close();
  });

  const as = (role: string) => {
    const url = new URL(test.url);
    if (role !== "admin") url.username = `tenuto_${role}_${suffix}`;
    return url.href;
  };
  const run = async (role: string, list: readonly string[]) => {
    const database = openDatabase({ url: as(role), writers: 1, readers: 0 });
    try {
      for (const sql of list) await database.query(sql);
    } finally {
      await database.close();
    }
  };

  it("a worker's role can do all of the work, and change no table", async () => {
    const { before, after } = statements(suffix);
    expect([before.length, after.length > 3]).toEqual([3, true]);
    await run("admin", before);
    const early = await openPostgresLedger({ url: as("worker") }).catch((error: unknown) => error);
    expect(early).toMatchObject({ code: "migration_failed" });
    const owner = openDatabase({ url: as("owner"), writers: 1, readers: 0 });
    await migrate(owner);
    await run("owner", after);

    const clock = new FakeClock();
    const ledger = await openPostgresLedger({ url: as("worker"), clock });
    const world = new World(ledger, clock);
    const boot = await world.boot();
    const first = await world.start("a b* c(a) | d");
    await world.finish(boot);
    expect((await world.run(first.seq)).state).toBe("completed");
    clock.advance(10_000);
    expect((await ledger.prune(clock.now(), 10)).runs).toBe(1);
    expect(await ledger.check()).toEqual({ ok: true, problems: [] });
    expect((await ledger.info()).engine).toMatch(/^PostgreSQL \d+/);
    await ledger.feedEnd();
    await ledger.close();

    for (const sql of ["DROP TABLE tenuto.run", "CREATE TABLE tenuto.mine (id integer)", "TRUNCATE tenuto.run"])
      await expect(run("worker", [sql])).rejects.toMatchObject({ code: "42501" });
    await run("owner", [`REVOKE USAGE ON SCHEMA tenuto FROM tenuto_worker_${suffix}`]);
    const blind = await openPostgresLedger({ url: as("worker") }).catch((error: unknown) => error);
    expect(blind).toMatchObject({ code: "migration_failed", hint: expect.stringContaining("USAGE") });
    expect(checkInvariants(await owner.transaction((session) => dumpPostgres(session)))).toEqual([]);
    await owner.close();
  });
});
