/**
 * What became of a command: its output read back, its exit and its failures as outcomes.
 *
 * Owner: executors. Invariants:
 * 1. Exit code 0 completes, 75 is retryable, 78 critical; any other code or signal is `command_failed`, permanent until
 *    the job's error rules say otherwise. Code and signal are in the details.
 * 2. Output above 1 MB is refused, never cut; output that is not strict JSON or UTF-8 is refused with its position.
 * 3. Starting fails for good (`command_not_startable`) or, where the machine was short of something, retryably.
 * 4. Node does not tell whether a core was dumped, so `coreDumped` is not among the details.
 */
import { closeSync, constants as fsConstants, fstatSync, openSync, readFileSync, statSync } from "node:fs";
import { constants as osConstants } from "node:os";
import type { CommandSpec } from "../core/document.ts";
import { cleanText } from "../core/error-text.ts";
import type { StoredError } from "../core/errors.ts";
import { TenutoError } from "../core/errors.ts";
import { PAYLOAD_MAX_BYTES } from "../core/limits.ts";
import type { Json } from "../core/model.ts";
import type { ExecutionOutcome } from "../ports/executor.ts";
import { jsonErrorOffset } from "./json-position.ts";
import type { Exit } from "./program.ts";

const EXIT_RETRYABLE = 75;
const EXIT_CRITICAL = 78;

/** The start of a program's standard output, for the output modes that use it. */
export interface Capture {
  add(chunk: Uint8Array): void;
  /** Bytes seen, kept or not. */
  bytes(): number;
  content(): Buffer;
}

export function createCapture(maxBytes: number): Capture {
  let kept: Uint8Array[] = [];
  let bytes = 0;
  return {
    add(chunk) {
      bytes += chunk.length;
      if (bytes <= maxBytes) kept.push(chunk);
      else kept = [];
    },
    bytes: () => bytes,
    content: () => Buffer.concat(kept),
  };
}

/** The end of a program's standard error, for its failure's details. */
export interface Tail {
  add(chunk: Uint8Array): void;
  text(): string;
}

export function createTail(maxBytes: number): Tail {
  let tail: Buffer = Buffer.alloc(0);
  return {
    add(chunk) {
      // Copies: a view would keep 64 KB alive for each running command.
      const rest = Math.max(0, maxBytes - chunk.length);
      tail = Buffer.concat([tail.subarray(Math.max(0, tail.length - rest)), chunk.slice(-maxBytes)]);
    },
    text: () => cleanText(new TextDecoder().decode(tail), maxBytes).trim(),
  };
}

/** Reads the output of a command that exited with 0. @throws payload_too_large, output_invalid */
export function readOutput(mode: CommandSpec["output"], path: string, stdout: Capture | null): Json {
  if (stdout === null) {
    const bytes = readOutputFile(path);
    return bytes === null ? null : parseJson(bytes, "TENUTO_OUTPUT");
  }
  if (stdout.bytes() > PAYLOAD_MAX_BYTES) throw tooLarge("standard output", stdout.bytes());
  if (mode === "stdout-json") return parseJson(stdout.content(), "standard output");
  return decode(stdout.content(), "standard output", true);
}

/** Synchronous: most commands write no file, and to learn that through the thread pool costs a tenth of a spawn. */
function readOutputFile(path: string): Buffer | null {
  let file: number;
  try {
    // A named pipe or a link put there must neither block the engine nor lead it elsewhere.
    file = openSync(path, fsConstants.O_RDONLY | fsConstants.O_NOFOLLOW | fsConstants.O_NONBLOCK);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw outputInvalid("TENUTO_OUTPUT can't be read", { path, reason: (error as NodeJS.ErrnoException).code }, error);
  }
  try {
    const facts = fstatSync(file);
    if (!facts.isFile()) throw outputInvalid("TENUTO_OUTPUT is not a regular file", { path });
    if (facts.size > PAYLOAD_MAX_BYTES) throw tooLarge("TENUTO_OUTPUT", facts.size);
    return readFileSync(file);
  } finally {
    closeSync(file);
  }
}

function parseJson(bytes: Buffer, what: string): Json {
  const text = decode(bytes, what, false);
  try {
    return JSON.parse(text) as Json;
  } catch (error) {
    const at = jsonErrorOffset(text);
    const before = text.slice(0, at).split("\n");
    const position = { offset: at, line: before.length, column: before.at(-1)!.length + 1 };
    const near = text.slice(Math.max(0, at - 20), at + 20);
    const found = text.trim() === "" ? "is empty" : "is not valid JSON";
    const place = `line ${position.line}, column ${position.column}`;
    throw outputInvalid(`${what} ${found} (${place})`, { ...position, near }, error);
  }
}

