/**
 * Reads a JSONL file into a dataset: each line is checked, none is changed, and the first bad one is named by position.
 *
 * Owner: artifacts.
 * 1. Memory is bounded by a piece of the file and one line, whatever the file holds.
 * 2. Nothing is stored when a line is refused.
 */
import { createReadStream } from "node:fs";
import { TenutoError } from "../core/errors.ts";
import { PAYLOAD_MAX_BYTES } from "../core/limits.ts";
import type { ArtifactStore, DatasetInfo } from "../ports/artifact-store.ts";
import { writeDataset } from "./dataset.ts";
import { jsonFault } from "./json-fault.ts";

const PIECE_BYTES = 256 * 1024;
const FEED = 10;

/**
 * Stores the records of a JSONL file as a dataset. Blank lines, CRLF, a byte order mark and a last line without an end
 * are accepted. @throws invalid_input with file, line and column; payload_too_large for a line over 1 MiB; not_found
 */
export function importJsonl(
  store: ArtifactStore,
  path: string,
  options: { onBytes?: (bytes: number) => void } = {},
): Promise<DatasetInfo> {
  return writeDataset(store, checkedLines(path), { ...options, raw: true, batched: true });
}

async function* checkedLines(path: string): AsyncGenerator<string[]> {
  let number = 0;
  for await (const lines of linesOf(path)) {
    const records: string[] = [];
    for (const line of lines) {
      number += 1;
      const text = line.endsWith("\r") ? line.slice(0, -1) : line;
      if (text.length > PAYLOAD_MAX_BYTES / 3 && Buffer.byteLength(text) > PAYLOAD_MAX_BYTES)
        throw tooLong(path, number);
      if (isBlank(text)) continue;
      try {
        JSON.parse(text);
      } catch {
        const fault = jsonFault(text);
        throw badLine(path, number, fault.at + 1, fault.message);
      }
      records.push(text);
    }
    yield records;
  }
}

/** The lines of a file, as many at a time as a piece holds. */
async function* linesOf(path: string): AsyncGenerator<string[]> {
  let carried = Buffer.alloc(0);
  let before = 0;
  let first = true;
  for await (const piece of piecesOf(path)) {
    let content: Buffer = carried.length === 0 ? piece : Buffer.concat([carried, piece]);
    if (first && content.length >= 3) {
      if (content[0] === 0xef && content[1] === 0xbb && content[2] === 0xbf) content = content.subarray(3);
      first = false;
    }
    const last = content.lastIndexOf(FEED);
    carried = Buffer.from(content.subarray(last + 1));
    if (last >= 0) {
      const lines = decoded(path, content.subarray(0, last), before);
      before += lines.length;
      yield lines;
    }
    if (carried.length > PAYLOAD_MAX_BYTES + 1) throw tooLong(path, before + 1);
  }
  if (carried.length > 0) yield decoded(path, carried, before);
}

async function* piecesOf(path: string): AsyncGenerator<Buffer> {
  try {
    yield* createReadStream(path, { highWaterMark: PIECE_BYTES });
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code;
    if (code === undefined || (cause as NodeJS.ErrnoException).syscall === undefined) throw cause;
    throw new TenutoError(code === "ENOENT" ? "not_found" : "invalid_input", `cannot read ${path}: ${code}`, {
      hint: code === "EISDIR" ? "Name a file, not a folder." : "Check the path and its permissions.",
      details: { path, errno: code },
      cause,
    });
  }
}

function decoded(path: string, content: Buffer, before: number): string[] {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(content).split("\n");
  } catch {
    return refuseBytes(path, content, before);
  }
}

/** Finds the first line that is not UTF-8 and names it. */
function refuseBytes(path: string, content: Buffer, before: number): never {
  let number = before;
  for (let start = 0; ; ) {
    const feed = content.indexOf(FEED, start);
    const line = content.subarray(start, feed < 0 ? content.length : feed);
    number += 1;
    const text = line.toString("utf8");
    if (feed < 0 || !Buffer.from(text).equals(line)) {
      throw badLine(path, number, text.indexOf("\ufffd") + 1, "these bytes are not UTF-8");
    }
    start = feed + 1;
  }
}

function isBlank(text: string): boolean {
  return text === "" || (text.charCodeAt(0) <= 32 && /^[ \t\r]*$/.test(text));
}

function badLine(path: string, line: number, column: number, why: string): TenutoError {
  return new TenutoError("invalid_input", `${path}:${line}:${column}: ${why}`, {
    hint: "A JSONL file has one JSON value per line, in UTF-8. Mend this line and start again; nothing was stored.",
    details: { path, line, column },
  });
}

function tooLong(path: string, line: number): TenutoError {
  return new TenutoError("payload_too_large", `${path}:${line}: this line is longer than ${PAYLOAD_MAX_BYTES} bytes`, {
    hint: "Keep large parts of a record in files of their own and name them in the record.",
    details: { path, line, limit: PAYLOAD_MAX_BYTES },
  });
}
