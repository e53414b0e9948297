/** The connection to PostgreSQL: round trips that are transactions, losses of every kind, poolers, TLS. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Database, openDatabase } from "../../src/ledger/postgres/connection.ts";
import { isConflict, isDuplicate, LostConnection } from "../../src/ledger/postgres/storage-error.ts";
import { Relay } from "./relay.ts";
import { createDatabase, sharedServer, type TestDatabase } from "./shared.ts";

const server = await sharedServer();

describe.skipIf(server === null)("connection", () => {
  let test: TestDatabase;
  let database: Database;
  beforeAll(async () => {
    test = await createDatabase(server as string);
    database = openDatabase({ url: test.url });
    await database.query("CREATE SCHEMA tenuto");
    await database.query("CREATE TABLE thing (id bigint PRIMARY KEY, text text, bytes bytea, share double precision)");
  });
  afterAll(async () => {
    await database?.close();
    await test?.drop();
  });
  const ids = async () =>
    (await database.read<{ id: number }>("SELECT id FROM thing ORDER BY id")).map((row) => row.id);

  it("values arrive as they were sent", async () => {
    const row = {
      id: 2 ** 53 - 1,
      text: 'a "quoted" \\ {text}, ä€𝄞',
      bytes: new Uint8Array([0, 1, 92, 255]),
      share: 0.1,
    };
    const [back] = await database.query<typeof row>(
      "INSERT INTO thing VALUES ($1, $2, $3, $4) RETURNING *",
      Object.values(row),
    );
    expect({ ...back, bytes: new Uint8Array(back!.bytes) }).toEqual(row);
    const lists = { numbers: [1, -2, 3], texts: [row.text, "", "NULL", "a,b"], bytes: [row.bytes, new Uint8Array()] };
    const [list] = await database.query<{ n: number; t: string; b: Buffer }>(
      "SELECT * FROM unnest($1::bigint[], $2::text[], $3::bytea[]) WITH ORDINALITY AS x (n, t, b) WHERE n = -2",
      Object.values(lists),
    );
    expect([list!.n, list!.t, list!.b?.length]).toEqual([-2, "", 0]);
    const [arrays] = await database.query<typeof lists>("SELECT $1::bigint[] AS numbers, $2::text[] AS texts", [
      lists.numbers,
      lists.texts,
    ]);
    expect(arrays).toEqual({ numbers: lists.numbers, texts: lists.texts });
    await database.query("DELETE FROM thing");
  });

  it("a pipeline is one transaction: all of it or nothing", async () => {
    const add = (id: number) => ({ sql: "INSERT INTO thing (id) VALUES ($1) RETURNING id", values: [id], name: "add" });
    expect(await database.pipeline([add(1), add(2), { sql: "SELECT count(*) AS n FROM thing" }])).toEqual([
      [{ id: 1 }],
      [{ id: 2 }],
      [{ n: 2 }],
    ]);
    const failed = await database.pipeline([add(3), add(1), add(4)]).catch((error: unknown) => error);
    expect([isDuplicate(failed), isDuplicate(failed, "thing_pkey"), isDuplicate(failed, "other")]).toEqual([
      true,
      true,
      false,
    ]);
    expect(await ids()).toEqual([1, 2]);
    // The prepared statement is of use afterwards too, whether or not its parsing had failed.
    const bad = { sql: "SELECT nothing FROM thing", name: "bad" };
    for (let round = 0; round < 2; round++) await expect(database.pipeline([bad])).rejects.toThrow(/nothing/);
    expect(await database.pipeline([add(5), { sql: "DELETE FROM thing" }])).toEqual([[{ id: 5 }], []]);
  });

  it("a transaction commits with its last statements, and rolls back on a throw", async () => {
    const seen = await database.transaction(async (session) => {
      await session.query("INSERT INTO thing (id) VALUES (1)");
      const [inside] = await session.query<{ n: number }>("SELECT count(*) AS n FROM thing");
      await session.finish([{ sql: "INSERT INTO thing (id) VALUES (2)" }]);
      await expect(session.query("SELECT 1")).rejects.toThrow(/has ended/);
      return inside?.n;
    });
    expect([seen, await ids()]).toEqual([1, [1, 2]]);
    const work = database.transaction(async (session) => {
      await session.execute("DELETE FROM thing");
      throw new Error("changed my mind");
    });
    await expect(work).rejects.toThrow("changed my mind");
    await expect(database.transaction((session) => session.query("SELECT 1 / 0"))).rejects.toThrow(/division/);
    expect(await database.execute("DELETE FROM thing")).toBe(2);
  });

  it("deadlocks are told apart, and the other one goes on", async () => {
    await database.query("INSERT INTO thing (id) VALUES (1), (2)");
    let [arrived, meet] = [0, () => {}];
    const both = new Promise<void>((resolve) => {
      meet = () => {
        if (++arrived === 2) resolve();
      };
    });
    const lock = (first: number, second: number) =>
      database.transaction(async (session) => {
        await session.query("UPDATE thing SET text = 'x' WHERE id = $1", [first]);
        meet();
        await both;
        await session.query("UPDATE thing SET text = 'x' WHERE id = $1", [second]);
      });
    const ended = await Promise.allSettled([lock(1, 2), lock(2, 1)]);
    const refused = ended.filter((end) => end.status === "rejected");
    expect(refused.map((end) => isConflict(end.reason))).toEqual([true]);
    await database.query("DELETE FROM thing");
  });

  it("a lost connection: what was not sent is sent again, what was is told", async () => {
    const relay = new Relay(test.url);
    await relay.listen();
    const through = openDatabase({ url: relay.url(test.url), writers: 1, readers: 1, waitMs: 20_000 });
    await through.query("SELECT 1");
    relay.cut();
    // The pool may or may not have noticed; nothing had been sent on the new connection.
    const first = await through.query("INSERT INTO thing (id) VALUES (1)").catch((error: unknown) => error);
    if (first instanceof Error) expect(first).toBeInstanceOf(LostConnection);
    await through.read("SELECT 1");
    await through.put("INSERT INTO thing (id) VALUES (2) ON CONFLICT DO NOTHING");
    expect(await ids()).toContain(2);
    const inside = through.transaction(async (session) => {
      await session.query("INSERT INTO thing (id) VALUES (3)");
      relay.cut();
      await session.finish([{ sql: "INSERT INTO thing (id) VALUES (4)" }]);
    });
    await expect(inside).rejects.toBeInstanceOf(LostConnection);
    expect(await ids()).not.toContain(3);
    await through.close();
    await relay.close();
    await database.query("DELETE FROM thing");
  });

  it("a server that does not answer is given up", async () => {
    const relay = new Relay(test.url);
    await relay.listen();
    const through = openDatabase({ url: relay.url(test.url), writers: 1, readers: 0, answerMs: 300, waitMs: 20_000 });
    await through.query("SELECT 1");
    relay.frozen = true;
    const lost = await through.query("INSERT INTO thing (id) VALUES (1)").catch((error: unknown) => error);
    expect([lost instanceof LostConnection, (lost as LostConnection).sent]).toEqual([true, true]);
    relay.frozen = false;
    relay.cut();
    expect(await through.query("SELECT 1 AS n")).toEqual([{ n: 1 }]);
    await through.close();
    await relay.close();
  });

  it("nobody there: whoever waits hears of it in time", async () => {
    const relay = new Relay(test.url);
    await relay.listen();
    const url = relay.url(test.url);
    await relay.close();
    const away = openDatabase({ url, waitMs: 100 });
    const lost = await away.query("SELECT 1").catch((error: unknown) => error);
    expect([lost instanceof LostConnection, (lost as LostConnection).sent]).toEqual([true, false]);
    await away.close();
  });

  it("wrong password, wrong database: refused at once", async () => {
    const url = new URL(test.url);
    url.pathname = "/no_such_database";
    const none = openDatabase({ url: url.href });
    await expect(none.query("SELECT 1")).rejects.toMatchObject({ code: "3D000" });
    await none.close();
  });

  it("notifications arrive, also after the connection was lost", async () => {
    const relay = new Relay(test.url);
    await relay.listen();
    const through = openDatabase({ url: relay.url(test.url) });
    let heard: (payload: string) => void = () => {};
    const handle = await through.listen("tenuto_test", (payload) => heard(payload));
    /** Notifies until it is heard: a listener that connects again misses what comes meanwhile. */
    const until = async (text: string) => {
      const arrived = new Promise<void>((resolve) => {
        heard = (payload) => {
          if (payload === text) resolve();
        };
      });
      const timer = setInterval(() => void database.query("SELECT pg_notify('tenuto_test', $1)", [text]), 50);
      await arrived;
      clearInterval(timer);
    };
    await until("one");
    relay.cut();
    await until("two");
    await handle?.close();
    await through.close();
    await relay.close();
  });

  it("reading does not wait behind writing", async () => {
    const one = openDatabase({ url: test.url, writers: 1, readers: 1 });
    await one.transaction(async (session) => {
      await session.query("INSERT INTO thing (id) VALUES (9)");
      expect(await one.read("SELECT 1 AS n FROM thing WHERE id = 9")).toEqual([]);
    });
    expect(await one.execute("DELETE FROM thing WHERE id = 9")).toBe(1);
    await one.close();
  });
});