function decode(bytes: Buffer, what: string, keepMark: boolean): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: keepMark }).decode(bytes);
  } catch (error) {
    const offset = invalidUtf8Offset(bytes);
    throw outputInvalid(`${what} is not valid UTF-8 (byte ${offset})`, { offset }, error);
  }
}

/** Decoding with replacement is the same up to the first wrong byte. */
function invalidUtf8Offset(bytes: Buffer): number {
  const again = Buffer.from(bytes.toString("utf8"), "utf8");
  let at = 0;
  while (at < bytes.length && bytes[at] === again[at]) at++;
  return at;
}

function outputInvalid(message: string, details: Record<string, unknown>, cause?: unknown): TenutoError {
  return new TenutoError("output_invalid", message, {
    hint: "Write one JSON document in UTF-8, or choose output: stdout-text.",
    details,
    cause,
  });
}

function tooLarge(what: string, bytes: number): TenutoError {
  return new TenutoError("payload_too_large", `${what} is larger than 1 MB`, {
    hint: "Large output: use an artifact, and output its reference.",
    details: { bytes, maxBytes: PAYLOAD_MAX_BYTES },
  });
}

/** The outcome of a program that ended by itself with other than code 0. */
export function exitFailure(program: string, exit: Exit, stderr: string): ExecutionOutcome {
  const { code, signal } = exit;
  const category = code === EXIT_RETRYABLE ? "retryable" : code === EXIT_CRITICAL ? "critical" : "permanent";
  const how = signal === null ? `exited with code ${code}` : `was ended by ${signal}`;
  const details: Record<string, unknown> = { exitCode: code, signal };
  if (signal !== null) details.signalNumber = osConstants.signals[signal];
  if (stderr !== "") details.stderr = stderr;
  const error: StoredError = {
    category,
    code: "command_failed",
    message: `${program.split("/").at(-1)} ${how}${lastWords(stderr)}`,
    hint: signal === "SIGKILL" ? "Often the system ran out of memory; see its log." : "See the output of this attempt.",
    details,
  };
  return { kind: "failed", error };
}

const LAST_WORDS_CHARS = 300;

/** Programs say last why they end. */
function lastWords(stderr: string): string {
  const line = stderr.split("\n").at(-1)!.trim();
  return line === "" ? "" : `: ${line.slice(0, LAST_WORDS_CHARS)}`;
}

/** Errors of the system that pass: it was short of something. */
const SHORTAGES = new Set(["EMFILE", "ENFILE", "ENOMEM", "EAGAIN", "ENOBUFS", "EBUSY", "ETXTBSY"]);

/** The error for a program that did not start. */
export function startFailure(error: unknown, program: string, cwd: string): StoredError {
  const { code = "UNKNOWN", message = String(error) } = error as NodeJS.ErrnoException;
  if (code === "ENOSPC" || code === "EDQUOT") {
    return {
      category: "critical",
      code: "disk_full",
      message: `the disk is full: ${message}`,
      hint: "Make room and retry the run.",
      details: { reason: code, cwd },
    };
  }
  const shortage = SHORTAGES.has(code);
  const { why, hint } = shortage
    ? { why: `the system is short of resources (${code})`, hint: "Lower the concurrency or raise the limits (ulimit)." }
    : explainStart(code, message, cwd);
  return {
    category: shortage ? "retryable" : "permanent",
    code: "command_not_startable",
    message: `${program} can't be started: ${why}`,
    hint,
    details: { reason: code, program, cwd },
  };
}

function explainStart(code: string, message: string, cwd: string): { why: string; hint: string } {
  const folder = folderProblem(cwd);
  if (folder !== null)
    return { why: `the working directory ${cwd} ${folder}`, hint: "Correct cwd, or create the folder." };
  if (code === "ENOENT")
    return { why: "no such program", hint: "Install it, or give its full path; no shell is used." };
  if (code === "EACCES") return { why: "it may not be executed", hint: "Make the file executable (chmod +x)." };
  if (code === "E2BIG") {
    return { why: "arguments and environment are too long", hint: "Hand large data over in TENUTO_INPUT or stdin." };
  }
  return { why: `${message} (${code})`, hint: "Check argv, env and cwd." };
}

function folderProblem(cwd: string): string | null {
  try {
    return statSync(cwd).isDirectory() ? null : "is not a folder";
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    return code === "ENOENT" ? "does not exist" : `can't be entered (${code})`;
  }
}
