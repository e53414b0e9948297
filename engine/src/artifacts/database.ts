/**
 * Objects of a ledger that many machines share: the database has the list of them, and their bytes in chunks unless another
 * place is named for those.
 *
 * Owner: artifacts. Invariants:
 * 1. A name stands in the list only when all of its bytes are durable; what an upload left behind that did not end is swept
 *    by the upload's row, which is written before its first byte.
 * 2. Each upload has a name of its own, never used again: who removes bytes can't meet somebody who stores the same ones.
 * 3. Whoever stores an object again makes its row young, and waits for a collector that looks at the row.
 * 4. Every statement may be sent twice, and is when the connection was lost: see lost-connection.ts.
 */
import { randomUUID } from "node:crypto";
import { TenutoError } from "../core/errors.ts";
import type { StoredObject } from "../ports/artifact-store.ts";
import type { DatabaseSession, SharedDatabase } from "../ports/database.ts";
import type { Blobs, SharedObjects } from "../ports/objects.ts";
import { insistent } from "./lost-connection.ts";

const CHUNK_BYTES = 256 * 1024;
/** Chunks that are asked for at once. */
const READ_CHUNKS = 4;
const LIST_PAGE = 1_000;
/** An upload that takes longer has died. */
const UPLOAD_MS = 24 * 3_600_000;
const SWEPT_AT_ONCE = 100;

const NOW = "(extract(epoch FROM clock_timestamp()) * 1000)::bigint";

interface ObjectRow {
  sha256: string;
  bytes: number;
  upload: string;
  place: string;
}

interface FoundObject extends ObjectRow {
  ageMs: number;
  damaged: number;
}

export interface DatabaseObjectsOptions {
  /** Where the bytes of new objects go. Default the database. */
  blobs?: Blobs;
  /** Uploads without an end after this time are swept. Default a day. */
  uploadMs?: number;
}

/** The tables are made by the ledger's migrations. */
export function databaseObjects(db: SharedDatabase, options: DatabaseObjectsOptions = {}): DatabaseObjects {
  return new DatabaseObjects(db, options);
}

export class DatabaseObjects implements SharedObjects {
  readonly #db: SharedDatabase;
  readonly #chunks: Blobs;
  readonly #blobs: Blobs;
  readonly #uploadMs: number;

  constructor(db: SharedDatabase, { blobs, uploadMs }: DatabaseObjectsOptions) {
    this.#db = insistent(db);
    this.#chunks = new Chunks(this.#db);
    this.#blobs = blobs ?? this.#chunks;
    this.#uploadMs = uploadMs ?? UPLOAD_MS;
  }

  async put(object: StoredObject, content: () => AsyncIterable<Uint8Array>): Promise<void> {
    const small = this.#blobs === this.#chunks && object.bytes <= CHUNK_BYTES;
    if (small && (await this.#putSmall(object, content()))) return;
    const upload = randomUUID();
    await this.#db.query(
      `INSERT INTO object_upload (id, sha256, place, started_at, ended) VALUES ($1, $2, $3, ${NOW}, 0)
       ON CONFLICT (id) DO NOTHING`,
      [upload, object.sha256, this.#blobs.place],
    );
    let listed = false;
    try {
      await this.#blobs.put(upload, object, content());
      listed = await this.#list(upload, object);
    } finally {
      if (!listed) await this.#dispose({ ...object, upload, place: this.#blobs.place }).catch(() => {});
    }
  }

  /** Whole in one statement; false if one is there that was found to be damaged. */
  async #putSmall(object: StoredObject, content: AsyncIterable<Uint8Array>): Promise<boolean> {
    const parts: Uint8Array[] = [];
    for await (const part of content) parts.push(part);
    const [row] = await this.#db.query<{ damaged: number }>(
      `WITH fresh AS (
        INSERT INTO object (sha256, bytes, upload, place, stored_at) VALUES ($1, $2, $3, '', ${NOW})
        ON CONFLICT (sha256) DO UPDATE SET stored_at = excluded.stored_at RETURNING upload, damaged
      ), stored AS (
        INSERT INTO object_chunk (upload, number, bytes) SELECT upload, 0, $4::bytea FROM fresh WHERE upload = $3
        ON CONFLICT (upload, number) DO NOTHING
      ) SELECT damaged FROM fresh`,
      [object.sha256, object.bytes, randomUUID(), Buffer.concat(parts)],
    );
    return row?.damaged !== 1;
  }

