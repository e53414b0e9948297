/**
 * Raw output of one attempt of a command: the bytes as they came, stdout and stderr in order of arrival, in one file.
 *
 * Owner: logs.
 * 1. Up to the cap the file is byte-identical to what was written. Above it, it holds the first half of the cap, a
 *    line that says how much is missing, and the last half.
 * 2. Beside it, once there is stderr or a cut, `<name>.json` tells which bytes are stderr and where the cut is.
 * 3. Memory is bounded by 256 KiB per output. Larger amounts are written at once and synchronously: the port has no
 *    back-pressure, and so a slow disk slows the reading of the pipe, and through it the program.
 * 4. After a failed write the file stays a true beginning of the output; how much is lost is told beside it.
 */
import { rmSync, writeFileSync, writeSync } from "node:fs";
import { open, readFile, rename } from "node:fs/promises";
import type { OutputLog } from "../ports/log-sink.ts";
import type { Handles } from "./handles.ts";
import type { Problems } from "./problem.ts";

const FLUSH_BYTES = 256 * 1024;
const COPY_BYTES = 1024 * 1024;
/** Programs that switch streams with every line would make the list as long as the output. */
const MAX_RANGES = 10_000;
/** Where small chunks are joined for one write. Shared, as writes are synchronous. */
const scratch = Buffer.allocUnsafe(32 * 1024);

/** Facts about one output, as they stand in the file beside it. Positions count the bytes as the program wrote them. */
export interface OutputInfo {
  /** Bytes that the program wrote. */
  bytes: number;
  stdoutBytes: number;
  stderrBytes: number;
  /** [start, end) of what is stderr. */
  stderr: [number, number][];
  /** Whether there are more ranges of stderr than are listed. */
  stderrIncomplete: boolean;
  /**
   * Null if the file is complete. Otherwise the file holds bytes [0, at), then `markerBytes` of a marking line, then
   * the rest from at + omitted on. `markerBytes` 0: the engine died first, and what follows `at` is in no order.
   */
  cut: { at: number; markerBytes: number; omitted: number } | null;
  /** Bytes from here on could not be written. */
  lostFrom: number | null;
}

/** Facts about an output file; null if it has no cut and all of it is stdout. */
export async function readOutputInfo(path: string): Promise<OutputInfo | null> {
  try {
    return JSON.parse(await readFile(`${path}.json`, "utf8")) as OutputInfo;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw error;
  }
}

export class OutputFile implements OutputLog {
  readonly #path: string;
  readonly #head: number;
  readonly #ring: number;
  readonly #handles: Handles;
  readonly #problems: Problems;
  readonly #closed: () => void;
  readonly #stderr: [number, number][] = [];
  #stderrBytes = 0;
  #stderrIncomplete = false;
  /** Bytes given, and bytes that the file has taken. */
  #given = 0;
  #taken = 0;
  #pending: Uint8Array[] = [];
  #pendingBytes = 0;
  #lostFrom: number | null = null;
  #begun = false;
  #cutTold = false;
  #ended: Promise<void> | null = null;

  constructor(path: string, capBytes: number, handles: Handles, problems: Problems, closed: () => void) {
    this.#path = path;
    this.#head = Math.ceil(capBytes / 2);
    this.#ring = Math.max(0, capBytes - this.#head);
    this.#handles = handles;
    this.#problems = problems;
    this.#closed = closed;
  }

