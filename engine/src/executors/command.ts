/**
 * Runs commands: one program per attempt, in a session of its own, ended as a whole and never left behind.
 *
 * Owner: executors. Invariants:
 * 1. An attempt that was cancelled, stopped or timed out resolves only when its whole tree is verified dead.
 * 2. After a normal end the program's group is empty before the outcome is given; what left the group is found by the
 *    batched sweep within `sweepMs` (close() waits for it). Waiting for the sweep would cap serial commands at 4/s.
 * 3. Whatever a program does, `run` resolves to an outcome; it rejects only if `recordProcess` fails, after the tree ended.
 * 4. The token is refused from the moment the program is being ended, or has ended and its output is read.
 * 5. `recordProcess` is called with the identity right after the start, and with null once the tree is verified dead.
 */
import { randomUUID } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { storedErrorFrom } from "../core/classify.ts";
import { PAYLOAD_MAX_BYTES } from "../core/limits.ts";
import type { CommandAttempt, CommandExecutor, ExecutionOutcome, ProcessIdentity } from "../ports/executor.ts";
import type { Timers } from "./ending.ts";
import { endTree, systemTimers } from "./ending.ts";
import type { BaseEnvironment, Environment } from "./environment.ts";
import { baseEnvironment, commandEnvironment } from "./environment.ts";
import type { Guard } from "./guard.ts";
import { createGuard } from "./guard.ts";
import { markerStart } from "./orphans.ts";
import type { Scanner } from "./procfs.ts";
import { createScanner, MARKER_VARIABLE, startOf } from "./procfs.ts";
import type { Exit, Program } from "./program.ts";
import { startProgram } from "./program.ts";
import type { Capture, Tail } from "./result.ts";
import { createCapture, createTail, exitFailure, readOutput, startFailure } from "./result.ts";
import type { Scratch } from "./scratch.ts";
import { createScratch } from "./scratch.ts";
import type { JobSocket } from "./socket.ts";
import { createJobSocket } from "./socket.ts";
import type { Sweeper } from "./sweeper.ts";
import { createSweeper } from "./sweeper.ts";
import type { Tree } from "./tree.ts";
import { createTree, groupExists } from "./tree.ts";
import type { Watch } from "./watch.ts";
import { createWatch } from "./watch.ts";

export interface CommandExecutorOptions {
  /** What commands inherit their allow-list from. Default: this process's environment. */
  environment?: Environment;
  /** Told of each started program, and with null once its tree is verified dead. A failure ends the program. */
  recordProcess?: (attempt: CommandAttempt, identity: ProcessIdentity | null) => void | Promise<void>;
  /** Whether a guard process ends all trees should this process be killed. Default true. */
  guard?: boolean;
  /**
   * What the markers of all trees of this executor begin with, followed by `-`. Give it the boot's id, and `endOrphans`
   * finds what a dead boot started even where nothing was recorded. Default random.
   */
  markerPrefix?: string;
  /** Default of `graceSeconds`. Default 10,000. */
  graceMs?: number;
  /** How long output pipes may be held by others after the program has ended. Default 5,000. */
  drainMs?: number;
  /** Time between scans for what normal ends left behind. Default 250. */
  sweepMs?: number;
  timers?: Timers;
}

/** Longest grace for what a program that ended by itself left behind. */
const LEFTOVER_GRACE_MS = 2_000;
/** How long the rest of the output may take once the whole tree is dead. */
const LAST_OUTPUT_MS = 500;
const STDERR_TAIL_BYTES = 2_000;

interface Engine {
  environment: BaseEnvironment;
  recordProcess: (attempt: CommandAttempt, identity: ProcessIdentity | null) => void | Promise<void>;
  prefix: string;
  graceMs: number;
  drainMs: number;
  timers: Timers;
  scanner: Scanner;
  socket: JobSocket;
  scratch: Scratch;
  guard: Guard | null;
  sweeper: Sweeper;
  watch: Watch;
  closing: AbortController;
  /** What is still to be verified and recorded of attempts whose outcome was given. */
  afterwards: Set<Promise<void>>;
}

/** One program while it runs. */
interface Running {
  attempt: CommandAttempt;
  program: Program;
  tree: Tree;
  graceMs: number;
  stdout: Capture | null;
  stderr: Tail;
  record: Promise<void>;
}

type Ending =
  /** `complete`: its output was read to the end. */
  | { kind: "exited"; complete: boolean }
  | { kind: "stopped" }
  | { kind: "timeout" }
  | { kind: "broken"; error: unknown };

