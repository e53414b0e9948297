/**
 * Datasets: streams of JSON records stored as one JSONL object, with an index of byte offsets for access by ordinal.
 *
 * Owner: artifacts.
 * 1. Memory is bounded by a piece (256 KiB), a record (1 MiB) and the index (10,000 entries), however many records there are.
 * 2. Every record is one line of at most 1 MiB, ended by `\n`; the bytes are valid UTF-8.
 * 3. What is read has exactly `count` records, or the read fails with `artifact_corrupt`.
 */
import type { Dataset, DatasetRef } from "../core/agent.ts";
import { TenutoError } from "../core/errors.ts";
import { PAYLOAD_MAX_BYTES } from "../core/limits.ts";
import type { ArtifactStore, DatasetInfo } from "../ports/artifact-store.ts";
import { OffsetIndex } from "./offsets.ts";

export { decodeOffsets, encodeOffsets } from "./offsets.ts";

/** Text is turned into bytes in blocks of about this many characters. */
const BLOCK_CHARS = 32 * 1024;
const PIECE_BYTES = 256 * 1024;
const HASH_PREFIX = "sha256:";

export interface WriteOptions {
  /** Told how many bytes have been made so far, about every 32 KiB. */
  onBytes?: (bytes: number) => void;
  /** The records are JSON texts already; they are trusted to be JSON, but not to be one line. */
  raw?: boolean;
  /** Each entry of `records` is a list of records; several times faster than one by one from an asynchronous source. */
  batched?: boolean;
}

/** Stores records as a dataset and answers when it is durable. @throws payload_too_large, unsupported_value */
export async function writeDataset(
  store: ArtifactStore,
  records: Iterable<unknown> | AsyncIterable<unknown>,
  options: WriteOptions = {},
): Promise<DatasetInfo> {
  const index = new OffsetIndex();
  const stored = await store.put(encodeRecords(records, options, index));
  return { ...stored, ...index.finish(stored.bytes) };
}

/** Raw JSON texts of records [start, end); the range is clamped to the dataset. */
export async function readRecords(
  store: ArtifactStore,
  info: DatasetInfo,
  start: number,
  end: number,
): Promise<string[]> {
  const from = Math.max(0, start);
  const to = Math.min(end, info.count);
  const records: string[] = [];
  if (from >= to) return records;
  const slot = Math.floor(from / info.stride);
  const stopSlot = Math.ceil(to / info.stride);
  const stop = stopSlot < info.offsets.length ? info.offsets[stopSlot]! : info.bytes;
  let ordinal = slot * info.stride;
  for await (const lines of linesBetween(store, info, info.offsets[slot]!, stop)) {
    const first = Math.max(0, from - ordinal);
    for (let at = first; at < lines.length && ordinal + at < to; at++) records.push(lines[at]!);
    ordinal += lines.length;
    if (ordinal >= to) return records;
  }
  throw tooFew(info, ordinal);
}

/** All raw JSON texts from a record on, in order. */
export async function* iterateRecords(
  store: ArtifactStore,
  info: DatasetInfo,
  options: { from?: number } = {},
): AsyncGenerator<string> {
  const from = Math.max(0, options.from ?? 0);
  if (from >= info.count) return;
  const slot = Math.floor(from / info.stride);
  let ordinal = slot * info.stride;
  for await (const lines of linesBetween(store, info, info.offsets[slot]!, info.bytes)) {
    for (let at = Math.max(0, from - ordinal); at < lines.length; at++) yield lines[at]!;
    ordinal += lines.length;
  }
  if (ordinal !== info.count) throw tooFew(info, ordinal);
}

/** Opens a reference for reading; `loadInfo` is asked for the index once, at the first access by ordinal. */
export function openDataset<T = unknown>(
  store: ArtifactStore,
  loadInfo: (sha256: string) => DatasetInfo | Promise<DatasetInfo>,
  ref: DatasetRef,
): Dataset<T> {
  const sha256 = hashOfRef(ref);
  let loaded: Promise<DatasetInfo> | null = null;
  const info = () => {
    loaded ??= Promise.resolve(loadInfo(sha256));
    return loaded;
  };
  const slice = async (start: number, end: number): Promise<T[]> =>
    (await readRecords(store, await info(), start, end)).map((text) => JSON.parse(text) as T);
  return {
    ref,
    count: ref.count,
    slice,
    async array() {
      if (ref.bytes > PAYLOAD_MAX_BYTES) {
        throw new TenutoError("payload_too_large", `a dataset of ${ref.bytes} bytes is too large for one array`, {
          hint: "Iterate instead: `for await (const record of dataset)`, or take a slice.",
          details: { dataset: ref.$dataset, bytes: ref.bytes, limit: PAYLOAD_MAX_BYTES },
        });
      }
      return slice(0, ref.count);
    },
    async *[Symbol.asyncIterator]() {
      for await (const text of iterateRecords(store, await info())) yield JSON.parse(text) as T;
    },
  };
}

/** The reference under which a dataset travels through inputs and outputs. */
export function datasetRef(info: DatasetInfo): DatasetRef {
  return { $dataset: HASH_PREFIX + info.sha256, count: info.count, bytes: info.bytes };
}

