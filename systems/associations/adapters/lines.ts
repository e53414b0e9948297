/**
 * The lines of a file, one at a time, whatever is in it.
 *
 * 1. Only a line feed ends a line: U+2028 and its like stand within texts of web pages, and JSON does not write them out.
 * 2. Memory is bounded: of a line that is too long only that it was there is given, as null.
 * 3. A byte order mark is no part of the first line.
 */
import { createReadStream } from "node:fs";

/** Far more than a record may have; what is longer is no record. */
export const MAX_LINE_BYTES = 16_000_000;
const LINE_FEED = 10;
const MARK = Buffer.from([0xef, 0xbb, 0xbf]);

/** @throws what reading the file throws */
export async function* linesOfFile(
  path: string,
  { maxLineBytes = MAX_LINE_BYTES }: { maxLineBytes?: number } = {},
): AsyncGenerator<string | null> {
  const input = createReadStream(path, { highWaterMark: 1 << 18 });
  let parts: Buffer[] = [];
  let length = 0;
  let first = true;
  const take = (): string | null => {
    const line = length > maxLineBytes ? null : Buffer.concat(parts);
    const text = line === null ? null : line.toString("utf8", first && line.subarray(0, 3).equals(MARK) ? 3 : 0);
    parts = [];
    length = 0;
    first = false;
    return text;
  };
  const keep = (part: Buffer) => {
    length += part.length;
    if (length <= maxLineBytes) parts.push(part);
    else parts = [];
  };
  try {
    for await (const chunk of input as AsyncIterable<Buffer>) {
      let start = 0;
      for (let end = chunk.indexOf(LINE_FEED); end >= 0; end = chunk.indexOf(LINE_FEED, start)) {
        keep(chunk.subarray(start, end));
        yield take();
        start = end + 1;
      }
      keep(chunk.subarray(start));
    }
    if (length > 0) yield take();
  } finally {
    input.destroy();
  }
}