/** An executor for commands. It owns one socket and one guard process, both opened with the first command. */
export function createCommandExecutor(options: CommandExecutorOptions = {}): CommandExecutor {
  const engine = createEngine(options);
  const open = new Set<Promise<unknown>>();
  return {
    run(attempt) {
      const result = runAttempt(engine, attempt);
      open.add(result);
      const forget = (): void => void open.delete(result);
      result.then(forget, forget);
      return result;
    },
    scratch: (name) => engine.scratch.folder(name),
    dropScratch: (folder) => engine.scratch.drop(folder),
    async close() {
      engine.closing.abort();
      await Promise.allSettled([...open]);
      await engine.sweeper.flush();
      await Promise.allSettled([...engine.afterwards]);
      await engine.guard?.close();
      await engine.socket.close();
      engine.scratch.close();
    },
  };
}

function createEngine(options: CommandExecutorOptions): Engine {
  const environment = options.environment ?? process.env;
  const own = options.markerPrefix ?? secret().slice(0, 12);
  const outer = environment[MARKER_VARIABLE];
  const scanner = createScanner();
  const timers = options.timers ?? systemTimers;
  const socket = createJobSocket();
  const scratch = createScratch(environment);
  const folders = (): string[] => [socket.folder(), scratch.root()].filter((folder) => folder !== null);
  const graceMs = Math.min(options.graceMs ?? 10_000, LEFTOVER_GRACE_MS);
  return {
    environment: baseEnvironment(environment),
    recordProcess: options.recordProcess ?? (() => {}),
    // An engine that runs as a job extends its marker, so that ending that job finds the jobs within.
    prefix: outer === undefined ? markerStart(own) : `${outer}/${markerStart(own)}`,
    graceMs: options.graceMs ?? 10_000,
    drainMs: options.drainMs ?? 5_000,
    timers,
    scanner,
    socket,
    scratch,
    guard: options.guard === false ? null : createGuard({ prefix: markerStart(own), env: process.env, folders }),
    sweeper: createSweeper({
      scanner,
      everyMs: options.sweepMs ?? 250,
      end: (tree) => endTree(tree, { graceMs, scanner, timers }),
    }),
    watch: createWatch(scanner),
    closing: new AbortController(),
    afterwards: new Set(),
  };
}

async function runAttempt(engine: Engine, attempt: CommandAttempt): Promise<ExecutionOutcome> {
  const token = secret();
  const cwd = resolve(attempt.workspace, attempt.command.cwd ?? ".");
  let revoke = (): void => {};
  let running: Running;
  try {
    if (engine.closing.signal.aborted) return { kind: "stopped" };
    const url = await engine.socket.open();
    if (attempt.signal.aborted || engine.closing.signal.aborted) return { kind: "stopped" };
    revoke = engine.socket.register(token, attempt.api, cwd);
    running = await startAttempt(engine, attempt, { cwd, url, token });
  } catch (error) {
    revoke();
    return { kind: "failed", error: startFailure(error, attempt.command.argv[0] ?? "(no program)", cwd) };
  }
  const ending = await waitForEnd(engine, running);
  revoke();
  if (ending.kind === "exited") return await settleExit(engine, running, ending.complete);
  await end(engine, running, running.graceMs);
  await verified(engine, running);
  await running.record;
  if (ending.kind === "broken") return { kind: "failed", error: storedErrorFrom(ending.error) };
  return ending.kind === "timeout" ? timedOut(attempt) : { kind: "stopped" };
}

async function startAttempt(
  engine: Engine,
  attempt: CommandAttempt,
  place: { cwd: string; url: string; token: string },
): Promise<Running> {
  const { command } = attempt;
  const marker = `${engine.prefix}${secret()}`;
  const input = join(attempt.scratch, "input.json");
  const stderr = createTail(STDERR_TAIL_BYTES);
  const stdout = command.output?.startsWith("stdout") ? createCapture(PAYLOAD_MAX_BYTES) : null;
  writeFileSync(input, JSON.stringify(attempt.input), { mode: 0o600 });
  const context = attempt.context === null ? null : join(attempt.scratch, "context.json");
  if (context !== null) writeFileSync(context, JSON.stringify(attempt.context), { mode: 0o600 });
  const program = await startProgram({
    argv: command.argv,
    cwd: place.cwd,
    env: commandEnvironment(engine.environment, command, {
      ...attempt,
      input,
      context,
      output: outputPath(attempt),
      url: place.url,
      token: place.token,
      marker,
    }),
    stdin: attempt.converse ?? command.stdin,
    output(stream, chunk) {
      if (stream === "stderr") stderr.add(chunk);
      else stdout?.add(chunk);
      return attempt.output(stream, chunk);
    },
  });
  const identity = { pid: program.pid, pidStart: startOf(program.pid), marker };
  const tree = createTree(identity, true);
  engine.guard?.add(identity);
  engine.watch.add(tree);
  const record = (async () => engine.recordProcess(attempt, identity))();
  record.catch(() => {});
  const graceMs = command.graceSeconds === undefined ? engine.graceMs : command.graceSeconds * 1_000;
  return { attempt, program, tree, graceMs, stdout, stderr, record };
}

