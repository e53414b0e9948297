/** What SQLite raises, in Tenuto's words. */
import { TenutoError } from "../../core/errors.ts";

export function isBusy(error: unknown): boolean {
  const code = (error as { code?: unknown }).code;
  return typeof code === "string" && (code.startsWith("SQLITE_BUSY") || code.startsWith("SQLITE_LOCKED"));
}

/** How to mend a damaged file, to be typed as it is but for the backup's name. */
export function restoreHint(path: string): string {
  return `Stop all engines, then: cp BACKUP ${path} && rm -f ${path}-wal ${path}-shm (BACKUP: a file of \`tenuto backup\`).`;
}

/** An error of SQLite in Tenuto's words; anything else as it is. */
export function storageError(error: unknown, path: string): Error {
  const code = String((error as { code?: unknown }).code ?? "");
  const text = error instanceof Error ? error.message : String(error);
  if (code === "SQLITE_FULL" || code === "ENOSPC" || code.startsWith("SQLITE_IOERR")) {
    return new TenutoError("disk_full", `the ledger ${path} cannot be written: ${text}`, {
      hint: "Free space on the ledger's disk; work goes on by itself afterwards.",
      category: "critical",
      cause: error,
    });
  }
  if (code.startsWith("SQLITE_CORRUPT") || code === "SQLITE_NOTADB") {
    return new TenutoError("ledger_corrupt", `the ledger ${path} is damaged: ${text}`, {
      hint: restoreHint(path),
      category: "critical",
      cause: error,
    });
  }
  if (code.startsWith("SQLITE_CONSTRAINT") || code === "SQLITE_MISMATCH" || code === "SQLITE_TOOBIG")
    return new TenutoError("internal", `the ledger refused an impossible change: ${text}`, {
      hint: "This is a fault in Tenuto; please report it.",
      cause: error,
    });
  if (code.startsWith("SQLITE_"))
    return new TenutoError("ledger_unavailable", `the ledger ${path} refused a change: ${text}`, {
      category: "critical",
      cause: error,
    });
  return error instanceof Error ? error : new Error(text);
}
