/**
 * Store for many machines: objects lie where all machines reach them, and each machine keeps files of those that it has used.
 *
 * Owner: artifacts.
 * 1. `put` answers when the object is durable where all reach it; the file here is only a copy.
 * 2. Bytes are checked when they are fetched and, as every file, when they are read. A copy that is damaged is fetched anew.
 * 3. Copies take at most `cacheBytes`, but for those used within the last ten minutes: what a job has just been given stays.
 */
import { createHash } from "node:crypto";
import { TenutoError } from "../core/errors.ts";
import type { ArtifactStore, StoredObject } from "../ports/artifact-store.ts";
import type { SharedObjects } from "../ports/objects.ts";

/** As long as this nobody is told again that the object is in use. The collector of garbage waits for an hour. */
const TOUCH_MS = 5 * 60_000;
const RECENT_KEPT = 10_000;
/** Copies used within this time are left alone. */
const IN_USE_MS = 10 * 60_000;
export const CACHE_BYTES = 10 * 1024 ** 3;

export interface SharedStoreOptions {
  /** What copies may take here. Default 10 GiB. */
  cacheBytes?: number;
  /** Copies used within this time stay, however many they are. Default ten minutes. */
  inUseMs?: number;
}

/** `local` holds the copies. */
export function sharedStore(
  local: ArtifactStore,
  objects: SharedObjects,
  options: SharedStoreOptions = {},
): ArtifactStore {
  return new SharedStore(local, objects, options.cacheBytes ?? CACHE_BYTES, options.inUseMs ?? IN_USE_MS);
}

class SharedStore implements ArtifactStore {
  readonly #local: ArtifactStore;
  readonly #objects: SharedObjects;
  readonly #cacheBytes: number;
  readonly #inUseMs: number;
  /** When each was last made young where all reach it, by the monotonic clock; the oldest are forgotten first. */
  readonly #recent = new Map<string, number>();
  /** When each copy was last used here. */
  readonly #used = new Map<string, number>();
  readonly #sharing = new Map<string, Promise<void>>();
  readonly #fetching = new Map<string, Promise<void>>();
  /** Bytes that came since the copies were last counted. */
  #added = Number.POSITIVE_INFINITY;
  #trimming: Promise<void> | null = null;

  constructor(local: ArtifactStore, objects: SharedObjects, cacheBytes: number, inUseMs: number) {
    this.#local = local;
    this.#objects = objects;
    this.#cacheBytes = cacheBytes;
    this.#inUseMs = inUseMs;
  }

  async put(content: Uint8Array | AsyncIterable<Uint8Array>): Promise<StoredObject> {
    return await this.#shared(await this.#local.put(content));
  }

  async putFile(path: string): Promise<StoredObject> {
    return await this.#shared(await this.#local.putFile(path));
  }

  async *get(sha256: string, range?: { start: number; end: number }): AsyncIterable<Uint8Array> {
    await this.#ensure(sha256);
    try {
      yield* this.#local.get(sha256, range);
    } catch (error) {
      // What was given out is given out; the next reader gets a good copy.
      if (isDamage(error)) await this.#local.remove(sha256);
      throw error;
    }
  }

  async read(sha256: string, range: { start: number; end: number }): Promise<Uint8Array> {
    await this.#ensure(sha256);
    try {
      return await this.#local.read(sha256, range);
    } catch (error) {
      if (!isDamage(error)) throw error;
      await this.#local.remove(sha256);
      await this.#ensure(sha256);
      return await this.#local.read(sha256, range);
    }
  }

  async has(sha256: string): Promise<boolean> {
    return await this.#objects.has(sha256);
  }

