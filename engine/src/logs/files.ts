/**
 * Log sink in files: per run a folder with `run.log` for people, `run.jsonl` for programs, and `output/` for commands.
 *
 * Owner: logs.
 * 1. Logging never throws and never waits: lines are buffered and appended in batches behind the caller.
 * 2. Memory is bounded: a run with 256 Ki characters waiting, or all runs with 16 Mi, are written at once,
 *    synchronously. The latter may overtake a batch that is being written; timestamps tell.
 * 3. Several processes may log to one run; every append is whole lines. A line torn by a crash is closed off first.
 * 4. A disk that is full is remembered and told once; lost lines are counted, and the count is logged when it works again.
 */
import { existsSync, fstatSync, readSync, write, writeSync } from "node:fs";
import { readdir, rm } from "node:fs/promises";
import { resolve } from "node:path";
import { promisify } from "node:util";
import type { TenutoError } from "../core/errors.ts";
import type { Clock } from "../ports/clock.ts";
import type { LogLevel, LogLine, LogSink, OutputLog } from "../ports/log-sink.ts";
import { Handles } from "./handles.ts";
import { jsonForm, textForm } from "./line-form.ts";
import { fileNameOf, outputNameOf } from "./names.ts";
import { OutputFile } from "./output.ts";
import { Places, Trail } from "./places.ts";
import { Problems } from "./problem.ts";
import { countLines, readLines } from "./read.ts";

const RUN_BUFFER_CHARS = 256 * 1024;
const ALL_BUFFER_CHARS = 16 * 1024 * 1024;
const WRITERS = 4;
const IDLE_RUNS_KEPT = 256;
const append = promisify(write);

export interface LogFilesOptions {
  clock: Clock;
  /** Told once when writing begins to fail, and again only after it has worked in between. */
  onProblem?: (error: TenutoError) => void;
  /** Files open at the same time. Default 64. */
  maxHandles?: number;
}

export interface LogFiles extends LogSink {
  /** Why the last write failed; null if it did not. */
  readonly problem: TenutoError | null;
  /** Writes all that is buffered before it returns; for the way out of a process. */
  flushSync(): void;
  /** Folder of a run's logs; it exists once there is a line or output. */
  folder(run: string): string;
  /** File of an attempt's raw output; see `readOutputInfo` for cuts and stderr. */
  outputPath(run: string, job: string, attempt: number, item: number | null): string;
}

/** A sink below `root`. Nothing is made before the first line. */
export function openLogFiles(root: string, options: LogFilesOptions): LogFiles {
  return new FileSink(resolve(root), options);
}

/** What one run has waiting. */
interface RunLog {
  run: string;
  folder: string;
  text: string;
  json: string;
  /** Lines waiting. */
  lines: number;
  /** Lines taken from callers, and those of them that were written or lost. */
  added: number;
  settled: number;
  waiters: { upTo: number; done: () => void }[];
  writing: boolean;
  /** Lines that no later line has told of yet. */
  lost: number;
  /** The files may end in the middle of a line. */
  torn: boolean;
  /** Where the JSON lines end, as long as nobody else writes to them. */
  trail: Trail | null;
}

interface Batch {
  text: string;
  json: string;
  lines: number;
  lost: number;
}

class FileSink implements LogFiles {
  readonly lagMs = 0;
  readonly #root: string;
  readonly #clock: Clock;
  readonly #handles: Handles;
  readonly #problems: Problems;
  readonly #places = new Places();
  readonly #runs = new Map<string, RunLog>();
  readonly #dirty = new Set<RunLog>();
  readonly #outputs = new Set<OutputFile>();
  #buffered = 0;
  #writers = 0;
  #scheduled = false;
  #closed = false;

  constructor(root: string, options: LogFilesOptions) {
    this.#root = root;
    this.#clock = options.clock;
    this.#handles = new Handles(options.maxHandles ?? 64);
    this.#problems = new Problems(options.clock, options.onProblem);
  }

  get problem(): TenutoError | null {
    return this.#problems.present;
  }

