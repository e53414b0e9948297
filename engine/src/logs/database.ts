/**
 * Log sink for many machines: lines and raw output go through the database, so that whoever watches sees them, wherever the
 * job runs. Raw output is also in a file on the machine that ran the program, there up to its whole cap.
 *
 * Owner: logs.
 * 1. Logging never throws and never waits: lines are buffered and written in batches, all runs in one statement.
 * 2. Memory is bounded: with 16 Mi characters waiting (the database is away), further lines are lost, counted, and told of.
 * 3. Numbers of lines are given under the lock of the run's row: whoever has read number n has read all before it.
 * 4. A run's log is bounded: of one that grows too long the first and the last part are kept, and what is missing is told.
 * 5. A batch whose commit is unknown is written again only if it is not there.
 */
import { randomUUID } from "node:crypto";
import { mkdir, open, rename } from "node:fs/promises";
import type { TenutoError } from "../core/errors.ts";
import type { Clock } from "../ports/clock.ts";
import type { SharedDatabase } from "../ports/database.ts";
import type { LogLevel, LogLine, LogSink, OutputLog } from "../ports/log-sink.ts";
import type { LogFiles } from "./files.ts";
import { jsonForm, parseJsonForm, textForm } from "./line-form.ts";
import { outputNameOf } from "./names.ts";
import { DATABASE_HINT, Problems } from "./problem.ts";
import { OutputShipper, ShippedOutput } from "./shipping.ts";

const ALL_BUFFER_CHARS = 16 * 1024 * 1024;
const CHUNK_CHARS = 256 * 1024;
const RUN_CHARS = 64 * 1024 * 1024;
const FLUSH_MS = 200;
const AGAIN_MS = 1_000;
const READ_CHUNKS = 8;
const RANK: Record<LogLevel, number> = { INFO: 0, WARNING: 1, ERROR: 2 };
const NOW = "(extract(epoch FROM clock_timestamp()) * 1000)::bigint";

export interface DatabaseLogsOptions {
  clock: Clock;
  onProblem?: (error: TenutoError) => void;
  /** Characters that are kept of a run's lines. Default 64 Mi. */
  runChars?: number;
  /** Bytes that are kept of an attempt's raw output. Default 16 MiB. */
  outputBytes?: number;
  /** Characters that wait at most. Default 16 Mi. */
  bufferChars?: number;
  /** Called when all is written and closed. */
  onClosed?: () => Promise<void>;
}

/** `files` holds the raw output of programs that ran here. The tables are made by the ledger's migrations. */
export function openDatabaseLogs(db: SharedDatabase, files: LogFiles, options: DatabaseLogsOptions): DatabaseLogs {
  return new DatabaseLogs(db, files, options);
}

interface Waiting {
  run: string;
  lines: string[];
  chars: number;
}

interface Batch extends Waiting {
  id: string;
}

export class DatabaseLogs implements LogSink {
  readonly lagMs = 5 * FLUSH_MS;
  readonly #db: SharedDatabase;
  readonly #files: LogFiles;
  readonly #clock: Clock;
  readonly #problems: Problems;
  readonly #shipper: OutputShipper;
  readonly #runChars: number;
  readonly #bufferChars: number;
  readonly #onClosed: (() => Promise<void>) | undefined;
  #waiting = new Map<string, Waiting>();
  /** Lines that no later line has told of yet. */
  readonly #lost = new Map<string, number>();
  #chars = 0;
  #timer: NodeJS.Timeout | null = null;
  #writing: Promise<void> | null = null;
  #closed = false;

  constructor(db: SharedDatabase, files: LogFiles, options: DatabaseLogsOptions) {
    this.#db = db;
    this.#files = files;
    this.#clock = options.clock;
    this.#problems = new Problems(options.clock, options.onProblem);
    this.#runChars = options.runChars ?? RUN_CHARS;
    this.#bufferChars = options.bufferChars ?? ALL_BUFFER_CHARS;
    this.#onClosed = options.onClosed;
    this.#shipper = new OutputShipper(db, this.#problems, options.outputBytes);
  }