/** 122 random bits. UUIDs are made from a pool; randomBytes asks the system each time. */
function secret(): string {
  return randomUUID().replaceAll("-", "");
}

function outputPath(attempt: CommandAttempt): string {
  return join(attempt.scratch, "output.json");
}

/** What comes first: the program's own end, the attempt's, its time limit, or a receiver of output that failed. */
function waitForEnd(engine: Engine, running: Running): Promise<Ending> {
  const { attempt, program, record, tree } = running;
  return new Promise((done) => {
    const stop = (): void => finish({ kind: attempt.signal.reason === "timeout" ? "timeout" : "stopped" });
    const close = (): void => finish({ kind: "stopped" });
    const timer = engine.timers.after(attempt.timeoutMs, () => finish({ kind: "timeout" }));
    const finish = (ending: Ending): void => {
      timer.cancel();
      attempt.signal.removeEventListener("abort", stop);
      engine.closing.signal.removeEventListener("abort", close);
      done(ending);
    };
    const broken = (error: unknown): void => finish({ kind: "broken", error });
    attempt.signal.addEventListener("abort", stop);
    engine.closing.signal.addEventListener("abort", close);
    if (attempt.signal.aborted) stop();
    if (engine.closing.signal.aborted) close();
    record.catch(broken);
    program.delivered.catch(broken);
    void program.exited
      .then(() => {
        // Right after the reaping, while the number can't have been given away.
        if (!groupExists(program.pid)) tree.groupGone = true;
        return drained(engine, program, engine.drainMs);
      })
      .then((complete) => finish({ kind: "exited", complete }));
  });
}

/** True when the output has been read to its end, false when others have held the pipes for that long. */
function drained(engine: Engine, program: Program, ms: number): Promise<boolean> {
  return new Promise((resolve) => {
    const timer = engine.timers.after(ms, () => resolve(false));
    void program.drained.then(() => {
      timer.cancel();
      resolve(true);
    });
  });
}

/** The program ended by itself and its output was read: ends the rest of its group and reads the result. */
async function settleExit(engine: Engine, running: Running, complete: boolean): Promise<ExecutionOutcome> {
  const { attempt, program, tree, stdout, stderr } = running;
  const exit: Exit = await program.exited;
  if (!tree.groupGone || !complete) await end(engine, running, Math.min(running.graceMs, LEFTOVER_GRACE_MS));
  const swept = engine.sweeper.add(tree).then(() => verified(engine, running));
  engine.afterwards.add(swept);
  // A sweep that failed leaves the record in place, for the next start to look.
  const forget = (): void => void engine.afterwards.delete(swept);
  swept.then(forget, forget);
  await running.record;
  if (exit.code !== 0) return exitFailure(attempt.command.argv[0]!, exit, stderr.text());
  try {
    const output = readOutput(attempt.command.output, outputPath(attempt), stdout);
    return { kind: "completed", output };
  } catch (error) {
    return { kind: "failed", error: storedErrorFrom(error) };
  }
}

async function end(engine: Engine, running: Running, graceMs: number): Promise<void> {
  const { attempt, program, tree } = running;
  await endTree(tree, {
    graceMs,
    scanner: engine.scanner,
    timers: engine.timers,
    leaderExited: program.exited,
    onStuck: (pids) => warn(attempt, `processes do not end although killed: ${pids.join(", ")}`, pids),
  });
  // Where there are no process groups either (Windows), at least the program itself.
  program.kill();
  await program.exited;
  // From now on the number may be given to another process.
  tree.groupGone = true;
  // What the dead had written is still in the pipes; an escapee nobody can find may hold them for ever.
  await drained(engine, program, LAST_OUTPUT_MS);
  program.destroyPipes();
}

function warn(attempt: CommandAttempt, message: string, pids: number[]): void {
  try {
    attempt.api.log("WARNING", message, { pids });
  } catch {
    // Whoever lost the lease may not log any more, but must go on ending its processes.
  }
}

/** The tree is dead: nobody needs to look for it any more. */
async function verified(engine: Engine, running: Running): Promise<void> {
  engine.watch.remove(running.tree);
  engine.guard?.remove(running.tree.identity);
  await running.record.catch(() => {});
  await engine.recordProcess(running.attempt, null);
}

function timedOut(attempt: CommandAttempt): ExecutionOutcome {
  return {
    kind: "failed",
    error: {
      category: "retryable",
      code: "timeout",
      message: `the command did not end within ${attempt.timeoutMs / 1_000} s`,
      hint: "Raise timeoutSeconds, or split the work.",
      details: { timeoutMs: attempt.timeoutMs },
    },
  };
}
