/** Who may connect and how: TLS (S-36), a role with the least rights, a pooler in transaction mode, concurrent migrators. */
import { once } from "node:events";
import { createServer } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parseAddress } from "../../src/ledger/postgres/address.ts";
import { type Database, openDatabase } from "../../src/ledger/postgres/connection.ts";
import { openPostgresLedger } from "../../src/ledger/postgres/index.ts";
import { loadMigrations, migrate, pendingMigrations } from "../../src/ledger/postgres/migrate.ts";
import { Pooler } from "./pooler.ts";
import { createDatabase, sharedAuthority, sharedServer, type TestDatabase } from "./shared.ts";

const server = await sharedServer();
const authority = await sharedAuthority();

async function using<R>(url: string, work: (database: Database) => Promise<R>): Promise<R> {
  const database = openDatabase({ url, writers: 1, readers: 1, waitMs: 0 });
  try {
    return await work(database);
  } finally {
    await database.close();
  }
}

const codeOf = async (work: Promise<unknown>): Promise<unknown> =>
  await work.then(
    () => null,
    (error: { code?: string }) => error.code ?? String(error),
  );

/** Asks for a password as PostgreSQL does, and gets no further than to the first answer. */
async function asksForPassword(): Promise<{ url: string; close(): void }> {
  const message = (kind: string, ...parts: (string | number)[]) => {
    const body = Buffer.concat(
      parts.map((part) => {
        if (typeof part === "string") return Buffer.from(part);
        const number = Buffer.alloc(4);
        number.writeInt32BE(part);
        return number;
      }),
    );
    const head = Buffer.alloc(5);
    head.write(kind);
    head.writeInt32BE(body.length + 4, 1);
    return Buffer.concat([head, body]);
  };
  const listening = createServer((socket) => {
    socket.on("error", () => {});
    socket.once("data", () => {
      socket.write(message("R", 10, "SCRAM-SHA-256\0\0"));
      socket.once("data", (said) => {
        const nonce = /r=(.+)$/s.exec(said.toString("latin1"))?.[1];
        socket.write(message("R", 11, `r=${nonce}more,s=c2FsdA==,i=4096`));
      });
    });
  }).listen(0, "127.0.0.1");
  await once(listening, "listening");
  const { port } = listening.address() as { port: number };
  return { url: `postgres://me@127.0.0.1:${port}/app`, close: () => listening.close() };
}

it("a password that is asked for and not given is told as that", async () => {
  const { url, close } = await asksForPassword();
  try {
    await expect(openPostgresLedger({ url })).rejects.toMatchObject({
      code: "ledger_unavailable",
      message: expect.stringContaining("asks for a password, and none is given"),
      hint: expect.stringContaining("PGPASSWORD"),
    });
  } finally {
    close();
  }
});

describe("addresses", () => {
  it("are taken apart, and shown without their password", () => {
    const address = parseAddress("postgres://me:se%20cret@db.example:6543/app?schema=flow&prepare=false");
    expect([address.host, address.port, address.user, address.password, address.database]).toEqual([
      "db.example",
      6543,
      "me",
      "se cret",
      "app",
    ]);
    expect([address.schema, address.prepare]).toEqual(["flow", false]);
    expect(address.shown).toBe("postgres://db.example:6543/app?schema=flow");
    expect(parseAddress("postgres:///app?host=/run/postgresql").host).toBe("/run/postgresql");
  });

  it("ask a server on another machine for proof of who it is, unless they say otherwise", () => {
    const tls = (url: string) => {
      const { ssl } = parseAddress(url);
      return ssl === false ? "none" : ssl.rejectUnauthorized === true && ssl.checkServerIdentity === undefined;
    };
    expect(tls("postgres://db.example/app")).toBe(true);
    expect(tls("postgres://db.example/app?sslmode=disable")).toBe("none");
    expect(tls("postgres://db.example/app?sslmode=require")).toBe(false);
    for (const host of ["localhost", "127.0.0.1", "[::1]", ""]) expect(tls(`postgres://${host}/app`)).toBe("none");
  });

  it("are refused when they mean nothing, without showing the password", () => {
    for (const url of [
      "mysql://me:secret@db/app",
      "postgres://me:secret@db/app?sslmode=maybe",
      "postgres://me:secret@db/app?sslmode=verify-ca",
      "postgres://me:secret@db/app?sslmode=verify-full&sslrootcert=/no/such/file",
      "postgres://me:secret@db/app?schema=Two%20words",
      "postgres://me:secret@db/app?pool_size=5",
    ]) {
      let message = "";
      try {
        parseAddress(url);
      } catch (error) {
        expect(error).toMatchObject({ code: "invalid_input" });
        message = String(error);
      }
      expect([url, message === "", message.includes("secret")]).toEqual([url, false, false]);
    }
  });
});

