/** Notices when the ledger's file is removed or replaced under an open connection, which takes writes that nobody will see. */
import { statSync } from "node:fs";
import { TenutoError } from "../../core/errors.ts";

export class WatchedFile {
  private readonly path: string;
  private readonly inode: number | null;
  /** Set when the file is no longer the one that was opened. */
  lost: TenutoError | null = null;

  constructor(path: string) {
    this.path = path;
    this.inode = inodeOf(path);
  }

  check(): TenutoError | null {
    if (this.path === ":memory:" || this.lost !== null) return this.lost;
    const now = inodeOf(this.path);
    if (now === this.inode) return null;
    const how = now === null ? "removed" : "replaced";
    this.lost = new TenutoError("ledger_unavailable", `the ledger ${this.path} was ${how} while it was open`, {
      hint: "Put it back from a backup and start again; nothing is written any more.",
      category: "critical",
    });
    return this.lost;
  }
}

function inodeOf(path: string): number | null {
  return statSync(path, { throwIfNoEntry: false })?.ino ?? null;
}