/** The hash that a reference names. @throws invalid_input */
export function hashOfRef(ref: DatasetRef): string {
  const text = ref.$dataset;
  if (typeof text === "string" && /^sha256:[0-9a-f]{64}$/.test(text)) return text.slice(HASH_PREFIX.length);
  throw new TenutoError("invalid_input", `${JSON.stringify(text)} is not a dataset reference`, {
    hint: "Pass on the whole object that `ctx.dataset` or the job's output gave: { $dataset, count, bytes }.",
  });
}

/** Bytes of the records, in blocks. Records are joined as text first: one encoding for thousands of small ones. */
async function* encodeRecords(
  records: Iterable<unknown> | AsyncIterable<unknown>,
  { onBytes, raw = false, batched = false }: WriteOptions,
  index: OffsetIndex,
): AsyncGenerator<Uint8Array> {
  let block = "";
  /** What was added to the block since its bytes were last counted; counting the whole block would join it each time. */
  let part = "";
  let bytes = 0;
  let count = 0;
  const measure = () => {
    bytes += Buffer.byteLength(part);
    block += part;
    part = "";
  };
  const flush = (): Uint8Array => {
    measure();
    if (raw && !block.isWellFormed()) throw notWellFormed(count);
    const out = Buffer.from(block);
    block = "";
    onBytes?.(bytes);
    return out;
  };
  const add = (record: unknown): Uint8Array | null => {
    if (count % index.stride === 0) {
      measure();
      index.add(count, bytes);
    }
    part += `${textOf(record, raw, count)}\n`;
    count += 1;
    return block.length + part.length >= BLOCK_CHARS ? flush() : null;
  };
  function* addAll(entry: unknown): Generator<Uint8Array> {
    for (const record of entry as Iterable<unknown>) {
      const out = add(record);
      if (out !== null) yield out;
    }
  }
  if (!(Symbol.asyncIterator in records)) {
    for (const entry of batched ? records : [records]) yield* addAll(entry);
  } else if (batched) {
    for await (const entry of records) yield* addAll(entry);
  } else {
    for await (const record of records) {
      const out = add(record);
      if (out !== null) yield out;
    }
  }
  index.count = count;
  if (block.length + part.length > 0) yield flush();
}

function textOf(record: unknown, raw: boolean, ordinal: number): string {
  let text: string | undefined;
  if (raw) {
    if (typeof record !== "string") throw unsupported(ordinal, `raw records are texts, not ${typeof record}`);
    // In JSON a line feed can only stand between tokens.
    text = record.includes("\n") ? record.replaceAll("\n", " ") : record;
  } else {
    try {
      text = JSON.stringify(record);
    } catch (cause) {
      throw unsupported(ordinal, cause instanceof Error ? cause.message.split("\n")[0]! : String(cause), cause);
    }
    if (text === undefined) throw unsupported(ordinal, `${typeof record} has no form in JSON`);
  }
  // Only a text that could be too large is measured.
  if (text.length > PAYLOAD_MAX_BYTES / 3 && Buffer.byteLength(text) > PAYLOAD_MAX_BYTES) {
    throw new TenutoError("payload_too_large", `record ${ordinal} is larger than ${PAYLOAD_MAX_BYTES} bytes`, {
      hint: "Store large parts of a record as artifacts and keep their references in the record.",
      details: { ordinal, limit: PAYLOAD_MAX_BYTES },
    });
  }
  return text;
}

/** Whole lines of the bytes [start, stop), as many at a time as a piece holds. Both must be bounds of lines. */
async function* linesBetween(
  store: ArtifactStore,
  info: DatasetInfo,
  start: number,
  stop: number,
): AsyncGenerator<string[]> {
  let carried: Uint8Array | null = null;
  for (let at = start; at < stop; ) {
    const end = Math.min(at + PIECE_BYTES, stop);
    const read = await store.read(info.sha256, { start: at, end });
    const piece: Buffer = carried === null ? asBuffer(read) : Buffer.concat([carried, read]);
    at = end;
    const last = piece.lastIndexOf(10);
    carried = last + 1 < piece.length ? piece.subarray(last + 1) : null;
    if (last < 0) continue;
    yield piece.toString("utf8", 0, last).split("\n");
  }
  if (carried !== null) throw corrupt(info, "a range of records does not end at the end of a line");
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function tooFew(info: DatasetInfo, found: number): TenutoError {
  return corrupt(info, `it should have ${info.count} records, but ${found} were found`);
}

function corrupt(info: DatasetInfo, fault: string): TenutoError {
  return new TenutoError("artifact_corrupt", `dataset ${info.sha256} does not fit its index: ${fault}`, {
    hint: "Run the job again that made it.",
    details: { sha256: info.sha256 },
  });
}

function unsupported(ordinal: number, why: string, cause?: unknown): TenutoError {
  return new TenutoError("unsupported_value", `record ${ordinal} cannot be stored as JSON: ${why}`, {
    hint: "Records are objects, lists, strings, numbers, booleans or null.",
    details: { ordinal },
    cause,
  });
}

function notWellFormed(before: number): TenutoError {
  return new TenutoError("unsupported_value", `a record before number ${before} holds half of a character`, {
    hint: "Make the text well-formed first: `text.toWellFormed()`.",
  });
}
