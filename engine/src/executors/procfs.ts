/**
 * Processes as Linux shows them in /proc: the only place of the executors that reads it.
 *
 * Owner: executors. Invariants:
 * 1. A zombie is not alive: `kill(pid, 0)` succeeds for it, and where process 1 does not reap it stays for ever.
 * 2. A process is identified by pid and start time together; a pid alone says nothing.
 * 3. A process that vanishes while it is read is absent, never an error. On other systems everything is absent.
 * 4. What can't be read for want of descriptors or memory is not absent: a scan waits and begins anew, since a process
 *    that is overlooked would be taken for dead.
 * 5. A scan gives the event loop back every few dozen processes, so that a host with thousands does not stop the engine.
 */
import { closeSync, openSync, readdirSync, readSync } from "node:fs";
import { setImmediate as yieldLoop } from "node:timers/promises";

/** Variable that every process of an attempt inherits. */
export const MARKER_VARIABLE = "TENUTO_MARKER";

/** Whether trees can be verified here. Elsewhere only process groups can be ended. */
export const HAS_PROC = process.platform === "linux";

export interface ProcessEntry {
  pid: number;
  parent: number;
  group: number;
  session: number;
  /** Clock ticks since boot. */
  start: number;
  /** False for zombies. */
  live: boolean;
  /** Value of TENUTO_MARKER; null where there is none, it can't be read, or it was not asked for. */
  marker: string | null;
}

/** One moment's processes, with the look-ups that finding a tree needs. Lists hold live processes only. */
export interface ProcessTable {
  byPid: ReadonlyMap<number, ProcessEntry>;
  byParent: ReadonlyMap<number, ProcessEntry[]>;
  byGroup: ReadonlyMap<number, ProcessEntry[]>;
  /** By marker and by every outer marker (`outer/inner` is found under `outer` too). */
  byMarker: ReadonlyMap<string, ProcessEntry[]>;
}

const BATCH = 64;
const MARKER_KEY = Buffer.from(`${MARKER_VARIABLE}=`);
let buffer = Buffer.allocUnsafe(16 * 1024);

/** Codes that mean the process is gone or another user's, and not that we failed to look. */
const ABSENT = new Set(["ENOENT", "ESRCH", "EACCES", "EPERM"]);
const SCAN_AGAIN_MS = 50;

/** Reads a /proc file into the shared buffer; -1 if it is gone or forbidden. @throws when we are short of descriptors */
function readInto(path: string): number {
  let file: number;
  try {
    file = openSync(path, "r");
  } catch (error) {
    return absentOrThrow(error);
  }
  try {
    let length = 0;
    for (;;) {
      if (length === buffer.length) buffer = Buffer.concat([buffer, Buffer.allocUnsafe(buffer.length)]);
      const read = readSync(file, buffer, length, buffer.length - length, null);
      if (read === 0) return length;
      length += read;
    }
  } catch (error) {
    return absentOrThrow(error);
  } finally {
    closeSync(file);
  }
}

function absentOrThrow(error: unknown): number {
  if (ABSENT.has((error as NodeJS.ErrnoException).code ?? "")) return -1;
  throw error;
}

/** The process as it is now, without its marker, or null if there is none. */
export function readProcess(pid: number): ProcessEntry | null {
  if (!HAS_PROC) return null;
  const length = readInto(`/proc/${pid}/stat`);
  if (length <= 0) return null;
  const text = buffer.toString("latin1", 0, length);
  // The name is in brackets and may itself hold brackets and blanks.
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ", 20);
  const state = fields[0];
  return {
    pid,
    parent: Number(fields[1]),
    group: Number(fields[2]),
    session: Number(fields[3]),
    start: Number(fields[19]),
    live: state !== "Z" && state !== "X" && state !== "x",
    marker: null,
  };
}

/** Value of TENUTO_MARKER in the environment that the process was started with. */
export function readMarker(pid: number): string | null {
  const length = readInto(`/proc/${pid}/environ`);
  let at = 0;
  while (at < length) {
    at = buffer.indexOf(MARKER_KEY, at);
    if (at < 0 || at >= length) return null;
    if (at === 0 || buffer[at - 1] === 0) {
      const from = at + MARKER_KEY.length;
      const end = buffer.indexOf(0, from);
      return buffer.toString("utf8", from, end < 0 || end > length ? length : end);
    }
    at += MARKER_KEY.length;
  }
  return null;
}

/** Start time of a live process as it is stored in identities; empty where unknown. */
export function startOf(pid: number): string {
  try {
    return String(readProcess(pid)?.start ?? "");
  } catch {
    return "";
  }
}

/** All processes. Markers are read for those that started at `markersSince` (ticks) or later; Infinity reads none. */
export async function readTable(markersSince: number): Promise<ProcessTable> {
  const byPid = new Map<number, ProcessEntry>();
  const byParent = new Map<number, ProcessEntry[]>();
  const byGroup = new Map<number, ProcessEntry[]>();
  const byMarker = new Map<string, ProcessEntry[]>();
  let read = 0;
  for (const name of HAS_PROC ? readdirSync("/proc") : []) {
    const pid = Number(name);
    if (!Number.isInteger(pid)) continue;
    if (++read % BATCH === 0) await yieldLoop();
    const entry = readProcess(pid);
    if (entry === null) continue;
    byPid.set(pid, entry);
    if (!entry.live) continue;
    if (entry.start >= markersSince) entry.marker = readMarker(pid);
    push(byParent, entry.parent, entry);
    push(byGroup, entry.group, entry);
    for (const marker of outerMarkers(entry.marker)) push(byMarker, marker, entry);
  }
  return { byPid, byParent, byGroup, byMarker };
}

/** `a/b/c` → `a`, `a/b`, `a/b/c`: an engine that runs as a job extends the marker it was given. */
function outerMarkers(marker: string | null): string[] {
  if (marker === null || marker === "") return [];
  const parts = marker.split("/");
  return parts.map((_, index) => parts.slice(0, index + 1).join("/"));
}

function push<K>(map: Map<K, ProcessEntry[]>, key: K, entry: ProcessEntry): void {
  const list = map.get(key);
  if (list === undefined) map.set(key, [entry]);
  else list.push(entry);
}

async function readPatiently(markersSince: number): Promise<ProcessTable> {
  for (;;) {
    try {
      return await readTable(markersSince);
    } catch {
      await new Promise((resolve) => setTimeout(resolve, SCAN_AGAIN_MS));
    }
  }
}

/** Shares scans: who asks while one is under way gets the next one, together with everyone else who asked. */
export interface Scanner {
  /** A table read entirely after this call. */
  scan(markersSince: number): Promise<ProcessTable>;
}

export function createScanner(): Scanner {
  let active: Promise<unknown> | null = null;
  let next: { since: number; table: Promise<ProcessTable> } | null = null;
  return {
    scan(markersSince) {
      if (next !== null) {
        next.since = Math.min(next.since, markersSince);
        return next.table;
      }
      const request = { since: markersSince, table: null as unknown as Promise<ProcessTable> };
      // The microtask lets everyone who asks in this turn of the loop join.
      request.table = Promise.resolve(active).then(() => {
        next = null;
        const table = readPatiently(request.since);
        active = table.catch(() => {});
        return table;
      });
      next = request;
      return request.table;
    },
  };
}