  /** Makes an upload the object; false if there is a sound one already, which becomes young. */
  async #list(upload: string, { sha256, bytes }: StoredObject): Promise<boolean> {
    return await this.#db.transaction(async (session) => {
      const [there] = await session.query<ObjectRow & { damaged: number }>(
        "SELECT sha256, bytes, upload, place, damaged FROM object WHERE sha256 = $1 FOR UPDATE",
        [sha256],
      );
      // Tried again after a commit whose answer was lost.
      if (there?.upload === upload) return true;
      const alive = await session.query("DELETE FROM object_upload WHERE id = $1 AND ended = 0 RETURNING id", [upload]);
      if (alive.length === 0)
        throw new TenutoError("timeout", `the upload of artifact ${sha256} took too long and was swept`, {
          hint: "Retry the job.",
          category: "retryable",
        });
      // Only what takes its place removes it: it may have been the way that was bad, and no bytes.
      if (there?.damaged === 1) {
        await session.query("DELETE FROM object WHERE sha256 = $1", [sha256]);
        await markEnded(session, there);
      }
      const [row] = await session.query<{ upload: string }>(
        `INSERT INTO object (sha256, bytes, upload, place, stored_at) VALUES ($1, $2, $3, $4, ${NOW})
         ON CONFLICT (sha256) DO UPDATE SET stored_at = excluded.stored_at RETURNING upload`,
        [sha256, bytes, upload, this.#blobs.place],
      );
      if (row?.upload === upload) return true;
      await markEnded(session, { sha256, upload, place: this.#blobs.place });
      return false;
    });
  }

  async get(sha256: string): Promise<AsyncIterable<Uint8Array> | null> {
    const row = await this.#row(sha256);
    return row === null ? null : this.#blobsAt(row.place).get(row.upload, row);
  }

  async has(sha256: string): Promise<boolean> {
    return (await this.#row(sha256)) !== null;
  }

  async #row(sha256: string): Promise<ObjectRow | null> {
    const rows = await this.#db.query<ObjectRow>("SELECT sha256, bytes, upload, place FROM object WHERE sha256 = $1", [
      checked(sha256),
    ]);
    return rows[0] ?? null;
  }

  async touch(sha256: string): Promise<boolean> {
    const [row] = await this.#db.query<{ damaged: number }>(
      `UPDATE object SET stored_at = ${NOW} WHERE sha256 = $1 RETURNING damaged`,
      [checked(sha256)],
    );
    return row !== undefined && row.damaged !== 1;
  }

  async damaged(sha256: string): Promise<void> {
    await this.#db.query("UPDATE object SET damaged = 1 WHERE sha256 = $1", [checked(sha256)]);
  }

  async sound(sha256: string): Promise<void> {
    await this.#db.query("UPDATE object SET damaged = 0 WHERE sha256 = $1 AND damaged = 1", [checked(sha256)]);
  }

  async *list(): AsyncIterable<StoredObject & { ageMs: number }> {
    for (let after = ""; ; ) {
      const page = await this.#db.query<StoredObject & { ageMs: number }>(
        `SELECT sha256, bytes, ${NOW} - stored_at AS "ageMs" FROM object WHERE sha256 > $1 ORDER BY sha256 LIMIT $2`,
        [after, LIST_PAGE],
      );
      yield* page;
      if (page.length < LIST_PAGE) return;
      after = page.at(-1)!.sha256;
    }
  }

  async remove(sha256: string): Promise<void> {
    await this.#removeIf(checked(sha256), async () => true);
  }

  async removeUnused(sha256: string, minAgeMs: number, used: () => Promise<boolean>): Promise<boolean> {
    return await this.#removeIf(checked(sha256), async ({ ageMs }) => ageMs > minAgeMs && !(await used()));
  }

  /** Whoever stores the object meanwhile waits for the answer. */
  async #removeIf(sha256: string, may: (row: FoundObject) => Promise<boolean>): Promise<boolean> {
    const removed = await this.#db.transaction(async (session) => {
      const [row] = await session.query<FoundObject>(
        `SELECT sha256, bytes, upload, place, damaged, ${NOW} - stored_at AS "ageMs" FROM object WHERE sha256 = $1 FOR UPDATE`,
        [sha256],
      );
      if (row === undefined || !(await may(row))) return null;
      await session.query("DELETE FROM object WHERE sha256 = $1", [sha256]);
      await markEnded(session, row);
      return row;
    });
    // What can't be disposed of now is swept later.
    if (removed !== null) await this.#dispose(removed).catch(() => {});
    return removed !== null;
  }

  /** Removes what uploads have left behind that died, and bytes whose object is gone. Returns how many. */
  async sweep(): Promise<number> {
    const left = await this.#db.query<ObjectRow>(
      `SELECT id AS upload, sha256, place, 0::bigint AS bytes FROM object_upload
       WHERE started_at < ${NOW} - $1::bigint OR ended = 1 ORDER BY started_at LIMIT $2`,
      [this.#uploadMs, SWEPT_AT_ONCE],
    );
    for (const row of left) await this.#dispose(row);
    return left.length;
  }

  /** Its row goes last, so that whoever dies here leaves it to the next sweep. */
  async #dispose(row: ObjectRow): Promise<void> {
    await this.#db.query("UPDATE object_upload SET ended = 1 WHERE id = $1", [row.upload]);
    await this.#blobsAt(row.place).remove(row.upload, row.sha256);
    await this.#db.query("DELETE FROM object_upload WHERE id = $1", [row.upload]);
  }

  #blobsAt(place: string): Blobs {
    if (place === "") return this.#chunks;
    if (place === this.#blobs.place) return this.#blobs;
    throw new TenutoError("invalid_config", `the bytes of this artifact lie in ${place}, which is not known here`, {
      hint: `Give every machine the same place: TENUTO_ARTIFACT_STORE='${place}?endpoint=…', or artifacts in the configuration.`,
      details: { place },
    });
  }
}

