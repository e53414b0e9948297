/**
 * What the command line touches of the outside: streams, environment, signals, the working directory. Tests give their own.
 *
 * Invariant: a reader that goes away (`| head`) is not an error; what is written after that is dropped, and `gone` says so.
 */

export interface CliStream {
  readonly isTTY: boolean;
  readonly columns: number;
  readonly rows: number;
  /** True once the reader has closed its end. */
  readonly gone: boolean;
  write(content: string | Uint8Array): void;
  /** Resolves when all that was written has been handed to the system. */
  flush(): Promise<void>;
}

export type StopSignal = "SIGINT" | "SIGTERM";

export interface CliIo {
  stdout: CliStream;
  stderr: CliStream;
  env: Record<string, string | undefined>;
  cwd: string;
  /** Calls back for each signal until the returned function is called; meanwhile the process does not die of them. */
  onSignal(listener: (signal: StopSignal) => void): () => void;
  /** Calls back for errors that nobody awaits, in the context that they come from; meanwhile the process does not die of them. */
  onStray(listener: (error: unknown) => void): () => void;
  onResize(listener: () => void): () => void;
  /** Ends the process now, without waiting for anything. */
  exit(code: number): void;
}

/** The real process. A terminal of no size (a pseudo-terminal that nobody told its size) counts as one of 80 columns. */
export function processIo(): CliIo {
  return {
    stdout: processStream(process.stdout),
    stderr: processStream(process.stderr),
    env: process.env,
    cwd: process.cwd(),
    onSignal: (listener) => {
      const signals: StopSignal[] = ["SIGINT", "SIGTERM"];
      for (const signal of signals) process.on(signal, listener);
      return () => {
        for (const signal of signals) process.off(signal, listener);
      };
    },
    onStray: (listener) => {
      const events = ["uncaughtException", "unhandledRejection"] as const;
      for (const event of events) process.on(event, listener);
      return () => {
        for (const event of events) process.off(event, listener);
      };
    },
    onResize: (listener) => {
      process.stderr.on("resize", listener);
      return () => process.stderr.off("resize", listener);
    },
    exit: (code) => process.exit(code),
  };
}

function processStream(stream: NodeJS.WriteStream): CliStream {
  let gone = false;
  stream.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE" && error.code !== "ERR_STREAM_DESTROYED") throw error;
    gone = true;
  });
  return {
    get isTTY() {
      return stream.isTTY === true;
    },
    get columns() {
      return stream.columns || 80;
    },
    get rows() {
      return stream.rows || 24;
    },
    get gone() {
      return gone;
    },
    write: (content) => {
      if (!gone) stream.write(content);
    },
    flush: () => new Promise((resolve) => (gone ? resolve() : stream.write("", () => resolve()))),
  };
}
