/**
 * Where lines begin in a run's JSON lines: a sparse index, so that a log of any size is read from any line, or from its end.
 *
 * Owner: logs.
 * 1. A mark says how many whole lines end at an offset. Marks of a file are in order, about one for each 5,000 lines.
 * 2. Losing the index loses time, never lines: whatever is wrong with it, lines are counted.
 * 3. Who writes keeps marks in `run.places` beside the file, and stops when somebody else has written too; who reads takes
 *    them from there, and counts what has none. Marks of another file (another inode) or beyond the end count for nothing.
 */
import { appendFileSync, fstatSync, readFileSync, readSync } from "node:fs";
import { type FileHandle, readFile } from "node:fs/promises";

const MARK_LINES = 5_000;
const PIECE_BYTES = 1024 * 1024;
const FILES_KEPT = 256;
/** What a writer counts at most to find out where it is, when it opens a file that is there already. */
const COUNTED_BYTES = 4 * 1024 * 1024;

export interface Mark {
  lines: number;
  offset: number;
}

const START: Mark = { lines: 0, offset: 0 };

const placesOf = (path: string): string => path.replace(/\.jsonl$/, ".places");

/** The marks of the file with this inode, as far as they are in order. */
function parse(text: string, inode: number): Mark[] {
  const marks: Mark[] = [];
  for (const line of text.split("\n").slice(0, -1)) {
    const [of, lines, offset] = line.split(" ").map(Number);
    const last = marks.at(-1) ?? START;
    if (of === inode && lines! > last.lines && offset! > last.offset) marks.push({ lines: lines!, offset: offset! });
  }
  return marks;
}

function known(path: string, inode: number): Mark[] {
  try {
    return parse(readFileSync(placesOf(path), "utf8"), inode);
  } catch {
    return [];
  }
}

/** How many lines end in these bytes; calls `each` with the number so far and the place after. */
function countLines(bytes: Buffer, each?: (lines: number, after: number) => void): number {
  let lines = 0;
  for (let at = bytes.indexOf(10); at >= 0; at = bytes.indexOf(10, at + 1)) {
    lines += 1;
    each?.(lines, at + 1);
  }
  return lines;
}

/** What a writer knows of the file that it appends to; it makes marks as long as nobody else writes to it. */
export class Trail {
  private readonly path: string;
  private readonly inode: number;
  private lines: number;
  private offset: number;
  private marked: number;

  private constructor(path: string, inode: number, mark: Mark, more: Mark) {
    this.path = path;
    this.inode = inode;
    this.lines = mark.lines + more.lines;
    this.offset = mark.offset + more.offset;
    this.marked = mark.lines;
  }

  /** Of a file that was just opened; null if it would take long to find out where it stands, or can't be. */
  static of(path: string, fd: number): Trail | null {
    try {
      const { size, ino } = fstatSync(fd);
      if (size === 0) return new Trail(path, ino, START, START);
      const last = known(path, ino).findLast(({ offset }) => offset <= size) ?? START;
      const rest = size - last.offset;
      if (rest > COUNTED_BYTES) return null;
      const bytes = Buffer.allocUnsafe(rest);
      if (readSync(fd, bytes, 0, rest, last.offset) !== rest) return null;
      return new Trail(path, ino, last, { lines: countLines(bytes), offset: rest });
    } catch {
      return null;
    }
  }

  add(lines: number, bytes: number): void {
    this.lines += lines;
    this.offset += bytes;
  }

  /** Makes a mark if it is time; false if the file is not as it should be: somebody else has written to it. */
  stands(fd: number): boolean {
    if (this.lines - this.marked < MARK_LINES) return true;
    try {
      const { size, ino } = fstatSync(fd);
      if (size !== this.offset || ino !== this.inode) return false;
      appendFileSync(placesOf(this.path), `${ino} ${this.lines} ${this.offset}\n`, { mode: 0o644 });
    } catch {
      return false;
    }
    this.marked = this.lines;
    return true;
  }
}

/** Marks of files that were read of late. */
export class Places {
  readonly #files = new Map<string, { inode: number; marks: Mark[]; foreign: number }>();

  /** The mark nearest before line `after` + 1, counted for if there is none near; the end of the file if it has fewer lines. */
  async before(path: string, handle: FileHandle, after: number): Promise<Mark> {
    const { size, ino } = await handle.stat();
    const marks = await this.#marks(path, ino, size);
    const at = nearest(marks, after);
    // Between two marks there is nothing to find out.
    if (at < marks.length - 1 || after - marks[at]!.lines <= MARK_LINES) return marks[at]!;
    for await (const _ of this.#count(handle, marks, size)) if (marks.at(-1)!.lines + MARK_LINES > after) break;
    return marks[nearest(marks, after)]!;
  }

  /** How many lines the file has; one that has no end yet counts. */
  async lines(path: string, handle: FileHandle): Promise<number> {
    const { size, ino } = await handle.stat();
    const marks = await this.#marks(path, ino, size);
    let rest = 0;
    for await (const lines of this.#count(handle, marks, size)) rest = lines;
    if (size === 0) return 0;
    const last = Buffer.alloc(1);
    await handle.read(last, 0, 1, size - 1);
    return marks.at(-1)!.lines + rest + (last[0] === 10 ? 0 : 1);
  }

  async #marks(path: string, inode: number, size: number): Promise<Mark[]> {
    let file = this.#files.get(path);
    if (file?.inode !== inode) file = { inode, marks: [START], foreign: 0 };
    this.#files.delete(path);
    this.#files.set(path, file);
    if (this.#files.size > FILES_KEPT) this.#files.delete(this.#files.keys().next().value!);
    // Only where there is more to count than a writer leaves without a mark.
    if (size - file.marks.at(-1)!.offset <= PIECE_BYTES) return file.marks;
    const text = await readFile(placesOf(path), "utf8").catch(() => "");
    if (text.length === file.foreign) return file.marks;
    file.foreign = text.length;
    for (const mark of parse(text, inode))
      if (mark.lines > file.marks.at(-1)!.lines && mark.offset <= size) file.marks.push(mark);
    return file.marks;
  }

  /** Counts on from the last mark and makes further ones; yields the lines after the last mark, a piece at a time. */
  async *#count(handle: FileHandle, marks: Mark[], size: number): AsyncGenerator<number> {
    const { lines, offset } = marks.at(-1)!;
    const piece = Buffer.allocUnsafe(PIECE_BYTES);
    let counted = lines;
    for (let at = offset; at < size; ) {
      const { bytesRead } = await handle.read(piece, 0, Math.min(PIECE_BYTES, size - at), at);
      if (bytesRead === 0) return;
      const base = at;
      const before = counted;
      counted += countLines(piece.subarray(0, bytesRead), (found, after) => {
        if (before + found >= marks.at(-1)!.lines + MARK_LINES && base + after > marks.at(-1)!.offset)
          marks.push({ lines: before + found, offset: base + after });
      });
      at += bytesRead;
      yield counted - marks.at(-1)!.lines;
    }
  }
}

function nearest(marks: readonly Mark[], after: number): number {
  let low = 0;
  let high = marks.length - 1;
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (marks[middle]!.lines <= after) low = middle;
    else high = middle - 1;
  }
  return low;
}