/** Bytes in rows of the database. */
class Chunks implements Blobs {
  readonly place = "";
  readonly #db: SharedDatabase;

  constructor(db: SharedDatabase) {
    this.#db = db;
  }

  async put(upload: string, object: StoredObject, content: AsyncIterable<Uint8Array>): Promise<void> {
    let number = 0;
    for await (const bytes of inChunks(content)) {
      await this.#db.query(
        "INSERT INTO object_chunk (upload, number, bytes) VALUES ($1, $2, $3) ON CONFLICT (upload, number) DO NOTHING",
        [upload, number, bytes],
      );
      number += 1;
    }
    if (number === 0)
      await this.#db.query(
        "INSERT INTO object_chunk (upload, number, bytes) VALUES ($1, 0, $2) ON CONFLICT (upload, number) DO NOTHING",
        [upload, new Uint8Array(object.bytes)],
      );
  }

  async *get(upload: string, object: StoredObject): AsyncIterable<Uint8Array> {
    const count = Math.max(1, Math.ceil(object.bytes / CHUNK_BYTES));
    for (let from = 0; from < count; from += READ_CHUNKS) {
      const rows = await this.#db.query<{ number: number; bytes: Uint8Array }>(
        "SELECT number, bytes FROM object_chunk WHERE upload = $1 AND number >= $2 AND number < $3 ORDER BY number",
        [upload, from, from + READ_CHUNKS],
      );
      if (rows.length !== Math.min(READ_CHUNKS, count - from)) throw incomplete(object.sha256);
      for (const row of rows) yield row.bytes;
    }
  }

  async remove(upload: string): Promise<void> {
    await this.#db.query("DELETE FROM object_chunk WHERE upload = $1", [upload]);
  }
}

async function markEnded(session: DatabaseSession, { upload, sha256, place }: Omit<ObjectRow, "bytes">): Promise<void> {
  await session.query(
    `INSERT INTO object_upload (id, sha256, place, started_at, ended) VALUES ($1, $2, $3, ${NOW}, 1)
     ON CONFLICT (id) DO UPDATE SET ended = 1`,
    [upload, sha256, place],
  );
}

/** The same bytes in pieces of this size, the last one smaller. */
export async function* inChunks(content: AsyncIterable<Uint8Array>, size = CHUNK_BYTES): AsyncGenerator<Uint8Array> {
  let block = Buffer.allocUnsafe(size);
  let filled = 0;
  for await (const part of content) {
    for (let at = 0; at < part.length; ) {
      const taken = Math.min(size - filled, part.length - at);
      block.set(part.subarray(at, at + taken), filled);
      filled += taken;
      at += taken;
      if (filled < size) continue;
      yield block;
      block = Buffer.allocUnsafe(size);
      filled = 0;
    }
  }
  if (filled > 0) yield block.subarray(0, filled);
}

function checked(sha256: string): string {
  if (/^[0-9a-f]{64}$/.test(sha256)) return sha256;
  throw new TenutoError("invalid_input", `${JSON.stringify(sha256)} is not a SHA-256 in lower-case hex`, {
    hint: "Give the 64 hex digits, without `sha256:`.",
  });
}

function incomplete(sha256: string): TenutoError {
  return new TenutoError(
    "artifact_corrupt",
    `artifact ${sha256} is damaged: some of its bytes are not in the database`,
    {
      hint: "It may have been removed just now. Run the job again that made it.",
      details: { sha256 },
    },
  );
}