  folder(run: string): string {
    return `${this.#root}/${fileNameOf(run)}`;
  }

  outputPath(run: string, job: string, attempt: number, item: number | null): string {
    return `${this.folder(run)}/output/${outputNameOf(job, attempt, item)}`;
  }

  line(line: LogLine): void {
    if (this.#closed) return;
    const log = this.#log(line.run);
    const before = log.text.length + log.json.length;
    log.text += textForm(line);
    log.json += jsonForm(line);
    log.lines += 1;
    log.added += 1;
    const chars = log.text.length + log.json.length;
    this.#buffered += chars - before;
    if ((chars > RUN_BUFFER_CHARS && !log.writing) || this.#buffered > ALL_BUFFER_CHARS) {
      this.#writeNow(log);
      return;
    }
    this.#dirty.add(log);
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => this.#pump());
  }

  output(run: string, job: string, attempt: number, item: number | null, capBytes: number): OutputLog {
    const path = this.outputPath(run, job, attempt, item);
    const output: OutputFile = new OutputFile(path, capBytes, this.#handles, this.#problems, () =>
      this.#outputs.delete(output),
    );
    this.#outputs.add(output);
    return output;
  }

  async *read(
    run: string,
    options: { job?: string; after?: number; level?: LogLevel } = {},
  ): AsyncGenerator<LogLine & { number: number }> {
    const log = this.#runs.get(run);
    if (log !== undefined) await this.#settled(log);
    yield* readLines(`${this.folder(run)}/run.jsonl`, this.#places, options);
  }

  async lines(run: string): Promise<number> {
    const log = this.#runs.get(run);
    if (log !== undefined) await this.#settled(log);
    return await countLines(`${this.folder(run)}/run.jsonl`, this.#places);
  }

  async outputFile(run: string, job: string, attempt: number, item: number | null): Promise<string | null> {
    const path = this.outputPath(run, job, attempt, item);
    return existsSync(path) ? path : null;
  }

  async outputs(run: string, limit: number): Promise<string[]> {
    const names = await readdir(`${this.folder(run)}/output`).catch(() => []);
    return names.filter((name) => name.endsWith(".out")).slice(0, limit);
  }

  async logFile(run: string): Promise<string | null> {
    const log = this.#runs.get(run);
    if (log !== undefined) await this.#settled(log);
    const path = `${this.folder(run)}/run.log`;
    return existsSync(path) ? path : null;
  }

  async forget(runs: readonly string[]): Promise<void> {
    for (const run of runs) await rm(this.folder(run), { recursive: true, force: true });
  }

  async flush(): Promise<void> {
    for (const output of this.#outputs) output.flush();
    await Promise.all([...this.#runs.values()].map((log) => this.#settled(log)));
  }

  flushSync(): void {
    for (const output of this.#outputs) output.flush();
    for (const log of this.#dirty) this.#writeNow(log);
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.flush();
    await Promise.all([...this.#outputs].map((output) => output.close()));
    this.#handles.closeAll();
    this.#runs.clear();
  }

  #log(run: string): RunLog {
    let log = this.#runs.get(run);
    if (log === undefined) {
      if (this.#runs.size > IDLE_RUNS_KEPT) this.#forgetIdle();
      const counts = { lines: 0, added: 0, settled: 0, lost: 0 };
      log = {
        run,
        folder: this.folder(run),
        text: "",
        json: "",
        waiters: [],
        writing: false,
        torn: true,
        trail: null,
        ...counts,
      };
      this.#runs.set(run, log);
    }
    return log;
  }

  #forgetIdle(): void {
    for (const [run, log] of this.#runs) {
      if (log.settled === log.added && log.lost === 0) this.#runs.delete(run);
    }
  }

  #pump(): void {
    this.#scheduled = false;
    for (const log of this.#dirty) {
      if (this.#writers >= WRITERS) return;
      if (log.writing) continue;
      this.#dirty.delete(log);
      this.#writers += 1;
      this.#writeSoon(log).finally(() => {
        this.#writers -= 1;
        this.#pump();
      });
    }
  }

  /** Resolves when the lines that the run has now are written or lost. */
  #settled(log: RunLog): Promise<void> | undefined {
    if (log.settled === log.added) return undefined;
    return new Promise((done) => log.waiters.push({ upTo: log.added, done }));
  }

  async #writeSoon(log: RunLog): Promise<void> {
    const batch = this.#take(log);
    log.writing = true;
    try {
      const files = this.#open(log);
      try {
        const [, bytes] = await Promise.all([appendAll(files.text, batch.text), appendAll(files.json, batch.json)]);
        log.writing = false;
        this.#wrote(log, files.json, batch, bytes);
      } finally {
        files.release();
      }
      this.#problems.worked();
    } catch (error) {
      this.#lose(log, batch, error);
    } finally {
      log.writing = false;
      this.#settle(log, batch);
    }
  }

  #writeNow(log: RunLog): void {
    const batch = this.#take(log);
    this.#dirty.delete(log);
    try {
      const files = this.#open(log);
      try {
        appendAllNow(files.text, batch.text);
        this.#wrote(log, files.json, batch, appendAllNow(files.json, batch.json));
      } finally {
        files.release();
      }
      this.#problems.worked();
    } catch (error) {
      this.#lose(log, batch, error);
    } finally {
      this.#settle(log, batch);
    }
  }

  #take(log: RunLog): Batch {
    const batch = { text: log.text, json: log.json, lines: log.lines, lost: log.lost };
    this.#buffered -= log.text.length + log.json.length;
    log.text = "";
    log.json = "";
    log.lines = 0;
    log.lost = 0;
    if (batch.lost > 0) {
      const message = `${batch.lost} log lines before this one were lost, they could not be written`;
      const note: LogLine = { at: this.#clock.now(), run: log.run, agent: "orchestrator", level: "WARNING", message };
      batch.text = textForm(note) + batch.text;
      batch.json = jsonForm(note) + batch.json;
    }
    return batch;
  }

  /** Opens both files of a run and ends torn lines; `release` when the write is over. */
  #open(log: RunLog): { text: number; json: number; release: () => void } {
    const held: { fd: number; release: () => void }[] = [];
    const release = () => {
      for (const file of held) file.release();
    };
    try {
      for (const name of ["run.log", "run.jsonl"]) {
        const file = this.#handles.hold(`${log.folder}/${name}`, "a+");
        held.push(file);
        if (log.torn) endTornLine(file.fd);
      }
      if (log.torn) log.trail = Trail.of(`${log.folder}/run.jsonl`, held[1]!.fd);
      log.torn = false;
      return { text: held[0]!.fd, json: held[1]!.fd, release };
    } catch (error) {
      release();
      throw error;
    }
  }

  /** While a batch is under way beside this one, the file is as long as it will be only afterwards. */
  #wrote(log: RunLog, fd: number, batch: Batch, bytes: number): void {
    log.trail?.add(batch.lines + (batch.lost > 0 ? 1 : 0), bytes);
    if (!log.writing && log.trail?.stands(fd) === false) log.trail = null;
  }

  #lose(log: RunLog, batch: Batch, error: unknown): void {
    log.lost += batch.lines + batch.lost;
    log.torn = true;
    this.#problems.failed(error, log.folder);
  }

  #settle(log: RunLog, batch: Batch): void {
    log.settled += batch.lines;
    while (log.waiters.length > 0 && log.waiters[0]!.upTo <= log.settled) log.waiters.shift()!.done();
  }
}

async function appendAll(fd: number, content: string): Promise<number> {
  const bytes = Buffer.from(content);
  for (let at = 0; at < bytes.length; ) at += (await append(fd, bytes, at)).bytesWritten;
  return bytes.length;
}

function appendAllNow(fd: number, content: string): number {
  const bytes = Buffer.from(content);
  for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at);
  return bytes.length;
}

function endTornLine(fd: number): void {
  const { size } = fstatSync(fd);
  const last = Buffer.alloc(1);
  if (size > 0 && readSync(fd, last, 0, 1, size - 1) === 1 && last[0] !== 10) writeSync(fd, "\n");
}
