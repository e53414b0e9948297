/**
 * Port: where log lines and raw output of programs go. Lines follow the source documents' form
 * `{timestamp} | {job_id} | {agent_type} | {level} | {message}`; JSON lines beside them have run, job, attempt and item.
 */
import type { Json } from "../core/model.ts";

export type LogLevel = "INFO" | "WARNING" | "ERROR";

export interface LogLine {
  at: number;
  run: string;
  job?: string;
  attempt?: number;
  item?: number;
  /** `orchestrator` for lines of the engine itself. */
  agent: string;
  level: LogLevel;
  message: string;
  fields?: Record<string, Json>;
}

/** Raw bytes of one attempt of a command, capped (head and tail are kept, the cut is marked). */
export interface OutputLog {
  write(stream: "stdout" | "stderr", chunk: Uint8Array): void;
  /** Resolves when what was written is in the file. */
  close(): Promise<void>;
}

export interface LogSink {
  /** What is written elsewhere may be seen so much later than what was committed after it. */
  readonly lagMs: number;
  line(line: LogLine): void;
  output(run: string, job: string, attempt: number, item: number | null, capBytes: number): OutputLog;
  /** Lines of a run in the order written. `after` is the number of the last line already seen. */
  read(
    run: string,
    options?: { job?: string; after?: number; level?: LogLevel },
  ): AsyncIterable<LogLine & { number: number }>;
  /** Number of the newest line; quick, however long the log is. */
  lines(run: string): Promise<number>;
  /** A file of this machine with the raw output of an attempt, wherever it ran; null if there is none. */
  outputFile(run: string, job: string, attempt: number, item: number | null): Promise<string | null>;
  /** Names of the files of raw output that a run has, at most this many. */
  outputs(run: string, limit: number): Promise<string[]>;
  /** A file of this machine with all lines of a run as people read them; null if there are none. */
  logFile(run: string): Promise<string | null>;
  /** Removes what there is of these runs. */
  forget(runs: readonly string[]): Promise<void>;
  flush(): Promise<void>;
  close(): Promise<void>;
}
