/**
 * What went wrong with the log files: remembered, told once, and never thrown at whoever logs.
 *
 * Owner: logs. On a full disk a small write may succeed between two failures, so it is told at most once a minute.
 */
import { TenutoError } from "../core/errors.ts";
import type { Clock } from "../ports/clock.ts";

const TOLD_EVERY_MS = 60_000;
const FILE_HINT = "Check the folder's permissions and the limit of open files.";
export const DATABASE_HINT =
  "What is written waits until the database is back; lines beyond what memory may hold are counted in the log.";

export class Problems {
  readonly #clock: Clock;
  readonly #tell: ((error: TenutoError) => void) | undefined;
  #toldAt: number | null = null;
  #present: TenutoError | null = null;

  constructor(clock: Clock, tell: ((error: TenutoError) => void) | undefined) {
    this.#clock = clock;
    this.#tell = tell;
  }

  /** The problem of the last write, or null when it went well. */
  get present(): TenutoError | null {
    return this.#present;
  }

  failed(cause: unknown, path: string, hint = FILE_HINT): void {
    const first = this.#present === null;
    this.#present = logError(cause, path, hint);
    const now = this.#clock.now();
    if (!first || (this.#toldAt !== null && now - this.#toldAt < TOLD_EVERY_MS)) return;
    this.#toldAt = now;
    this.#tell?.(this.#present);
  }

  worked(): void {
    this.#present = null;
  }
}

function logError(cause: unknown, path: string, hint: string): TenutoError {
  const code = (cause as NodeJS.ErrnoException | null)?.code ?? String(cause);
  if (code === "ENOSPC" || code === "EDQUOT" || code === "EROFS") {
    return new TenutoError("disk_full", `cannot write the log ${path}: ${code}`, {
      hint: "Free space there, or remove old runs with `tenuto prune`. Lines that were lost are counted in the log.",
      details: { path, errno: code },
      category: "critical",
      cause,
    });
  }
  return new TenutoError("internal", `cannot write the log ${path}: ${code}`, {
    hint,
    details: { path, errno: code },
    cause,
  });
}