  async verify(sha256: string): Promise<{ ok: boolean; bytes: number }> {
    const content = await this.#objects.get(sha256);
    if (content === null) throw missing(sha256);
    const digest = createHash("sha256");
    let bytes = 0;
    try {
      for await (const chunk of content) {
        digest.update(chunk);
        bytes += chunk.length;
      }
    } catch (error) {
      if (!isDamage(error)) throw error;
      await this.#objects.damaged(sha256);
      return { ok: false, bytes };
    }
    const ok = digest.digest("hex") === sha256;
    await (ok ? this.#objects.sound(sha256) : this.#objects.damaged(sha256));
    return { ok, bytes };
  }

  async localPath(sha256: string): Promise<string> {
    await this.#ensure(sha256);
    return await this.#local.localPath(sha256);
  }

  list(): AsyncIterable<StoredObject & { ageMs: number }> {
    return this.#objects.list();
  }

  async remove(sha256: string): Promise<void> {
    this.#recent.delete(sha256);
    await this.#objects.remove(sha256);
    await this.#local.remove(sha256);
  }

  async removeUnused(sha256: string, minAgeMs: number, used: () => Promise<boolean>): Promise<boolean> {
    const gone = await this.#objects.removeUnused(sha256, minAgeMs, used);
    if (gone) {
      this.#recent.delete(sha256);
      await this.#local.remove(sha256);
    }
    return gone;
  }

  async touch(sha256: string): Promise<boolean> {
    if (this.#isRecent(sha256)) return true;
    const found = await this.#objects.touch(sha256);
    if (found) this.#remember(sha256);
    return found;
  }

  #isRecent(sha256: string): boolean {
    const at = this.#recent.get(sha256);
    return at !== undefined && performance.now() - at < TOUCH_MS;
  }

  #remember(sha256: string): void {
    this.#recent.delete(sha256);
    this.#recent.set(sha256, performance.now());
    if (this.#recent.size > RECENT_KEPT) this.#recent.delete(this.#recent.keys().next().value!);
  }

  /** Makes sure that all machines reach what lies here. */
  async #shared(object: StoredObject): Promise<StoredObject> {
    const { sha256 } = object;
    this.#use(sha256);
    if (this.#isRecent(sha256)) return object;
    let sharing = this.#sharing.get(sha256);
    if (sharing === undefined) {
      sharing = this.#share(object).finally(() => this.#sharing.delete(sha256));
      this.#sharing.set(sha256, sharing);
    }
    await sharing;
    return object;
  }

  async #share(object: StoredObject): Promise<void> {
    if (!(await this.#objects.touch(object.sha256))) {
      await this.#objects.put(object, () => this.#local.get(object.sha256));
      this.#grown(object.bytes);
    }
    this.#remember(object.sha256);
  }

  /** Makes sure that there is a copy here. @throws not_found, artifact_corrupt */
  async #ensure(sha256: string): Promise<void> {
    this.#use(sha256);
    if (await this.#local.has(sha256)) return;
    let fetching = this.#fetching.get(sha256);
    if (fetching === undefined) {
      fetching = this.#fetch(sha256).finally(() => this.#fetching.delete(sha256));
      this.#fetching.set(sha256, fetching);
    }
    await fetching;
  }

  async #fetch(sha256: string): Promise<void> {
    const content = await this.#objects.get(sha256);
    if (content === null) throw missing(sha256);
    const stored = await this.#local.put(content);
    if (stored.sha256 === sha256) return this.#grown(stored.bytes);
    await this.#local.remove(stored.sha256);
    await this.#objects.damaged(sha256);
    throw new TenutoError("artifact_corrupt", `artifact ${sha256} is damaged: its bytes hash to ${stored.sha256}`, {
      hint: "Run the job again that made it; `tenuto artifacts verify` lists all damaged ones.",
      details: { sha256 },
    });
  }

  #use(sha256: string): void {
    this.#used.delete(sha256);
    this.#used.set(sha256, performance.now());
    if (this.#used.size > RECENT_KEPT) this.#used.delete(this.#used.keys().next().value!);
  }

  #grown(bytes: number): void {
    this.#added += bytes;
    if (this.#added < this.#cacheBytes / 8 || this.#trimming !== null) return;
    // Copies that could not be removed now are in the way again the next time.
    this.#trimming = this.#trim()
      .catch(() => {})
      .finally(() => {
        this.#trimming = null;
        this.#grown(0);
      });
  }

  async #trim(): Promise<void> {
    this.#added = 0;
    const copies: { sha256: string; bytes: number; idleMs: number }[] = [];
    let total = 0;
    const now = performance.now();
    for await (const { sha256, bytes, ageMs } of this.#local.list()) {
      const used = this.#used.get(sha256);
      copies.push({ sha256, bytes, idleMs: used === undefined ? ageMs : Math.min(ageMs, now - used) });
      total += bytes;
    }
    copies.sort((a, b) => b.idleMs - a.idleMs);
    for (const { sha256, bytes, idleMs } of copies) {
      if (total <= this.#cacheBytes * 0.8 || idleMs < this.#inUseMs) return;
      if (this.#sharing.has(sha256)) continue;
      await this.#local.remove(sha256);
      total -= bytes;
    }
  }
}

function isDamage(error: unknown): boolean {
  return error instanceof TenutoError && error.code === "artifact_corrupt";
}

function missing(sha256: string): TenutoError {
  return new TenutoError("not_found", `there is no artifact ${sha256} in the store of this ledger`, {
    hint: "It was pruned or belongs to another ledger; run the job again that made it.",
    details: { sha256 },
  });
}
