/**
 * The last bytes that a program wrote to standard output, in a file: constant memory, whatever it writes.
 *
 * Owner: artifacts. Writes are synchronous, as those of the raw log are: the port has no back-pressure.
 */
import { closeSync, openSync, readSync, unlinkSync, writeSync } from "node:fs";

const PIECE_BYTES = 256 * 1024;

export class StdoutTail {
  readonly #path: string;
  readonly #cap: number;
  #fd: number | null = null;
  #given = 0;

  constructor(path: string, capBytes: number) {
    this.#path = path;
    this.#cap = capBytes;
  }

  /** Bytes that were written in all. */
  get bytes(): number {
    return this.#given;
  }

  get isCut(): boolean {
    return this.#given > this.#cap;
  }

  /** Forgets what was written so far. */
  begin(): void {
    this.#given = 0;
  }

  write(chunk: Uint8Array): void {
    if (this.#cap === 0) {
      this.#given += chunk.length;
      return;
    }
    this.#fd ??= openSync(this.#path, "w+", 0o600);
    // Of a chunk longer than the ring only the end will be left.
    let at = Math.max(0, chunk.length - this.#cap);
    this.#given += at;
    while (at < chunk.length) {
      const position = this.#given % this.#cap;
      const written = writeSync(this.#fd, chunk, at, Math.min(chunk.length - at, this.#cap - position), position);
      at += written;
      this.#given += written;
    }
  }

  /** What is left, in order; of a cut text not half a character. */
  async *content(): AsyncGenerator<Uint8Array> {
    if (this.#fd === null) return;
    const ranges: [number, number][] = this.isCut
      ? [
          [this.#given % this.#cap, this.#cap],
          [0, this.#given % this.#cap],
        ]
      : [[0, this.#given]];
    let first = this.isCut;
    for (const [start, end] of ranges)
      for (let at = start; at < end; ) {
        const piece = Buffer.allocUnsafe(Math.min(PIECE_BYTES, end - at));
        const read = readSync(this.#fd, piece, 0, piece.length, at);
        if (read === 0) break;
        at += read;
        let from = 0;
        while (first && from < 3 && from < read && (piece[from]! & 0xc0) === 0x80) from += 1;
        first = false;
        yield piece.subarray(from, read);
      }
  }

  close(): void {
    if (this.#fd === null) return;
    closeSync(this.#fd);
    this.#fd = null;
    unlinkSync(this.#path);
  }
}
