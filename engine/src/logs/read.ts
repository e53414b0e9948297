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

const PIECE_BYTES = 256 * 1024;
const MARK_LINES = 5_000;
const FILES_KEPT = 256;
const RANK: Record<LogLevel, number> = { INFO: 0, WARNING: 1, ERROR: 2 };

/** Byte offsets after each 5,000th line of recently read files. */
export class Places {
  readonly #files = new Map<string, { inode: number; marks: number[] }>();

  of(path: string, inode: number): number[] {
    let file = this.#files.get(path);
    if (file?.inode !== inode) file = { inode, marks: [0] };
    this.#files.delete(path);
    this.#files.set(path, file);
    if (this.#files.size > FILES_KEPT) this.#files.delete(this.#files.keys().next().value!);
    return file.marks;
  }
}

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
    const { size, ino } = await handle.stat();
    const marks = places.of(path, ino);
    const mark = Math.min(Math.floor(after / MARK_LINES), marks.length - 1);
    let number = mark * MARK_LINES;
    for await (const { text, end, whole } of linesFrom(handle, marks[mark]!, size)) {
      number += 1;
      if (whole && number === marks.length * MARK_LINES) marks.push(end);
      if (number <= after) continue;
      const line = parseJsonForm(text);
      if (line === null || RANK[line.level] < RANK[level] || (job !== undefined && line.job !== job)) continue;
      yield { ...line, number };
    }
  } finally {
    await handle.close();
  }
}

/** Lines of [start, size) with the offset after each; the last one may lack its end. */
async function* linesFrom(handle: FileHandle, start: number, size: number) {
  let carried: Buffer = Buffer.alloc(0);
  let end = start;
  for (let at = start; at < size; ) {
    const piece = Buffer.allocUnsafe(Math.min(PIECE_BYTES, size - at));
    const { bytesRead } = await handle.read(piece, 0, piece.length, at);
    if (bytesRead === 0) break;
    at += bytesRead;
    const content = Buffer.concat([carried, piece.subarray(0, bytesRead)]);
    let from = 0;
    for (let feed = content.indexOf(10); feed >= 0; feed = content.indexOf(10, from)) {
      end += feed + 1 - from;
      yield { text: content.toString("utf8", from, feed), end, whole: true };
      from = feed + 1;
    }
    carried = content.subarray(from);
  }
  if (carried.length > 0) yield { text: carried.toString("utf8"), end: end + carried.length, whole: false };
}
