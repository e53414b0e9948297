/**
 * Port: content-addressed storage. An object's name is the SHA-256 of its bytes; it is never partial under that name
 * (temporary file, fsync, rename, fsync of the folder) and is verified when read whole.
 */
export interface StoredObject {
  /** Lower-case hex SHA-256. */
  sha256: string;
  bytes: number;
}

export interface ArtifactStore {
  /** Stores the bytes and returns once they are durable. Storing the same bytes twice is one object. */
  put(content: Uint8Array | AsyncIterable<Uint8Array>): Promise<StoredObject>;
  putFile(path: string): Promise<StoredObject>;
  /** Bytes [start, end) as a stream; the whole object is verified while it streams and a mismatch throws `artifact_corrupt`. */
  get(sha256: string, range?: { start: number; end: number }): AsyncIterable<Uint8Array>;
  /** Synchronous-looking read of a small range, for windows of datasets. */
  read(sha256: string, range: { start: number; end: number }): Promise<Uint8Array>;
  has(sha256: string): Promise<boolean>;
  /** Re-hashes the object. */
  verify(sha256: string): Promise<{ ok: boolean; bytes: number }>;
  /** Path of a local file with these bytes, for programs. Read-only by agreement. */
  localPath(sha256: string): Promise<string>;
  /** With the time since each was stored, or stored again. */
  list(): AsyncIterable<StoredObject & { ageMs: number }>;
  remove(sha256: string): Promise<void>;
  /**
   * Removes the object if nobody has stored it for `minAgeMs` and `used` says no when nobody can find it any more. Safe
   * against whoever stores or reads it at the same time. True if it is gone.
   */
  removeUnused(sha256: string, minAgeMs: number, used: () => Promise<boolean>): Promise<boolean>;
  /** Makes the object as young as if it were stored now; false if it is not there. */
  touch(sha256: string): Promise<boolean>;
}

/** A dataset's shape: a stream of JSON records, one a line, with an index for random access by ordinal. */
export interface DatasetInfo extends StoredObject {
  count: number;
  /** Byte offset of record 0, stride, 2·stride, … */
  offsets: number[];
  stride: number;
}