describe.skipIf(server === null)("access", () => {
  let test: TestDatabase;
  beforeAll(async () => {
    test = await createDatabase(server as string);
  });
  afterAll(async () => await test?.drop());

  const encrypted = (url: string) =>
    using(url, async (database) => {
      const [row] = await database.query<{ ssl: boolean }>("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()");
      return row?.ssl;
    });

  it.skipIf(authority === null)("TLS: as strict as sslmode says", async () => {
    const root = `sslrootcert=${encodeURIComponent(authority as string)}`;
    const onName = test.url.replace("127.0.0.1", "localhost");
    expect(await encrypted(`${test.url}?sslmode=disable`)).toBe(false);
    for (const mode of ["prefer", "require", `verify-ca&${root}`, `verify-full&${root}`])
      expect([mode, await encrypted(`${test.url}?sslmode=${mode}`)]).toEqual([mode, true]);
    expect(await encrypted(`${onName}?sslmode=verify-full&${root}`)).toBe(true);
    // Nobody that this machine knows has signed it.
    expect(await codeOf(encrypted(`${test.url}?sslmode=verify-full`))).toMatch(/SELF_SIGNED|UNABLE_TO/);
    const elsewhere = test.url.replace("127.0.0.1", "127.0.0.2");
    expect(await codeOf(encrypted(`${elsewhere}?sslmode=verify-full&${root}`))).not.toBeNull();
  });

  it("of several migrators one migrates, and the others wait for it", async () => {
    const all = Array.from({ length: 4 }, () =>
      openDatabase({ url: `${test.url}?schema=many`, writers: 1, readers: 0 }),
    );
    await Promise.all(all.map((database) => migrate(database)));
    expect(await pendingMigrations(all[0] as Database)).toBe(0);
    const rows = await (all[1] as Database).query("SELECT number FROM schema_migration");
    expect(rows.length).toBe(loadMigrations().length);
    await Promise.all(all.map((database) => database.close()));
  });

  it("a schema that is newer, or not ours, or half made is refused and left alone", async () => {
    await using(`${test.url}?schema=other`, async (database) => {
      await database.query("CREATE SCHEMA other");
      await database.query("CREATE TABLE theirs (id integer)");
      expect(await codeOf(migrate(database))).toBe("schema_unstamped");
      await database.query("DROP TABLE theirs");
      const broken = {
        number: 1,
        name: "0001_broken.sql",
        checksum: "x",
        sql: "CREATE TABLE one (id integer); CREATE TABLE one (id integer)",
      };
      expect(await codeOf(migrate(database, [broken]))).toBe("migration_failed");
      expect(await pendingMigrations(database)).toBe(loadMigrations().length);
      await migrate(database);
      await database.query("INSERT INTO schema_migration VALUES (9999, 'y', 'later')");
      expect(await codeOf(migrate(database))).toBe("schema_newer");
      await database.query("DELETE FROM schema_migration WHERE number = 9999");
      const changed = loadMigrations().map((migration) => ({ ...migration, checksum: "changed" }));
      expect(await codeOf(migrate(database, changed))).toBe("migration_failed");
    });
  });

  it("a pooler in transaction mode: settings travel, nothing of a session is relied on", async () => {
    const pooler = new Pooler(test.url);
    const url = `${await pooler.listen()}?schema=pooled`;
    const database = openDatabase({ url, writers: 2, readers: 2 });
    await migrate(database);
    const path = "SELECT current_setting('search_path') AS path";
    await database.query("INSERT INTO definition VALUES ('v', 'n', 'd', 1)");
    for (let round = 0; round < 12; round++) {
      const [, rows] = await database.pipeline([
        { sql: path },
        { sql: "SELECT name FROM definition WHERE version = $1", values: ["v"], name: "by_version" },
      ]);
      expect(rows).toEqual([{ name: "n" }]);
      expect(await database.read(path, [], "path")).toEqual([{ path: "pooled" }]);
      await database.transaction(async (session) => {
        await session.execute("UPDATE definition SET name = name WHERE version = 'v'");
        expect(await session.query(path)).toEqual([{ path: "pooled" }]);
      });
    }
    expect(pooler.switches).toBeGreaterThan(12);
    expect(await database.listen("tenuto", () => {})).toBeNull();
    await database.close();
    await pooler.close();
    expect(await using(test.url, (direct) => direct.query("SELECT to_regclass('public.definition') AS t"))).toEqual([
      { t: null },
    ]);
  });
});
