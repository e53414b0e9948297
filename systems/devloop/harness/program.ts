/**
 * Runs one program for the harness: a coding agent, a model command, a test runner, git.
 *
 * Invariants:
 * 1. It ends within its limit: TERM to its process group, then KILL; and within `finalGraceMs` after its final line, if it
 *    has one, because coding agents are known to hang after their last event.
 * 2. Its end is its exit, not the end of its output: whoever else holds the pipes is waited for at most `drainMs`.
 * 3. When `runProgram` resolves, nothing of its process group is alive. What left the group carries the job's marker, and
 *    the engine ends it with the job.
 * 4. Output is handed on in lines and never collected beyond bounds.
 * 5. The program sees the variables it is given, and TENUTO_MARKER; never the job's token, socket or files.
 */
import { spawn } from "node:child_process";
import type { Readable } from "node:stream";
import { createLineCutter, plainText, Tail } from "./lines.ts";

export interface ProgramOptions {
  argv: readonly string[];
  cwd: string;
  /** Beside the variables that every program gets. */
  env?: Record<string, string>;
  /** Names passed on from the harness' own environment. */
  passEnv?: readonly string[];
  stdin?: string;
  timeoutMs: number;
  signal?: AbortSignal;
  /** Each line of output. True says that this was the last one that matters. */
  onLine?: (stream: "stdout" | "stderr", line: string) => boolean | undefined;
  finalGraceMs?: number;
  drainMs?: number;
  killMs?: number;
  maxLineBytes?: number;
  tailChars?: number;
}

export interface ProgramResult {
  /** Null when it was ended by a signal. */
  exitCode: number | null;
  signal: NodeJS.Signals | null;
  /** Why it was ended from here, if it was. */
  ended: "timeout" | "stopped" | "after_final" | null;
  sawFinal: boolean;
  stdoutBytes: number;
  /** The last lines of both streams, without terminal codes. */
  tail: string;
  /** It could not be started. */
  startError: string | null;
}

const ALWAYS = ["PATH", "HOME", "LANG", "TZ", "TMPDIR", "TERM", "TENUTO_MARKER"];

/** The environment of a program: a short list, and what is named. */
export function programEnvironment(
  passEnv: readonly string[] = [],
  env: Record<string, string> = {},
): Record<string, string> {
  const result: Record<string, string> = {};
  for (const [name, value] of Object.entries(process.env)) {
    if (value === undefined) continue;
    const named = passEnv.includes(name) && !name.toUpperCase().startsWith("TENUTO_");
    if (ALWAYS.includes(name) || name.startsWith("LC_") || named) result[name] = value;
  }
  return { ...result, ...env };
}

export async function runProgram(options: ProgramOptions): Promise<ProgramResult> {
  const { argv, cwd, stdin, drainMs = 500 } = options;
  const child = spawn(argv[0]!, argv.slice(1), {
    cwd,
    env: programEnvironment(options.passEnv, options.env),
    detached: true,
    windowsHide: true,
    stdio: ["pipe", "pipe", "pipe"],
  });
  const { pid } = child;
  if (pid === undefined) return await startFailure(child, argv[0]!);
  const tail = new Tail(options.tailChars ?? 8_000);
  const closed = new Promise<void>((done) => child.once("close", () => done()));
  const ending = createEnding(pid, options);
  const read = { bytes: 0, final: false };
  const cutters = (["stdout", "stderr"] as const).map((name) =>
    deliver(
      child[name] as Readable,
      (chunk) => name === "stdout" && (read.bytes += chunk.length),
      options,
      (line) => {
        tail.add(plainText(line));
        if (options.onLine?.(name, line) === true && !read.final) {
          read.final = true;
          ending.afterFinal(options.finalGraceMs ?? 5_000);
        }
      },
    ),
  );
  child.stdin!.on("error", () => {});
  child.stdin!.end(stdin ?? "");
  const exit = await new Promise<{ code: number | null; signal: NodeJS.Signals | null }>((done) =>
    child.once("exit", (code, signal) => done({ code, signal })),
  );
  ending.stop();
  // Whatever of its group is left has nobody to report to.
  signalGroup(pid, "SIGKILL");
  await settled(closed, drainMs);
  for (const stream of child.stdio) stream?.destroy();
  for (const cutter of cutters) cutter.end();
  return {
    exitCode: exit.code,
    signal: exit.signal,
    ended: ending.reason(),
    sawFinal: read.final,
    stdoutBytes: read.bytes,
    tail: tail.text(),
    startError: null,
  };
}

function deliver(
  stream: Readable,
  onChunk: (chunk: Uint8Array) => unknown,
  options: ProgramOptions,
  onLine: (line: string) => void,
): { end(): void } {
  const cutter = createLineCutter(onLine, options.maxLineBytes);
  let over = false;
  stream.on("error", () => {});
  stream.on("data", (chunk: Uint8Array) => {
    if (over) return;
    onChunk(chunk);
    cutter.add(chunk);
  });
  return {
    end() {
      over = true;
      cutter.end();
    },
  };
}

interface Ending {
  afterFinal(graceMs: number): void;
  stop(): void;
  reason(): ProgramResult["ended"];
}

/** Ends the group when its time is up, it was stopped, or it stays on after its final line. */
function createEnding(pid: number, options: ProgramOptions): Ending {
  let reason: ProgramResult["ended"] = null;
  let kill: NodeJS.Timeout | undefined;
  let grace: NodeJS.Timeout | undefined;
  const end = (why: NonNullable<ProgramResult["ended"]>): void => {
    if (reason !== null) return;
    reason = why;
    signalGroup(pid, "SIGTERM");
    kill = setTimeout(() => signalGroup(pid, "SIGKILL"), options.killMs ?? 500);
  };
  const limit = setTimeout(end, Math.max(0, Math.min(options.timeoutMs, 2_147_483_647)), "timeout" as const);
  const stopped = (): void => end("stopped");
  options.signal?.addEventListener("abort", stopped);
  if (options.signal?.aborted === true) stopped();
  return {
    afterFinal(graceMs) {
      grace = setTimeout(end, graceMs, "after_final" as const);
    },
    stop() {
      for (const timer of [limit, kill, grace]) clearTimeout(timer);
      options.signal?.removeEventListener("abort", stopped);
    },
    reason: () => reason,
  };
}

function signalGroup(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-pid, signal);
  } catch {
    // Nothing of it is left.
  }
}

async function settled(closed: Promise<void>, ms: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  await Promise.race([closed, new Promise<void>((done) => (timer = setTimeout(done, ms)))]);
  clearTimeout(timer);
}

async function startFailure(child: ReturnType<typeof spawn>, program: string): Promise<ProgramResult> {
  const error = await new Promise<NodeJS.ErrnoException>((done) => child.once("error", done));
  const why = error.code === "ENOENT" ? "no such program" : error.message;
  const startError = `${program} can't be started: ${why}`;
  return { exitCode: null, signal: null, ended: null, sawFinal: false, stdoutBytes: 0, tail: "", startError };
}
