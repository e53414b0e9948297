/**
 * One program: started without a shell in a session of its own, its output handed on as raw bytes.
 *
 * Owner: executors. Invariants:
 * 1. `startProgram` returns a running program or throws the system's error with its code; nothing is left open then.
 * 2. Chunks are handed on as they were read, at most 64 KB each and never collected here. If the receiver returns a
 *    promise, reading that stream pauses until it settles, and the program blocks on its pipe.
 * 3. A receiver that throws ends delivery and rejects `delivered`; the program's pipes are still read empty.
 */
import type { ChildProcess } from "node:child_process";
import { spawn } from "node:child_process";
import type { Readable, Writable } from "node:stream";

export interface ProgramOptions {
  argv: readonly string[];
  cwd: string;
  env: Record<string, string>;
  /** A text, written and closed; or whoever writes while the program runs. */
  stdin: string | ((stdin: Writable) => void) | undefined;
  output: (stream: "stdout" | "stderr", chunk: Uint8Array) => unknown;
}

export interface Exit {
  code: number | null;
  signal: NodeJS.Signals | null;
}

export interface Program {
  pid: number;
  /** Resolves when the program has been reaped. */
  exited: Promise<Exit>;
  /** Resolves when both output pipes have been read to their end. */
  drained: Promise<void>;
  /** Rejects with what the receiver threw; never resolves. */
  delivered: Promise<never>;
  /** Kills the program itself, if it has not been reaped yet. */
  kill(): void;
  /** Closes our ends of the pipes, whoever still holds the others. */
  destroyPipes(): void;
}

/** @throws the system's error (ENOENT, EACCES, E2BIG, …) when the program can't be started */
export async function startProgram(options: ProgramOptions): Promise<Program> {
  const [file, ...args] = options.argv;
  const child = spawn(file!, args, {
    cwd: options.cwd,
    env: options.env,
    detached: true,
    windowsHide: true,
    stdio: [options.stdin === undefined || options.stdin === "" ? "ignore" : "pipe", "pipe", "pipe"],
  });
  const { pid } = child;
  if (pid === undefined) throw await failureOf(child);
  return watchChild(child, pid, options);
}

function failureOf(child: ChildProcess): Promise<unknown> {
  return new Promise((resolve) => {
    child.once("error", (error) => {
      // Without file descriptors there are no streams either.
      for (const stream of child.stdio ?? []) stream?.destroy();
      resolve(error);
    });
  });
}

function watchChild(child: ChildProcess, pid: number, options: ProgramOptions): Program {
  // After the start an error can only come from kill() or send(), which are not used.
  child.on("error", () => {});
  const exited = new Promise<Exit>((resolve) => child.once("exit", (code, signal) => resolve({ code, signal })));
  const drained = new Promise<void>((resolve) => child.once("close", () => resolve()));
  let fail = (_: unknown): void => {};
  const delivered = new Promise<never>((_, reject) => {
    fail = reject;
  });
  delivered.catch(() => {});
  for (const name of ["stdout", "stderr"] as const) {
    deliver(child[name]!, (chunk) => options.output(name, chunk), fail);
  }
  if (child.stdin !== null) {
    // A program need not read its input: a broken pipe is its choice.
    child.stdin.on("error", () => {});
    if (typeof options.stdin === "function") options.stdin(child.stdin);
    else child.stdin.end(options.stdin);
  }
  const destroyPipes = (): void => {
    for (const stream of child.stdio) stream?.destroy();
  };
  return { pid, exited, drained, delivered, destroyPipes, kill: () => void child.kill("SIGKILL") };
}

function deliver(stream: Readable, receive: (chunk: Uint8Array) => unknown, fail: (error: unknown) => void): void {
  let broken = false;
  const stop = (error: unknown): void => {
    broken = true;
    fail(error);
    stream.resume();
  };
  stream.on("error", stop);
  stream.on("data", (chunk: Uint8Array) => {
    if (broken) return;
    try {
      const wait = receive(chunk);
      if (!(wait instanceof Promise)) return;
      stream.pause();
      wait.then(() => stream.resume(), stop);
    } catch (error) {
      stop(error);
    }
  });
}
