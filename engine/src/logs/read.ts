/**
 * Reading of a run's JSON lines from any line on.
 *
 * Owner: logs.
 * 1. A line's number is its place in the file, from 1; lines that are damaged are left out, but keep their number.
 * 2. Resuming reads from a remembered place near the wanted line, not from the beginning of the file.
 */
import { type FileHandle, open } from "node:fs/promises";
import type { LogLevel, LogLine } from "../ports/log-sink.ts";
import { parseJsonForm } from "./line-form.ts";
import type { Places } from "./places.ts";

const PIECE_BYTES = 256 * 1024;
const RANK: Record<LogLevel, number> = { INFO: 0, WARNING: 1, ERROR: 2 };

/** The lines after number `after` that the file has now; `level` is the least that is wanted. */
export async function* readLines(
  path: string,
  places: Places,
  options: { job?: string; after?: number; level?: LogLevel },
): AsyncGenerator<LogLine & { number: number }> {
  const { job, after = 0, level = "INFO" } = options;
  let handle: FileHandle;
  try {
    handle = await open(path, "r");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return;
    throw error;
  }
  try {
    const { size } = await handle.stat();
    const mark = await places.before(path, handle, after);
    let number = mark.lines;
    for await (const bytes of linesFrom(handle, mark.offset, size)) {
      number += 1;
      if (number <= after) continue;
      const line = parseJsonForm(bytes.toString("utf8"));
      if (line === null || RANK[line.level] < RANK[level] || (job !== undefined && line.job !== job)) continue;
      yield { ...line, number };
    }
  } finally {
    await handle.close();
  }
}

/** How many lines the file has now. */
export async function countLines(path: string, places: Places): Promise<number> {
  const handle = await open(path, "r").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return null;
    throw error;
  });
  if (handle === null) return 0;
  try {
    return await places.lines(path, handle);
  } finally {
    await handle.close();
  }
}

/** Lines of [start, size); the last one may lack its end. */
async function* linesFrom(handle: FileHandle, start: number, size: number) {
  let carried: Buffer = Buffer.alloc(0);
  for (let at = start; at < size; ) {
    const piece = Buffer.allocUnsafe(Math.min(PIECE_BYTES, size - at));
    const { bytesRead } = await handle.read(piece, 0, piece.length, at);
    if (bytesRead === 0) break;
    at += bytesRead;
    const content = Buffer.concat([carried, piece.subarray(0, bytesRead)]);
    let from = 0;
    for (let feed = content.indexOf(10); feed >= 0; feed = content.indexOf(10, from)) {
      yield content.subarray(from, feed);
      from = feed + 1;
    }
    carried = content.subarray(from);
  }
  if (carried.length > 0) yield carried;
}