  line(line: LogLine): void {
    if (this.#closed) return;
    if (this.#chars >= this.#bufferChars) {
      this.#lost.set(line.run, (this.#lost.get(line.run) ?? 0) + 1);
      return;
    }
    const lost = this.#lost.get(line.run) ?? 0;
    if (lost > 0) {
      this.#lost.delete(line.run);
      const message = `${lost} log lines before this one were lost, they could not be written`;
      this.#add({ at: this.#clock.now(), run: line.run, agent: "orchestrator", level: "WARNING", message });
    }
    this.#add(line);
    if (this.#chars > CHUNK_CHARS) void this.#write();
    else this.#timer ??= setTimeout(() => void this.#write(), FLUSH_MS).unref();
  }

  #add(line: LogLine): void {
    let waiting = this.#waiting.get(line.run);
    if (waiting === undefined) {
      waiting = { run: line.run, lines: [], chars: 0 };
      this.#waiting.set(line.run, waiting);
    }
    const text = jsonForm(line);
    waiting.lines.push(text);
    waiting.chars += text.length;
    this.#chars += text.length;
  }

  /** One batch after the other, so that a run's lines stay in order. */
  #write(): Promise<void> {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#writing ??= this.#writeAll().finally(() => {
      this.#writing = null;
    });
    return this.#writing;
  }

  async #writeAll(): Promise<void> {
    let batches: Batch[] = [];
    for (let again = false; batches.length > 0 || this.#waiting.size > 0; ) {
      if (batches.length === 0) batches = this.#take();
      try {
        await this.#insert(again ? await this.#missing(batches) : batches);
        for (const batch of batches) this.#chars -= batch.chars;
        batches = [];
        again = false;
        this.#problems.worked();
      } catch (error) {
        this.#problems.failed(error, "in the database", DATABASE_HINT);
        // Whether it was committed is unknown.
        again = true;
        if (this.#closed) return;
        await new Promise((done) => setTimeout(done, AGAIN_MS).unref());
      }
    }
  }

  #take(): Batch[] {
    const batches: Batch[] = [];
    for (const { run, lines } of this.#waiting.values()) {
      for (let from = 0; from < lines.length; ) {
        let chars = 0;
        let to = from;
        while (to < lines.length && (to === from || chars + lines[to]!.length <= CHUNK_CHARS))
          chars += lines[to++]!.length;
        batches.push({ id: randomUUID(), run, lines: lines.slice(from, to), chars });
        from = to;
      }
    }
    this.#waiting = new Map();
    return batches;
  }

  async #missing(batches: readonly Batch[]): Promise<Batch[]> {
    const rows = await this.#db.query<{ batch: string }>(
      "SELECT batch FROM log_chunk WHERE run = ANY($1::text[]) AND batch = ANY($2::text[])",
      [[...new Set(batches.map((batch) => batch.run))], batches.map((batch) => batch.id)],
    );
    const there = new Set(rows.map((row) => row.batch));
    return batches.filter((batch) => !there.has(batch.id));
  }

  async #insert(batches: readonly Batch[]): Promise<void> {
    if (batches.length === 0) return;
    const rows = await this.#db.query<{ run: string; chars: number }>(
      `WITH input AS (
        SELECT run, id, lines, chars, body, sum(lines) OVER (PARTITION BY run ORDER BY nth) AS upto
        FROM unnest($1::text[], $2::text[], $3::int[], $4::int[], $5::text[]) WITH ORDINALITY AS t (run, id, lines, chars, body, nth)
      ), grown AS (
        SELECT run, sum(lines)::bigint AS lines, sum(chars)::bigint AS chars FROM input GROUP BY run ORDER BY run
      ), head AS (
        INSERT INTO log_head (run, lines, chars, written_at) SELECT run, lines, chars, ${NOW} FROM grown
        ON CONFLICT (run) DO UPDATE SET lines = log_head.lines + excluded.lines, chars = log_head.chars + excluded.chars,
          written_at = excluded.written_at
        RETURNING run, lines, chars
      ), written AS (
        INSERT INTO log_chunk (run, first, lines, chars, body, batch)
        SELECT run, head.lines - grown.lines + input.upto - input.lines + 1, input.lines, input.chars, input.body, input.id
        FROM input JOIN head USING (run) JOIN grown USING (run)
      ) SELECT run, chars FROM head WHERE chars > $6`,
      [
        batches.map((batch) => batch.run),
        batches.map((batch) => batch.id),
        batches.map((batch) => batch.lines.length),
        batches.map((batch) => batch.chars),
        batches.map((batch) => batch.lines.join("")),
        this.#runChars,
      ],
    );
    for (const { run } of rows) await this.#shorten(run);
  }

  /** Takes out of the middle until a quarter is free. */
  async #shorten(run: string): Promise<void> {
    const kept = Math.floor((this.#runChars * 3) / 8);
    await this.#db.transaction(async (session) => {
      const [head] = await session.query<{ chars: number }>("SELECT chars FROM log_head WHERE run = $1 FOR UPDATE", [
        run,
      ]);
      if (head === undefined || head.chars <= this.#runChars) return;
      await session.query(
        `WITH placed AS (
          SELECT first, sum(chars) OVER (ORDER BY first) AS upto, sum(chars) OVER (ORDER BY first DESC) AS back
          FROM log_chunk WHERE run = $1
        ), gone AS (
          DELETE FROM log_chunk WHERE run = $1 AND first IN (SELECT first FROM placed WHERE upto > $2 AND back > $2)
          RETURNING chars
        ) UPDATE log_head SET chars = chars - coalesce((SELECT sum(chars) FROM gone), 0) WHERE run = $1`,
        [run, kept],
      );
    });
  }

  output(run: string, job: string, attempt: number, item: number | null, capBytes: number): OutputLog {
    const local = this.#files.output(run, job, attempt, item, capBytes);
    const path = this.#files.outputPath(run, job, attempt, item);
    return new ShippedOutput(this.#shipper, local, path, { run, name: outputNameOf(job, attempt, item) });
  }

  async *read(
    run: string,
    options: { job?: string; after?: number; level?: LogLevel } = {},
  ): AsyncGenerator<LogLine & { number: number }> {
    const { job, after = 0, level = "INFO" } = options;
    if (this.#waiting.has(run) || this.#writing !== null) await this.#write();
    for (let next = after + 1; ; ) {
      const chunks = await this.#db.query<{ first: number; lines: number; body: string }>(
        `SELECT first, lines, body FROM log_chunk WHERE run = $1
         AND first >= coalesce((SELECT max(first) FROM log_chunk WHERE run = $1 AND first <= $2), 0)
         ORDER BY first LIMIT $3`,
        [run, next, READ_CHUNKS],
      );
      for (const { first, lines, body } of chunks) {
        if (first > next) yield this.#gap(run, next, first);
        let number = first - 1;
        for (const text of body.split("\n")) {
          number += 1;
          if (text === "" || number < next) continue;
          const line = parseJsonForm(text);
          if (line === null || RANK[line.level] < RANK[level] || (job !== undefined && line.job !== job)) continue;
          yield { ...line, number };
        }
        next = Math.max(next, first + lines);
      }
      if (chunks.length < READ_CHUNKS) return;
    }
  }

  #gap(run: string, next: number, first: number): LogLine & { number: number } {
    const message = `${first - next} log lines are missing here, the log is capped`;
    return { at: this.#clock.now(), run, agent: "orchestrator", level: "WARNING", message, number: first - 1 };
  }

  /** Number of the newest line. */
  async lines(run: string): Promise<number> {
    if (this.#waiting.has(run) || this.#writing !== null) await this.#write();
    const [head] = await this.#db.query<{ lines: number }>("SELECT lines FROM log_head WHERE run = $1", [run]);
    return head?.lines ?? 0;
  }

  /** A file with the raw output of an attempt, wherever it ran; null if there is none. */
  async outputFile(run: string, job: string, attempt: number, item: number | null): Promise<string | null> {
    const own = this.#files.outputPath(run, job, attempt, item);
    return await this.#shipper.fetch(own, this.#folder(run), { run, name: outputNameOf(job, attempt, item) });
  }

  async outputs(run: string, limit: number): Promise<string[]> {
    await this.#shipper.flush();
    const rows = await this.#db.query<{ name: string }>(
      "SELECT name FROM output WHERE run = $1 ORDER BY name LIMIT $2",
      [run, limit],
    );
    return rows.map((row) => row.name);
  }

  /** Sends a file with raw output that another sink has written. */
  async sendOutput(run: string, name: string, path: string): Promise<void> {
    await this.#shipper.sendFile({ run, name }, path);
  }

  /** Makes a file of this name with the raw output, in that folder. */
  async fetchOutput(run: string, name: string, folder: string): Promise<void> {
    await this.#shipper.fetch(`${folder}/${name}`, folder, { run, name });
  }

  /** A file with all lines as people read them; null if there are none. */
  async logFile(run: string): Promise<string | null> {
    if ((await this.lines(run)) === 0) return null;
    const path = `${this.#folder(run)}/run.log`;
    await mkdir(this.#folder(run), { recursive: true });
    const partial = `${path}.${randomUUID()}`;
    const file = await open(partial, "w");
    try {
      let text = "";
      for await (const line of this.read(run)) {
        text += textForm(line);
        if (text.length < CHUNK_CHARS) continue;
        await file.writeFile(text);
        text = "";
      }
      await file.writeFile(text);
    } finally {
      await file.close();
    }
    await rename(partial, path);
    return path;
  }

  #folder(run: string): string {
    return `${this.#files.folder(run)}/fetched`;
  }

  /** Removes what belongs to these runs. */
  async forget(runs: readonly string[]): Promise<void> {
    await this.#files.forget(runs);
    await this.forgetShared(runs);
  }

  /** Leaves what this machine has of them. */
  async forgetShared(runs: readonly string[]): Promise<void> {
    for (const table of ["log_chunk", "log_head", "output_chunk", "output"])
      await this.#db.query(`DELETE FROM ${table} WHERE run = ANY($1::text[])`, [runs]);
  }

  /** Removes what is left of runs that are gone for a day. Returns how many. */
  async sweep(idleMs = 24 * 3_600_000): Promise<number> {
    const rows = await this.#db.query<{ run: string }>(
      `SELECT DISTINCT log.run FROM (SELECT run, written_at FROM log_head UNION ALL SELECT run, written_at FROM output) AS log
       WHERE written_at < ${NOW} - $1::bigint AND NOT EXISTS (SELECT 1 FROM run WHERE run.id = log.run) LIMIT 1000`,
      [idleMs],
    );
    if (rows.length > 0) await this.forget(rows.map((row) => row.run));
    return rows.length;
  }

  async flush(): Promise<void> {
    await this.#write();
    await this.#shipper.flush();
    await this.#files.flush();
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#files.close();
    await this.#write();
    await this.#shipper.close();
    await this.#onClosed?.();
  }
}
