/**
 * Content-addressed store in a folder: `objects/ab/cdef…`, written through `tmp/`.
 *
 * Owner: artifacts.
 * 1. Under a final name there is only ever a whole object: temporary file, fsync, rename, fsync of the folder.
 * 2. `put` answers when the object would survive a power cut.
 * 3. Bytes are never served unchecked: a stream of a whole object is hashed as it goes; ranges are served once the
 *    file, as it is identified by inode, size and change time, has been hashed in this process (or was written by it).
 * 4. Storing again what is there makes it young. What is removed as unused goes through `trash/`: there it is looked at once
 *    more, and whoever wants it meanwhile, to read or to store, puts it back or makes it anew.
 * 5. Temporary files of dead processes are removed at open; those of live ones, on this or another host, are not.
 */
import { createHash, hash } from "node:crypto";
import { type BigIntStats, constants } from "node:fs";
import { type FileHandle, mkdir, open, readdir, rename, unlink, utimes } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { TenutoError } from "../core/errors.ts";
import type { ArtifactStore, StoredObject } from "../ports/artifact-store.ts";
import { FolderSync, syncFolder } from "./folder-sync.ts";
import { removeLeftovers, temporaryName } from "./leftovers.ts";
import { chunksOf, diskError, hashOf, identityOf, statOrNull, writeAll } from "./object-file.ts";
import { removeUnused, restore } from "./trash.ts";

/** Streams up to this size are held in memory, so that a known object costs no write. */
const MEMORY_BYTES = 1024 * 1024;
const WRITE_BYTES = 256 * 1024;
const READ_BYTES = 256 * 1024;
/** An object that is stored again and is older than this is made young, so that the collector of garbage leaves it alone. */
const TOUCH_MS = 5 * 60_000;
/** A folder entry this young may come from another process that has not yet made it durable. */
const YOUNG_MS = 60_000;
const VERIFIED_KEPT = 10_000;

/**
 * Opens (and makes, when missing) a store below `root`. Bytes given to `put` are left alone by the caller until it
 * answers. @throws disk_full, here and in every put
 */
export async function openFileStore(root: string, touchMs = TOUCH_MS): Promise<ArtifactStore> {
  const folder = resolve(root);
  try {
    const made = await mkdir(`${folder}/objects`, { recursive: true });
    await mkdir(`${folder}/tmp`, { recursive: true });
    await mkdir(`${folder}/trash`, { recursive: true });
    // Each folder that was made is an entry of the one above it.
    if (made !== undefined) {
      for (let entry = folder; entry.length >= dirname(made).length; entry = dirname(entry)) {
        await syncFolder(entry);
        if (entry === dirname(entry)) break;
      }
    }
  } catch (cause) {
    throw diskError(cause, folder, 0);
  }
  await removeLeftovers(`${folder}/tmp`);
  const store = new FileStore(folder, touchMs);
  // A collector that died may have left something there.
  for (const name of await readdir(`${folder}/trash`)) await store.restore(name);
  return store;
}

function unusable(path: string, what: string): TenutoError {
  return new TenutoError("invalid_input", `${path} ${what}: it can't be stored`, {
    hint: "Give the path of a file; relative ones begin in the working directory.",
  });
}

class FileStore implements ArtifactStore {
  readonly #root: string;
  readonly #touchMs: number;
  readonly #sync = new FolderSync();
  readonly #shards = new Set<string>();
  /** Identity of the file that was found good, per object; the oldest are forgotten first. */
  readonly #verified = new Map<string, string>();

  constructor(root: string, touchMs: number) {
    this.#touchMs = touchMs;
    this.#root = root;
  }