  write(stream: "stdout" | "stderr", chunk: Uint8Array): void {
    if (chunk.length === 0 || this.#ended !== null) return;
    if (stream === "stderr") this.#mark(this.#given, this.#given + chunk.length);
    this.#given += chunk.length;
    if (this.#lostFrom !== null) return;
    if (this.#pendingBytes === 0) setImmediate(() => this.flush());
    this.#pending.push(chunk);
    this.#pendingBytes += chunk.length;
    if (this.#pendingBytes >= FLUSH_BYTES) this.flush();
  }

  /** Hands what is pending to the operating system. */
  flush(): void {
    const chunks = this.#pending;
    this.#pending = [];
    this.#pendingBytes = 0;
    try {
      if (chunks.length === 0) return;
      for (const chunk of joined(chunks)) this.#take(chunk);
      this.#problems.worked();
    } catch (error) {
      this.#lostFrom = this.#taken;
      this.#problems.failed(error, this.#path);
    }
  }

  close(): Promise<void> {
    this.#ended ??= this.#finish();
    return this.#ended;
  }

  async #finish(): Promise<void> {
    this.flush();
    this.#handles.close(this.#path);
    try {
      const markerBytes = this.#isCut() ? await this.#straighten() : 0;
      if (this.#begun && (this.#isCut() || this.#stderrBytes > 0 || this.#lostFrom !== null)) this.#tell(markerBytes);
    } catch (error) {
      this.#problems.failed(error, this.#path);
    } finally {
      this.#closed();
    }
  }

  #isCut(): boolean {
    return this.#taken > this.#head + this.#ring;
  }

  /** Writes to the head, then round and round in the ring behind it. */
  #take(chunk: Uint8Array): void {
    const fd = this.#open();
    const inHead = Math.min(chunk.length, Math.max(0, this.#head - this.#taken));
    if (inHead > 0) this.#put(fd, chunk.subarray(0, inHead), this.#taken);
    // Of a chunk longer than the ring only the end will be left.
    const skipped = Math.max(0, chunk.length - inHead - this.#ring);
    this.#taken += skipped;
    if (this.#taken + chunk.length - inHead - skipped > this.#head + this.#ring && !this.#cutTold) {
      this.#cutTold = true;
      this.#tell(0);
    }
    for (let at = inHead + skipped; at < chunk.length && this.#ring > 0; ) {
      const position = (this.#taken - this.#head) % this.#ring;
      const part = chunk.subarray(at, at + this.#ring - position);
      this.#put(fd, part, this.#head + position);
      at += part.length;
    }
  }

  #open(): number {
    if (this.#begun) return this.#handles.use(this.#path, "r+");
    const fd = this.#handles.use(this.#path, "w+");
    this.#begun = true;
    return fd;
  }

  #put(fd: number, bytes: Uint8Array, position: number): void {
    for (let at = 0; at < bytes.length; ) {
      const written = writeSync(fd, bytes, at, bytes.length - at, position + at);
      at += written;
      this.#taken += written;
    }
  }

  #mark(start: number, end: number): void {
    this.#stderrBytes += end - start;
    const last = this.#stderr.at(-1);
    if (last !== undefined && last[1] === start && !this.#stderrIncomplete) last[1] = end;
    else if (this.#stderr.length < MAX_RANGES) this.#stderr.push([start, end]);
    else this.#stderrIncomplete = true;
  }

  /** Replaces the file by head, marking line and the ring in order; returns the size of the marking line. */
  async #straighten(): Promise<number> {
    const omitted = this.#taken - this.#head - this.#ring;
    const marker = Buffer.from(`\n[tenuto: ${omitted} bytes are missing here, the log is capped]\n`);
    const turn = this.#ring === 0 ? 0 : (this.#taken - this.#head) % this.#ring;
    const straight = `${this.#path}.part`;
    const from = await open(this.#path, "r");
    try {
      const to = await open(straight, "w");
      try {
        const block = Buffer.allocUnsafe(COPY_BYTES);
        const copy = async (start: number, end: number) => {
          for (let at = start; at < end; ) {
            const { bytesRead } = await from.read(block, 0, Math.min(COPY_BYTES, end - at), at);
            if (bytesRead === 0) return;
            await to.writeFile(block.subarray(0, bytesRead));
            at += bytesRead;
          }
        };
        await copy(0, this.#head);
        await to.writeFile(marker);
        await copy(this.#head + turn, this.#head + this.#ring);
        await copy(this.#head, this.#head + turn);
      } finally {
        await to.close();
      }
      await rename(straight, this.#path);
      return marker.length;
    } catch (error) {
      rmSync(straight, { force: true });
      throw error;
    } finally {
      await from.close();
    }
  }

  #tell(markerBytes: number): void {
    const cut = { at: this.#head, markerBytes, omitted: Math.max(0, this.#taken - this.#head - this.#ring) };
    const info: OutputInfo = {
      bytes: this.#given,
      stdoutBytes: this.#given - this.#stderrBytes,
      stderrBytes: this.#stderrBytes,
      stderr: this.#stderr,
      stderrIncomplete: this.#stderrIncomplete,
      cut: this.#isCut() || this.#cutTold ? cut : null,
      lostFrom: this.#lostFrom,
    };
    writeFileSync(`${this.#path}.json`, JSON.stringify(info));
  }
}

/** The same bytes in fewer chunks. Each chunk is to be used before the next is taken. */
function* joined(chunks: Uint8Array[]): Generator<Uint8Array> {
  let filled = 0;
  for (const chunk of chunks) {
    if (filled + chunk.length > scratch.length) {
      if (filled > 0) yield scratch.subarray(0, filled);
      filled = 0;
    }
    if (chunk.length > scratch.length) {
      yield chunk;
    } else {
      scratch.set(chunk, filled);
      filled += chunk.length;
    }
  }
  if (filled > 0) yield scratch.subarray(0, filled);
}
