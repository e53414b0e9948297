/**
 * Raw output of programs on its way to the database, and back into a file on the machine of whoever looks at it.
 *
 * Owner: logs. Invariants:
 * 1. Of each output the first half of the bound travels while the program runs, the last half when it has ended; between
 *    them stands how much is missing. What is shorter is there whole.
 * 2. Chunks of all outputs travel together; each is written once, wherever the connection broke.
 * 3. Memory is bounded: with 16 MiB waiting (the database is away) what comes then stays only on the machine it was made on.
 */
import { randomUUID } from "node:crypto";
import { access, mkdir, open, rename, stat } from "node:fs/promises";
import type { SharedDatabase } from "../ports/database.ts";
import type { OutputLog } from "../ports/log-sink.ts";
import { type OutputInfo, readOutputInfo } from "./output.ts";
import { DATABASE_HINT, type Problems } from "./problem.ts";

const OUTPUT_BYTES = 16 * 1024 * 1024;
const WAITING_BYTES = 16 * 1024 * 1024;
const FLUSH_BYTES = 256 * 1024;
const FLUSH_MS = 250;
const AGAIN_MS = 1_000;
const READ_CHUNKS = 8;
const NOW = "(extract(epoch FROM clock_timestamp()) * 1000)::bigint";

export interface OutputId {
  run: string;
  name: string;
}

interface Chunk extends OutputId {
  at: number;
  bytes: Uint8Array;
}

interface Head extends OutputId {
  bytes: number;
  /** JSON of where the last half begins and how long the output was; null while it runs. */
  info: string | null;
}

/** What the database knows of an output that has ended. */
interface Ended {
  /** Bytes in the machine's own file, and where the last half of what was sent begins in it. */
  bytes: number;
  tailAt: number;
}

export class OutputShipper {
  readonly #db: SharedDatabase;
  readonly #problems: Problems;
  /** Half of what is kept of an output. */
  readonly half: number;
  #chunks: Chunk[] = [];
  #heads = new Map<string, Head>();
  #bytes = 0;
  #timer: NodeJS.Timeout | null = null;
  #writing: Promise<void> | null = null;
  #closed = false;

  constructor(db: SharedDatabase, problems: Problems, bytes = OUTPUT_BYTES) {
    this.#db = db;
    this.#problems = problems;
    this.half = Math.ceil(bytes / 2);
  }

  /** False if there is no room. */
  add(chunk: Chunk): boolean {
    if (this.#bytes + chunk.bytes.length > WAITING_BYTES) return false;
    this.#chunks.push(chunk);
    this.#bytes += chunk.bytes.length;
    this.tell({ run: chunk.run, name: chunk.name, bytes: chunk.at + chunk.bytes.length, info: null });
    return true;
  }

  tell(head: Head): void {
    this.#heads.set(`${head.run}\n${head.name}`, head);
    if (this.#bytes > FLUSH_BYTES) void this.flush();
    else this.#timer ??= setTimeout(() => void this.flush(), FLUSH_MS).unref();
  }

  /** Sends [from, to) of a file as the bytes of an output. */
  async sendPart(id: OutputId, path: string, from: number, to = Number.POSITIVE_INFINITY): Promise<void> {
    const file = await open(path, "r");
    try {
      for (let at = from; at < to; ) {
        const buffer = Buffer.allocUnsafe(Math.min(FLUSH_BYTES, to - at));
        const { bytesRead } = await file.read(buffer, 0, buffer.length, at);
        if (bytesRead === 0) return;
        if (this.add({ ...id, at, bytes: buffer.subarray(0, bytesRead) })) at += bytesRead;
        else await this.flush();
      }
    } finally {
      await file.close();
    }
  }

  /** Sends an output that has ended, as its machine has it. */
  async sendFile(id: OutputId, path: string): Promise<void> {
    const { size } = await stat(path);
    const head = Math.min(size, this.half);
    const tailAt = Math.max(head, size - this.half);
    await this.sendPart(id, path, 0, head);
    await this.sendPart(id, path, tailAt);
    const info = await readOutputInfo(path).catch(() => null);
    this.tell({ ...id, bytes: size, info: JSON.stringify({ ...info, bytes: size, tailAt }) });
    await this.flush();
  }

  flush(): Promise<void> {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#writing ??= this.#writeAll().finally(() => {
      this.#writing = null;
    });
    return this.#writing;
  }