  async put(content: Uint8Array | AsyncIterable<Uint8Array>): Promise<StoredObject> {
    if (content instanceof Uint8Array) return this.#putBytes(content);
    const source = content[Symbol.asyncIterator]();
    try {
      const start: Uint8Array[] = [];
      let bytes = 0;
      while (bytes <= MEMORY_BYTES) {
        const { done, value } = await source.next();
        if (done === true) return await this.#putBytes(start.length === 1 ? start[0]! : Buffer.concat(start, bytes));
        // Producers may use their buffer again after the next pull.
        start.push(Uint8Array.prototype.slice.call(value));
        bytes += value.length;
      }
      return await this.#putStream(start, source);
    } catch (error) {
      await source.return?.().catch(() => {});
      throw error;
    }
  }

  async putFile(path: string): Promise<StoredObject> {
    // Without waiting: a named pipe that nobody writes to would hold a thread of the engine for ever.
    const handle = await open(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0)).catch((error) => {
      if (error.code === "ENOENT") throw unusable(path, "is not there");
      throw error;
    });
    try {
      // A device such as /dev/zero has no end.
      if (!(await handle.stat()).isFile()) throw unusable(path, "is no plain file");
      return await this.put(handle.createReadStream({ highWaterMark: READ_BYTES, autoClose: false }));
    } finally {
      await handle.close();
    }
  }

  async *get(sha256: string, range?: { start: number; end: number }): AsyncIterable<Uint8Array> {
    if (range !== undefined) {
      for (let at = range.start; at < range.end || at === range.start; at += READ_BYTES) {
        const part = await this.read(sha256, { start: at, end: Math.min(at + READ_BYTES, range.end) });
        if (part.length > 0) yield part;
      }
      return;
    }
    const handle = await this.#openObject(sha256);
    try {
      const digest = createHash("sha256");
      for await (const chunk of chunksOf(handle)) {
        digest.update(chunk);
        yield chunk;
      }
      const found = digest.digest("hex");
      if (found !== sha256) throw this.#corrupt(sha256, `its bytes hash to ${found}`);
    } finally {
      await handle.close();
    }
  }

  async read(sha256: string, range: { start: number; end: number }): Promise<Uint8Array> {
    const { start, end } = range;
    if (!(Number.isSafeInteger(start) && Number.isSafeInteger(end) && start >= 0 && end >= start)) {
      throw new TenutoError("invalid_input", `[${start}, ${end}) is not a range of bytes`, {
        hint: "Give whole numbers with 0 ≤ start ≤ end.",
      });
    }
    return this.#withObject(sha256, async (handle) => {
      const found = await handle.stat({ bigint: true });
      await this.#ensureVerified(sha256, handle, found);
      if (BigInt(end) > found.size) {
        throw this.#corrupt(sha256, `it has ${found.size} bytes, but bytes [${start}, ${end}) were asked for`);
      }
      const bytes = Buffer.allocUnsafe(end - start);
      for (let filled = 0; filled < bytes.length; ) {
        const { bytesRead } = await handle.read(bytes, filled, bytes.length - filled, start + filled);
        if (bytesRead === 0) throw this.#corrupt(sha256, "it became shorter while it was read");
        filled += bytesRead;
      }
      return bytes;
    });
  }

  async has(sha256: string): Promise<boolean> {
    return (await statOrNull(this.#path(sha256))) !== null || (await this.restore(sha256));
  }

  async verify(sha256: string): Promise<{ ok: boolean; bytes: number }> {
    return this.#withObject(sha256, async (handle) => {
      const { size } = await handle.stat();
      return { ok: (await hashOf(handle)) === sha256, bytes: size };
    });
  }

  async localPath(sha256: string): Promise<string> {
    const path = this.#path(sha256);
    if (!(await this.has(sha256))) throw this.#missing(sha256);
    return path;
  }

  async *list(): AsyncIterable<StoredObject & { ageMs: number }> {
    const objects = `${this.#root}/objects`;
    for (const shard of (await readdir(objects)).filter((name) => /^[0-9a-f]{2}$/.test(name)).sort()) {
      for (const rest of (await readdir(`${objects}/${shard}`)).sort()) {
        if (!/^[0-9a-f]{62}$/.test(rest)) continue;
        const found = await statOrNull(`${objects}/${shard}/${rest}`);
        if (found !== null)
          yield { sha256: shard + rest, bytes: Number(found.size), ageMs: Date.now() - Number(found.mtimeMs) };
      }
    }
  }

  async remove(sha256: string): Promise<void> {
    this.#verified.delete(sha256);
    await unlink(this.#path(sha256)).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== "ENOENT") throw error;
    });
  }

  async removeUnused(sha256: string, minAgeMs: number, used: () => Promise<boolean>): Promise<boolean> {
    const gone = await removeUnused(this.#root, sha256, this.#path(sha256), Date.now() - minAgeMs, used);
    if (gone) this.#verified.delete(sha256);
    return gone;
  }

  /** Puts back what lies in the trash; false if it does not. */
  restore(sha256: string): Promise<boolean> {
    return restore(this.#root, sha256, this.#path(sha256));
  }

  async touch(sha256: string): Promise<boolean> {
    const path = this.#path(sha256);
    const before = await statOrNull(path);
    if (before === null) return (await this.restore(sha256)) ? await this.touch(sha256) : false;
    return await this.#touched(sha256, before);
  }

  /** Makes a file young that was found so; false if it is gone meanwhile. What is known of its bytes stays known. */
  async #touched(sha256: string, found: BigIntStats): Promise<boolean> {
    const known = this.#verified.get(sha256) === identityOf(found);
    const now = new Date();
    try {
      await utimes(this.#path(sha256), now, now);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return false;
      throw error;
    }
    const after = known ? await statOrNull(this.#path(sha256)) : null;
    if (after !== null && after.ino === found.ino && after.size === found.size)
      this.#remember(sha256, identityOf(after));
    return true;
  }

  async #putBytes(content: Uint8Array): Promise<StoredObject> {
    const object = { sha256: hash("sha256", content, "hex"), bytes: content.length };
    if (await this.#present(object)) return object;
    await this.#write(object.bytes, async (handle) => {
      await writeAll(handle, content);
      return object;
    });
    return object;
  }

  #putStream(start: Uint8Array[], source: AsyncIterator<Uint8Array>): Promise<StoredObject> {
    return this.#write(0, async (handle) => {
      const digest = createHash("sha256");
      const block = Buffer.allocUnsafe(WRITE_BYTES);
      let filled = 0;
      let bytes = 0;
      const flush = async (content: Uint8Array) => {
        digest.update(content);
        await writeAll(handle, content);
        bytes += content.length;
      };
      const add = async (chunk: Uint8Array) => {
        for (let at = 0; at < chunk.length; ) {
          const taken = Math.min(WRITE_BYTES - filled, chunk.length - at);
          block.set(chunk.subarray(at, at + taken), filled);
          filled += taken;
          at += taken;
          if (filled < WRITE_BYTES) continue;
          await flush(block);
          filled = 0;
        }
      };
      for (const chunk of start) await add(chunk);
      for (let next = await source.next(); next.done !== true; next = await source.next()) await add(next.value);
      await flush(block.subarray(0, filled));
      return { sha256: digest.digest("hex"), bytes };
    });
  }

  /** Runs `fill` on a temporary file and puts it under its name. The file is gone if anything fails. */
  async #write(need: number, fill: (handle: FileHandle) => Promise<StoredObject>): Promise<StoredObject> {
    const temporary = `${this.#root}/tmp/${temporaryName()}`;
    let handle: FileHandle | null = null;
    let renamed = false;
    try {
      handle = await open(temporary, "wx", 0o444);
      const object = await fill(handle);
      if (await this.#present(object)) return object;
      await handle.sync();
      await this.#shard(object.sha256);
      await rename(temporary, this.#path(object.sha256));
      renamed = true;
      const found = await handle.stat({ bigint: true });
      await this.#sync.of(this.#folder(object.sha256));
      this.#remember(object.sha256, identityOf(found));
      return object;
    } catch (error) {
      throw diskError(error, this.#root, need);
    } finally {
      await handle?.close().catch(() => {});
      if (handle !== null && !renamed) await unlink(temporary).catch(() => {});
    }
  }

  /** Whether the object is there, good as far as is cheaply known, and durable. If not, it is to be written (again). */
  async #present(object: StoredObject): Promise<boolean> {
    const found = await statOrNull(this.#path(object.sha256));
    if (found === null || found.size !== BigInt(object.bytes)) return false;
    if (!(await this.#isGood(object, found))) return false;
    return Date.now() - Number(found.mtimeMs) < this.#touchMs || (await this.#touched(object.sha256, found));
  }

  async #isGood(object: StoredObject, found: BigIntStats): Promise<boolean> {
    const known = this.#verified.get(object.sha256);
    if (known === identityOf(found)) return true;
    // Another process may have touched it; then it is hashed again.
    if ((known !== undefined || object.bytes <= MEMORY_BYTES) && !(await this.verify(object.sha256)).ok) return false;
    if (Date.now() - Number(found.ctimeMs) < YOUNG_MS) await this.#sync.of(this.#folder(object.sha256));
    if (known !== undefined || object.bytes <= MEMORY_BYTES) this.#remember(object.sha256, identityOf(found));
    return true;
  }

  async #shard(sha256: string): Promise<void> {
    const folder = this.#folder(sha256);
    if (this.#shards.has(folder)) return;
    await mkdir(folder, { recursive: true });
    await this.#sync.of(`${this.#root}/objects`);
    this.#shards.add(folder);
  }

  async #ensureVerified(sha256: string, handle: FileHandle, found: BigIntStats): Promise<void> {
    const identity = identityOf(found);
    if (this.#verified.get(sha256) === identity) return;
    const actual = await hashOf(handle);
    if (actual !== sha256) throw this.#corrupt(sha256, `its bytes hash to ${actual}`);
    this.#remember(sha256, identity);
  }

  #remember(sha256: string, identity: string): void {
    this.#verified.delete(sha256);
    this.#verified.set(sha256, identity);
    if (this.#verified.size > VERIFIED_KEPT) this.#verified.delete(this.#verified.keys().next().value!);
  }

  async #withObject<T>(sha256: string, work: (handle: FileHandle) => Promise<T>): Promise<T> {
    const handle = await this.#openObject(sha256);
    try {
      return await work(handle);
    } finally {
      await handle.close();
    }
  }

  async #openObject(sha256: string): Promise<FileHandle> {
    try {
      return await open(this.#path(sha256), "r");
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    }
    if (await this.restore(sha256)) return await this.#openObject(sha256);
    throw this.#missing(sha256);
  }

  #folder(sha256: string): string {
    return `${this.#root}/objects/${sha256.slice(0, 2)}`;
  }

  #path(sha256: string): string {
    // Also what keeps a name from the outside from leaving the folder.
    if (!/^[0-9a-f]{64}$/.test(sha256)) {
      throw new TenutoError("invalid_input", `${JSON.stringify(sha256)} is not a SHA-256 in lower-case hex`, {
        hint: "Give the 64 hex digits, without `sha256:`.",
      });
    }
    return `${this.#folder(sha256)}/${sha256.slice(2)}`;
  }

  #missing(sha256: string): TenutoError {
    return new TenutoError("not_found", `there is no artifact ${sha256} in ${this.#root}`, {
      hint: "It was pruned or belongs to another store; run the job again that made it.",
      details: { sha256, path: this.#path(sha256) },
    });
  }

  #corrupt(sha256: string, fault: string): TenutoError {
    // No file has this identity, so the next put of the good bytes replaces the damaged ones.
    this.#remember(sha256, "damaged");
    return new TenutoError("artifact_corrupt", `artifact ${sha256} is damaged: ${fault}`, {
      hint: "Run the job again that made it; `tenuto artifacts verify` lists all damaged ones.",
      details: { sha256, path: this.#path(sha256) },
    });
  }
}
