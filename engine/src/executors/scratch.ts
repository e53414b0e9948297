/**
 * Short-lived files of commands (input, output) in memory: a file on disk waits for the file system's journal while the
 * ledger syncs, which is more than starting the program costs.
 *
 * Owner: executors. Invariants:
 * 1. One private folder (0700, unguessable name) per executor, made with the first command; each attempt has its own in it.
 * 2. `folder` answers null wherever memory does not do: no tmpfs, no right to write, little room. The caller then takes the disk.
 * 3. The folder goes with close(), with the guard if the worker dies, or with a later worker of the same user and pid
 *    namespace, which knows by pid and start time that its owner is dead.
 */
import {
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readlinkSync,
  rmdirSync,
  rmSync,
  statfsSync,
  unlinkSync,
} from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { HAS_PROC, readProcess, startOf } from "./procfs.ts";

export interface Scratch {
  /** A new folder of this name, or null where there is no memory for it. */
  folder(name: string): string | null;
  /** Removes what `folder` gave, with all that a program put there. */
  drop(folder: string): Promise<void>;
  /** The folder that holds all others, while it exists. */
  root(): string | null;
  close(): void;
}

/** What may be missing for inputs and outputs of 1 MB each, and of what programs put beside them. */
const MIN_FREE_BYTES = 32 * 1024 * 1024;
const MEMORY_FILESYSTEMS = new Set([0x01021994, 0x858458f6]);
const PREFIX = "tenuto-scratch";

/** `TENUTO_SCRATCH` names another folder, on whatever disk it is. */
export function createScratch(environment: Record<string, string | undefined>): Scratch {
  const chosen = environment["TENUTO_SCRATCH"];
  const places = chosen === undefined || chosen === "" ? memoryPlaces(environment) : [chosen];
  const needsMemory = places[0] !== chosen;
  let root: string | null = null;
  let closed = false;
  const begin = (): string | null => {
    for (const place of places) {
      const made = makeRoot(place, needsMemory);
      if (made !== null) return made;
    }
    return null;
  };
  return {
    folder(name) {
      if (closed) return null;
      root ??= begin();
      if (root === null) return null;
      const folder = join(root, name);
      try {
        if (!hasRoom(root, false)) throw new Error("memory is full");
        mkdirSync(folder, { mode: 0o700 });
        return folder;
      } catch {
        // The root may be gone, after a logout for example: the next one asks for a new one.
        if (!exists(root)) root = null;
        return null;
      }
    },
    async drop(folder) {
      try {
        // What most attempts leave; anything else takes the long way.
        for (const name of ["input.json", "context.json", "output.json"]) removeFile(join(folder, name));
        rmdirSync(folder);
      } catch {
        await rm(folder, { recursive: true, force: true }).catch(() => {});
      }
    },
    root: () => root,
    close() {
      closed = true;
      if (root !== null) rmSync(root, { recursive: true, force: true });
      root = null;
    },
  };
}

function memoryPlaces(environment: Record<string, string | undefined>): string[] {
  if (!HAS_PROC) return [];
  const runtime = environment["XDG_RUNTIME_DIR"];
  return runtime?.startsWith("/") ? ["/dev/shm", runtime] : ["/dev/shm"];
}

function makeRoot(place: string, needsMemory: boolean): string | null {
  try {
    if (!hasRoom(place, needsMemory)) return null;
    removeDead(place);
    return mkdtempSync(join(place, `${PREFIX}.${namespace()}.${process.pid}.${startOf(process.pid)}.`));
  } catch {
    return null;
  }
}

function hasRoom(place: string, needsMemory: boolean): boolean {
  try {
    const { type, bavail, bsize } = statfsSync(place);
    return (!needsMemory || MEMORY_FILESYSTEMS.has(type)) && bavail * bsize >= MIN_FREE_BYTES;
  } catch {
    return false;
  }
}

/** Folders of dead workers. Names of other users and of other pid namespaces say nothing here. */
function removeDead(place: string): void {
  for (const name of readdirSync(place)) {
    const [prefix, space, pid, start] = name.split(".");
    if (prefix !== PREFIX || space !== namespace() || start === undefined || !/^\d+$/.test(pid ?? "")) continue;
    const path = join(place, name);
    try {
      const facts = lstatSync(path);
      if (!facts.isDirectory() || facts.uid !== process.getuid?.()) continue;
      if (String(readProcess(Number(pid))?.start ?? "") !== start) rmSync(path, { recursive: true, force: true });
    } catch {
      // Short of descriptors, or somebody else is removing it: the next start looks again.
    }
  }
}

function namespace(): string {
  try {
    return readlinkSync("/proc/self/ns/pid").replaceAll(/\D/g, "");
  } catch {
    return "0";
  }
}

function exists(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
}

function removeFile(path: string): void {
  try {
    unlinkSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
  }
}