  async #writeAll(): Promise<void> {
    while (this.#heads.size > 0) {
      const chunks = this.#chunks;
      const heads = [...this.#heads.values()];
      this.#chunks = [];
      this.#heads = new Map();
      while (!(await this.#written(chunks, heads))) {
        if (this.#closed) return;
        await new Promise((done) => setTimeout(done, AGAIN_MS).unref());
      }
      for (const chunk of chunks) this.#bytes -= chunk.bytes.length;
    }
  }

  async #written(chunks: readonly Chunk[], heads: readonly Head[]): Promise<boolean> {
    try {
      await this.#insert(chunks, heads);
      this.#problems.worked();
      return true;
    } catch (error) {
      this.#problems.failed(error, "in the database", DATABASE_HINT);
      return false;
    }
  }

  async #insert(chunks: readonly Chunk[], heads: readonly Head[]): Promise<void> {
    const sorted = [...heads].sort((a, b) => (a.run + a.name < b.run + b.name ? -1 : 1));
    await this.#db.query(
      `WITH chunk AS (
        INSERT INTO output_chunk (run, name, at, bytes)
        SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bytea[]) ON CONFLICT (run, name, at) DO NOTHING
      ) INSERT INTO output (run, name, bytes, info, written_at)
      SELECT run, name, bytes, info, ${NOW} FROM unnest($5::text[], $6::text[], $7::bigint[], $8::text[]) AS t (run, name, bytes, info)
      ON CONFLICT (run, name) DO UPDATE SET bytes = greatest(output.bytes, excluded.bytes), info = coalesce(excluded.info, output.info),
        written_at = excluded.written_at`,
      [
        chunks.map((chunk) => chunk.run),
        chunks.map((chunk) => chunk.name),
        chunks.map((chunk) => chunk.at),
        chunks.map((chunk) => chunk.bytes),
        sorted.map((head) => head.run),
        sorted.map((head) => head.name),
        sorted.map((head) => head.bytes),
        sorted.map((head) => head.info),
      ],
    );
  }

  /** The machine's own file if it is there, else one made from the database; null if nobody has written any. */
  async fetch(own: string, folder: string, { run, name }: OutputId): Promise<string | null> {
    if (await exists(own)) return own;
    await this.flush();
    const [row] = await this.#db.query<{ bytes: number; info: string | null }>(
      "SELECT bytes, info FROM output WHERE run = $1 AND name = $2",
      [run, name],
    );
    if (row === undefined) return null;
    const ended = row.info === null ? null : (JSON.parse(row.info) as Ended);
    const path = `${folder}/${name}`;
    // What has ended does not change any more.
    if (ended !== null && (await exists(path))) return path;
    await mkdir(folder, { recursive: true });
    const partial = `${path}.${randomUUID()}`;
    const file = await open(partial, "w");
    try {
      for await (const bytes of this.#content(run, name, ended)) await file.writeFile(bytes);
    } finally {
      await file.close();
    }
    if (ended === null) {
      await rename(partial, `${path}.running`);
      return `${path}.running`;
    }
    await rename(partial, path);
    return path;
  }

  async *#content(run: string, name: string, ended: Ended | null): AsyncGenerator<Uint8Array> {
    let next = 0;
    for (let after = -1; ; ) {
      const chunks = await this.#db.query<{ at: number; bytes: Uint8Array }>(
        "SELECT at, bytes FROM output_chunk WHERE run = $1 AND name = $2 AND at > $3 ORDER BY at LIMIT $4",
        [run, name, after, READ_CHUNKS],
      );
      for (const { at, bytes } of chunks) {
        if (at > next) yield gap(at - next);
        const fresh = bytes.subarray(Math.max(0, next - at));
        if (fresh.length > 0) yield fresh;
        next = Math.max(next, at + bytes.length);
        after = at;
      }
      if (chunks.length < READ_CHUNKS) break;
    }
    if (ended !== null && ended.bytes > next) yield gap(ended.bytes - next);
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.flush();
  }
}

const gap = (bytes: number): Buffer => Buffer.from(`\n[tenuto: ${bytes} bytes are missing here, the log is capped]\n`);

async function exists(path: string): Promise<boolean> {
  return await access(path).then(
    () => true,
    () => false,
  );
}

/** Output that is written to a file here and sent to the database. */
export class ShippedOutput implements OutputLog {
  readonly #shipper: OutputShipper;
  readonly #local: OutputLog;
  readonly #path: string;
  readonly #id: OutputId;
  /** Bytes sent from the beginning on without a gap. */
  #sent = 0;
  #given = 0;
  #full = false;
  #ended: Promise<void> | null = null;

  constructor(shipper: OutputShipper, local: OutputLog, path: string, id: OutputId) {
    this.#shipper = shipper;
    this.#local = local;
    this.#path = path;
    this.#id = id;
  }

  write(stream: "stdout" | "stderr", chunk: Uint8Array): void {
    this.#local.write(stream, chunk);
    this.#given += chunk.length;
    if (this.#full || chunk.length === 0) return;
    const part = chunk.subarray(0, this.#shipper.half - this.#sent);
    const room = part.length > 0 && this.#shipper.add({ ...this.#id, at: this.#sent, bytes: part });
    if (room) this.#sent += part.length;
    this.#full = !room || part.length < chunk.length;
  }

  close(): Promise<void> {
    this.#ended ??= this.#finish();
    return this.#ended;
  }

  async #finish(): Promise<void> {
    await this.#local.close();
    if (this.#given === 0) return;
    const info: OutputInfo | null = await readOutputInfo(this.#path).catch(() => null);
    const size = await stat(this.#path).then(
      (found) => found.size,
      () => 0,
    );
    // Up to the machine's own cut the file is what the program wrote.
    const whole = Math.min(this.#sent, info?.cut?.at ?? this.#sent, size);
    const tailAt = Math.max(whole, size - this.#shipper.half);
    if (tailAt < size) await this.#shipper.sendPart(this.#id, this.#path, tailAt);
    const ended: Ended = { bytes: size, tailAt };
    this.#shipper.tell({ ...this.#id, bytes: size, info: JSON.stringify({ ...info, ...ended }) });
    await this.#shipper.flush();
  }
}
