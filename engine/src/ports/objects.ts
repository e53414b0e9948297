/**
 * Port: objects that all machines share, under the SHA-256 of their bytes. Whoever stores one has it whole in a file already,
 * and so knows its name; whoever reads one checks it against its name.
 */
import type { StoredObject } from "./artifact-store.ts";

export interface SharedObjects {
  /** Stores it wholly or not at all; answers when it is durable. There may be one already. */
  put(object: StoredObject, content: () => AsyncIterable<Uint8Array>): Promise<void>;
  /** Its bytes, unchecked; null if there is none. */
  get(sha256: string): Promise<AsyncIterable<Uint8Array> | null>;
  has(sha256: string): Promise<boolean>;
  /** See ArtifactStore. */
  touch(sha256: string): Promise<boolean>;
  /** Its bytes were found to be others: whoever stores it next replaces them. */
  damaged(sha256: string): Promise<void>;
  /** Its bytes were read whole and found right, after they had been found damaged perhaps. */
  sound(sha256: string): Promise<void>;
  list(): AsyncIterable<StoredObject & { ageMs: number }>;
  remove(sha256: string): Promise<void>;
  removeUnused(sha256: string, minAgeMs: number, used: () => Promise<boolean>): Promise<boolean>;
}

/** Where the bytes of an upload lie. Each upload has a name of its own, which is never used again. */
export interface Blobs {
  /** What objects remember about where they lie: empty for the database itself, else `s3://bucket/prefix`. */
  readonly place: string;
  put(upload: string, object: StoredObject, content: AsyncIterable<Uint8Array>): Promise<void>;
  get(upload: string, object: StoredObject): AsyncIterable<Uint8Array>;
  /** Also what is there of it in part. */
  remove(upload: string, sha256: string): Promise<void>;
}
