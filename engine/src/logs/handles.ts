/**
 * Open files of the log folder: at most a given number at a time, the least recently used closed first.
 *
 * Owner: logs.
 * 1. A file that is held by a write under way is never closed; when all are held, one more is opened instead.
 * 2. A file that was deleted meanwhile (its run was pruned) is made anew, not written into the void.
 */
import { closeSync, fstatSync, mkdirSync, openSync } from "node:fs";
import { dirname } from "node:path";

interface Handle {
  fd: number;
  holds: number;
}

export class Handles {
  readonly #limit: number;
  /** In order of last use. */
  readonly #open = new Map<string, Handle>();

  constructor(limit: number) {
    this.#limit = limit;
  }

  get size(): number {
    return this.#open.size;
  }

  /** The file's descriptor, opened (with its folder) if need be; valid until the next call. */
  use(path: string, flags: string): number {
    return this.#use(path, flags).fd;
  }

  /** As `use`, but the descriptor stays valid until `release`. */
  hold(path: string, flags: string): { fd: number; release: () => void } {
    const handle = this.#use(path, flags);
    handle.holds += 1;
    return {
      fd: handle.fd,
      release: () => {
        handle.holds -= 1;
      },
    };
  }

  close(path: string): void {
    const handle = this.#open.get(path);
    if (handle === undefined) return;
    this.#open.delete(path);
    closeSync(handle.fd);
  }

  closeAll(): void {
    for (const path of [...this.#open.keys()]) this.close(path);
  }

  #use(path: string, flags: string): Handle {
    const present = this.#open.get(path);
    if (present !== undefined && (present.holds > 0 || fstatSync(present.fd).nlink > 0)) {
      this.#open.delete(path);
      this.#open.set(path, present);
      return present;
    }
    this.close(path);
    this.#evict();
    const handle = { fd: openWithFolder(path, flags), holds: 0 };
    this.#open.set(path, handle);
    return handle;
  }

  #evict(): void {
    for (const [path, handle] of this.#open) {
      if (this.#open.size < this.#limit) return;
      if (handle.holds === 0) this.close(path);
    }
  }
}

function openWithFolder(path: string, flags: string): number {
  try {
    return openSync(path, flags, 0o644);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
  }
  mkdirSync(dirname(path), { recursive: true });
  return openSync(path, flags, 0o644);
}
