/** Artifacts and logs of several machines on one PostgreSQL: a store and a sink for each, each with files of its own. */
import { createHash } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { databaseObjects } from "../../src/artifacts/database.ts";
import { iterateRecords, readRecords, writeDataset } from "../../src/artifacts/dataset.ts";
import { openFileStore } from "../../src/artifacts/filesystem.ts";
import { s3Blobs } from "../../src/artifacts/s3.ts";
import { sharedStore } from "../../src/artifacts/shared.ts";
import { type Database, openDatabase } from "../../src/ledger/postgres/index.ts";
import { migrate } from "../../src/ledger/postgres/migrate.ts";
import type { ArtifactStore } from "../../src/ports/artifact-store.ts";
import type { Blobs } from "../../src/ports/objects.ts";
import { createDatabase, sharedServer, type TestDatabase } from "../postgres/shared.ts";
import { type S3Server, startS3 } from "./s3-server.ts";

const server = await sharedServer();
let test: TestDatabase;
let db: Database;
let root: string;

describe.skipIf(server === null)("artifacts of several machines", () => {
  beforeAll(async () => {
    test = await createDatabase(server as string);
    db = openDatabase({ url: test.url, writers: 2, readers: 0 });
    await migrate(db);
  }, 60_000);
  afterAll(async () => {
    await db?.close();
    await test?.drop();
  }, 60_000);
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), "tenuto-shared-"));
  });
  afterEach(async () => {
    rmSync(root, { recursive: true, force: true });
    for (const table of ["object", "object_upload", "object_chunk", "log_head", "log_chunk", "output", "output_chunk"])
      await db.query(`DELETE FROM ${table}`);
  });

  const sha = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");
  const bytesOf = (length: number, seed: number) => {
    const bytes = Buffer.allocUnsafe(length);
    for (let at = 0; at < length; at++) bytes[at] = (at * 31 + seed) % 251;
    return bytes;
  };
  const count = async (table: string) => (await db.query<{ n: number }>(`SELECT count(*) AS n FROM ${table}`))[0]?.n;

  async function* pieces(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
    for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
  }

  async function all(content: AsyncIterable<Uint8Array>): Promise<Buffer> {
    const parts: Uint8Array[] = [];
    for await (const part of content) parts.push(part);
    return Buffer.concat(parts);
  }

  /** The store of one machine. */
  async function machine(name: string, blobs?: Blobs, options = {}): Promise<ArtifactStore> {
    const local = await openFileStore(join(root, name));
    return sharedStore(local, databaseObjects(db, blobs === undefined ? {} : { blobs }), options);
  }

  const copies = (name: string) =>
    readdirSync(join(root, name, "objects"), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name));

  let s3: S3Server;
  beforeAll(async () => {
    s3 = await startS3();
  });
  afterAll(() => s3.close());
  const inBucket = (more = {}) =>
    s3Blobs({
      address: `s3://bucket/some/prefix?endpoint=${s3.url}`,
      env: { AWS_ACCESS_KEY_ID: s3.key, AWS_SECRET_ACCESS_KEY: s3.secret },
      partBytes: 100_000,
      pause: async () => {},
      ...more,
    });

  const PLACES: [string, () => Promise<Blobs | undefined>][] = [
    ["the database", async () => undefined],
    ["S3", () => inBucket()],
  ];

  describe.each(PLACES)("objects in %s", (_, blobs) => {
    it("what one machine stores another one reads, whole and in part, whatever its size", async () => {
      const here = await machine("here", await blobs());
      const there = await machine("there", await blobs());
      for (const [length, size] of [
        [0, 1],
        [1, 1],
        [262_144, 65_536],
        [262_145, 50_000],
        [1_500_000, 70_001],
      ] as const) {
        const bytes = bytesOf(length, size);
        const stored = await here.put(pieces(bytes, size));
        expect(stored).toEqual({ sha256: sha(bytes), bytes: length });
        expect((await all(there.get(stored.sha256))).equals(bytes)).toBe(true);
        const end = Math.min(length, 300_000);
        expect(Buffer.from(await there.read(stored.sha256, { start: 0, end })).equals(bytes.subarray(0, end))).toBe(
          true,
        );
        expect(readFileSync(await there.localPath(stored.sha256)).equals(bytes)).toBe(true);
        expect(await there.verify(stored.sha256)).toEqual({ ok: true, bytes: length });
      }
      const listed = [];
      for await (const { sha256 } of there.list()) listed.push(sha256);
      expect(listed).toHaveLength(5);
      expect(await there.has("f".repeat(64))).toBe(false);
      await expect(all(there.get("f".repeat(64)))).rejects.toMatchObject({ code: "not_found" });
      expect(await count("object_upload")).toBe(0);
    });

    it("of many that store the same at once one upload stays, and no bytes of the others", async () => {
      const stores = await Promise.all(["a", "b", "c"].map(async (name) => await machine(name, await blobs())));
      const bytes = bytesOf(700_000, 7);
      await Promise.all(stores.flatMap((store) => [store.put(bytes), store.put(pieces(bytes, 9_999))]));
      expect(await count("object")).toBe(1);
      expect(await count("object_upload")).toBe(0);
      expect(await count("object_chunk")).toBe((await blobs()) === undefined ? 3 : 0);
      for (const store of stores) expect((await store.verify(sha(bytes))).ok).toBe(true);
    });

    it("an upload that dies leaves nothing under the name, and is swept", async () => {
      const objects = databaseObjects(db, { uploadMs: 0, ...optional(await blobs()) });
      const bytes = bytesOf(900_000, 3);
      const object = { sha256: sha(bytes), bytes: bytes.length };
      async function* torn() {
        yield bytes.subarray(0, 600_000);
        throw new Error("the power goes");
      }
      await expect(objects.put(object, torn)).rejects.toThrow("the power goes");
      expect(await objects.has(object.sha256)).toBe(false);
      expect(await count("object_chunk")).toBe(0);
      // One that could not even clean up: its row is found by its age.
      await db.query("INSERT INTO object_upload (id, sha256, place, started_at, ended) VALUES ('u1', $1, '', 0, 0)", [
        object.sha256,
      ]);
      await db.query("INSERT INTO object_chunk (upload, number, bytes) VALUES ('u1', 0, $1)", [bytes.subarray(0, 10)]);
      expect(await objects.sweep()).toBe(1);
      expect([await count("object_upload"), await count("object_chunk")]).toEqual([0, 0]);
    });

    it("damage is found at read, never served as good, and mended by whoever stores it again", async () => {
      const there = await machine("there", await blobs());
      const bytes = bytesOf(300_000, 5);
      const { sha256 } = await (await machine("here", await blobs())).put(bytes);
      if ((await blobs()) === undefined)
        await db.query("UPDATE object_chunk SET bytes = set_byte(bytes, 17, 255) WHERE number = 0");
      else for (const [path, content] of s3.objects) if (path.includes(sha256.slice(2))) content[17] = 255;
      expect((await there.verify(sha256)).ok).toBe(false);
      await expect(all(there.get(sha256))).rejects.toMatchObject({ code: "artifact_corrupt" });
      await expect(there.localPath(sha256)).rejects.toMatchObject({ code: "artifact_corrupt" });
      await (await machine("third", await blobs())).put(bytes);
      expect((await all(there.get(sha256))).equals(bytes)).toBe(true);
      expect(await there.verify(sha256)).toEqual({ ok: true, bytes: 300_000 });
    });

    it("what seemed damaged once, on its way, is not removed by who only asks for it, and is sound once it was verified", async () => {
      const objects = databaseObjects(db, optional(await blobs()));
      const bytes = bytesOf(300_000, 6);
      const { sha256 } = await (await machine("here", await blobs())).put(bytes);
      await objects.damaged(sha256);
      expect(await objects.touch(sha256)).toBe(false);
      const there = await machine("there", await blobs());
      expect((await all(there.get(sha256))).equals(bytes)).toBe(true);
      expect((await there.verify(sha256)).ok).toBe(true);
      expect(await objects.touch(sha256)).toBe(true);
      for (const small of [bytes, bytes.subarray(0, 1_000)]) {
        const object = { sha256: sha(small), bytes: small.length };
        await objects.put(object, () => pieces(small, 500));
        await objects.damaged(object.sha256);
        await objects.put(object, () => pieces(small, 500));
        expect(await objects.touch(object.sha256)).toBe(true);
        expect((await all((await objects.get(object.sha256)) as AsyncIterable<Uint8Array>)).equals(small)).toBe(true);
      }
      await objects.sweep();
      expect(await count("object")).toBe(2);
      expect(await count("object_upload")).toBe(0);
    });

    it("what is unused goes with all of its bytes, unless somebody stores it again while it is looked at", async () => {
      const here = await machine("here", await blobs());
      const there = await machine("there", await blobs());
      const bytes = bytesOf(600_000, 11);
      const { sha256 } = await here.put(bytes);
      expect(await there.removeUnused(sha256, 60_000, async () => false)).toBe(false);
      expect(await there.removeUnused(sha256, -1, async () => true)).toBe(false);
      let stored: Promise<unknown> = Promise.resolve();
      const fresh = await machine("fresh", await blobs());
      const gone = await there.removeUnused(sha256, -1, async () => {
        stored = fresh.put(bytes);
        return false;
      });
      await stored;
      expect(gone).toBe(true);
      expect((await all((await machine("other", await blobs())).get(sha256))).equals(bytes)).toBe(true);
      await there.remove(sha256);
      expect(await there.has(sha256)).toBe(false);
      expect([await count("object"), await count("object_chunk"), await count("object_upload")]).toEqual([0, 0, 0]);
    });
  });

  const optional = (blobs: Blobs | undefined) => (blobs === undefined ? {} : { blobs });

  describe("copies", () => {
    it("that are damaged are fetched anew", async () => {
      const here = await machine("here");
      const bytes = bytesOf(5_000, 1);
      const { sha256 } = await here.put(bytes);
      const [file] = copies("here") as [string];
      rmSync(file);
      writeFileSync(file, bytes.fill(9, 100, 200));
      const good = bytesOf(5_000, 1);
      expect(Buffer.from(await here.read(sha256, { start: 0, end: 5_000 })).equals(good)).toBe(true);
      expect(readFileSync(file).equals(good)).toBe(true);
    });

    it("take a bounded place; those that are in use stay", async () => {
      const source = await machine("source");
      const stored = await Promise.all(Array.from({ length: 20 }, (_, at) => source.put(bytesOf(100_000, at))));
      const small = await machine("small", undefined, { cacheBytes: 500_000, inUseMs: 0 });
      const patient = await machine("patient", undefined, { cacheBytes: 500_000 });
      for (const { sha256 } of stored) {
        await small.read(sha256, { start: 0, end: 10 });
        await patient.read(sha256, { start: 0, end: 10 });
      }
      await expect.poll(() => copies("small").length, { timeout: 30_000 }).toBeLessThanOrEqual(5);
      expect(copies("patient")).toHaveLength(20);
      for (const { sha256 } of stored) expect((await small.verify(sha256)).ok).toBe(true);
    });

    it("serve datasets on every machine", async () => {
      const here = await machine("here");
      const info = await writeDataset(
        here,
        Array.from({ length: 5_000 }, (_, n) => ({ n, text: "x".repeat(n % 90) })),
      );
      const there = await machine("there");
      const read = await readRecords(there, info, 4_321, 4_323);
      expect(read.map((text) => JSON.parse(text).n)).toEqual([4_321, 4_322]);
      let n = 0;
      for await (const _ of iterateRecords(there, info)) n += 1;
      expect(n).toBe(5_000);
    });
  });

  describe("S3", () => {
    it("is asked again after what passes, and what it refuses is told with what to do", async () => {
      const blobs = await inBucket();
      const objects = databaseObjects(db, { blobs });
      const bytes = bytesOf(250_000, 4);
      s3.faults.push(503, null, 500);
      await objects.put({ sha256: sha(bytes), bytes: bytes.length }, () => pieces(bytes, 1_000));
      expect((await all((await objects.get(sha(bytes))) as AsyncIterable<Uint8Array>)).equals(bytes)).toBe(true);
      expect(s3.uploads.size).toBe(0);
      const stranger = await inBucket({ env: { AWS_ACCESS_KEY_ID: s3.key, AWS_SECRET_ACCESS_KEY: "wrong" } });
      const refused = databaseObjects(db, { blobs: stranger }).put({ sha256: sha(Buffer.from("x")), bytes: 1 }, () =>
        pieces(Buffer.from("x"), 1),
      );
      await expect(refused).rejects.toMatchObject({ code: "store_unavailable", category: "critical" });
      s3.faults.push(...Array.from({ length: 4 }, () => 503));
      await expect(all((await objects.get(sha(bytes))) as AsyncIterable<Uint8Array>)).rejects.toMatchObject({
        code: "store_unavailable",
        category: "retryable",
      });
      // A connection that breaks in the middle of an object.
      s3.faults.push(0);
      await expect(all((await objects.get(sha(bytes))) as AsyncIterable<Uint8Array>)).rejects.toMatchObject({
        code: "store_unavailable",
        category: "retryable",
      });
      // One that says nothing is asked again; one that falls silent in the middle of an object is told.
      const hasty = databaseObjects(db, { blobs: await inBucket({ answerMs: 50 }) });
      s3.faults.push(1, 1);
      expect((await all((await hasty.get(sha(bytes))) as AsyncIterable<Uint8Array>)).equals(bytes)).toBe(true);
      s3.faults.push(2);
      await expect(all((await hasty.get(sha(bytes))) as AsyncIterable<Uint8Array>)).rejects.toThrow(
        "can't be reached: it was silent for 0.05 s",
      );
      // Whoever does not know the place is told which it is.
      await expect(databaseObjects(db).get(sha(bytes))).rejects.toThrow(/s3:\/\/bucket\/some\/prefix/);
      // What the stranger could not even remove is swept by one who may.
      expect(await databaseObjects(db, { blobs, uploadMs: -1 }).sweep()).toBe(1);
      expect(await count("object_upload")).toBe(0);
    });

    it("refuses addresses that it can't use", async () => {
      for (const address of [
        "s3:",
        "https://bucket",
        "s3://u:p@bucket",
        "s3://b?region=x&typo=1",
        "s3://b?endpoint=ftp://x",
      ])
        await expect(s3Blobs({ address, env: {} }), address).rejects.toMatchObject({ code: "invalid_config" });
      await expect(s3Blobs({ address: "s3://b", env: {} })).rejects.toThrow(/credentials/);
    });
  });
});
