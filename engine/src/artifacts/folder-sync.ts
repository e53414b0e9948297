/**
 * Makes folder entries durable. Callers that ask while a sync of the same folder runs share the next one.
 *
 * Owner: artifacts. A caller is answered only by a sync that began after it asked.
 */
import { open } from "node:fs/promises";

export class FolderSync {
  readonly #folders = new Map<string, { running: Promise<void>; next: Promise<void> | null }>();

  /** Resolves when all entries that the folder has at this moment are on disk. */
  of(folder: string): Promise<void> {
    const present = this.#folders.get(folder);
    if (present === undefined) {
      const running = syncFolder(folder).finally(() => this.#ended(folder));
      this.#folders.set(folder, { running, next: null });
      return running;
    }
    present.next ??= present.running.catch(() => {}).then(() => this.of(folder));
    return present.next;
  }

  #ended(folder: string): void {
    this.#folders.delete(folder);
  }
}

/** Makes the entries of one folder durable. */
export async function syncFolder(folder: string): Promise<void> {
  // Windows cannot open folders; its file system journals renames itself.
  if (process.platform === "win32") return;
  const handle = await open(folder, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
