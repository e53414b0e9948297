/** How an error is told: what, where, how to mend it, and its code; and the exit code that it leads to. */
import { ERROR_CODES, type ErrorCode, type StoredError, TenutoError } from "../core/errors.ts";
import { storageError } from "../ledger/sqlite/storage-error.ts";
import type { Output } from "./output.ts";
import { oneLine, type Paint, plainText } from "./terminal.ts";

export const EXIT = {
  ok: 0,
  runFailed: 1,
  usage: 2,
  notFound: 3,
  ledger: 4,
  conflict: 5,
  timeout: 6,
  cancelled: 7,
  awaitingApproval: 8,
  /** Code of a pipeline threw where nobody awaits it. */
  uncaught: 9,
  SIGINT: 130,
  SIGTERM: 143,
} as const;

/** The exit code of an error. */
export function exitCodeOf(error: unknown): number {
  return ERROR_CODES[asTenutoError(error).code];
}

/** Tells an error on stderr, and with `--json` as the document on stdout. */
export function tellFailure(out: Output, error: unknown, env: Record<string, string | undefined>): void {
  const known = asTenutoError(error);
  const paint = out.paintTalk;
  const lines = [`${paint("red", "error:")} ${plainText(known.message)}`];
  if (known.hint !== undefined && known.hint !== "") lines.push(`${paint("cyan", "hint:")}  ${plainText(known.hint)}`);
  lines.push(paint("dim", `code:  ${known.code}`));
  if (env.TENUTO_DEBUG !== undefined && error instanceof Error && error.stack !== undefined)
    lines.push(plainText(error.stack));
  out.tell(...lines);
  out.document("error", {
    error: { code: known.code, message: known.message, hint: known.hint ?? null, details: known.details },
  });
}

/** Troubles of files and folders that a command was given. */
const PLACES: Partial<Record<string, { code: ErrorCode; hint: string }>> = {
  ENOENT: { code: "not_found", hint: "Check the path; folders are not made here." },
  ENOTDIR: { code: "not_found", hint: "A part of the path is a file." },
  EEXIST: { code: "invalid_input", hint: "A file stands where a folder is needed: move it, or choose another place." },
  EISDIR: { code: "invalid_input", hint: "Give a file, not a folder." },
  EACCES: {
    code: "ledger_unavailable",
    hint: "You may not write there: choose another place with --home or --database.",
  },
  EPERM: {
    code: "ledger_unavailable",
    hint: "You may not write there: choose another place with --home or --database.",
  },
  EROFS: {
    code: "ledger_unavailable",
    hint: "That disk is read-only: choose another place with --home or --database.",
  },
  ENOSPC: { code: "disk_full", hint: "Free space on that disk." },
};

function asTenutoError(error: unknown): TenutoError {
  if (error instanceof TenutoError) return error;
  const code = String((error as { code?: unknown } | null)?.code ?? "");
  if (code.startsWith("SQLITE_")) return asTenutoError(storageError(error, "file"));
  const place = PLACES[code];
  if (place !== undefined && error instanceof Error)
    return new TenutoError(place.code, error.message, { hint: place.hint, cause: error });
  const message = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  return new TenutoError("internal", message, {
    hint: "This is a fault in Tenuto or in the pipeline's file; TENUTO_DEBUG=1 shows where.",
    cause: error,
  });
}

const STDERR_LINES = 3;

/** A failure that was stored with a job or an item: what, the last words of a program, how to mend it. */
export function failureLines(error: StoredError, paint: Paint, place?: FailurePlace): string[] {
  const lines = [`${oneLine(error.message)} ${paint("dim", `(${error.code}, ${error.category})`)}`];
  lines.push(...lastWords(error).map((line) => paint("dim", `| ${line}`)));
  const hint = hintAt(error, place);
  if (hint !== null) lines.push(`${paint("cyan", "hint:")} ${hint}`);
  return lines;
}

/** The last lines that a program wrote to its stderr. */
export function lastWords(error: StoredError): string[] {
  const { stderr } = error.details ?? {};
  if (typeof stderr !== "string" || stderr.trim() === "") return [];
  return stderr.trimEnd().split("\n").slice(-STDERR_LINES).map(oneLine);
}

/** Where a stored failure happened: hints are stored without it. */
export interface FailurePlace {
  run: string;
  job: string;
  item?: number | null;
}

/** The hint of a stored failure with commands that can be typed as they are. */
export function hintAt(error: StoredError, place: FailurePlace | undefined): string | null {
  if (error.hint === undefined) return null;
  if (place === undefined) return oneLine(error.hint);
  const item = typeof place.item === "number" ? ` --item ${place.item}` : "";
  return oneLine(error.hint)
    .replace("See the output of this attempt.", `See its output: tenuto logs RUN ${place.job} --raw${item}`)
    .replaceAll(/(tenuto [a-zA-Z ]*--job) JOB\b/g, (_, command: string) => `${command} ${place.job}`)
    .replaceAll(/(tenuto [a-z ]*)\bRUN\b/g, (_, command: string) => `${command}${place.run}`);
}

/** A usage error. */
export function usage(message: string, hint: string, code: ErrorCode = "invalid_input"): TenutoError {
  return new TenutoError(code, message, { hint });
}

/** The stored JSON of an error, read. */
export function storedError(json: string | null): StoredError | null {
  return json === null ? null : (JSON.parse(json) as StoredError);
}
