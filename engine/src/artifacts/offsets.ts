/**
 * The index of a dataset: byte offsets of record 0, stride, 2·stride, …, built while writing, and its compact form.
 *
 * Owner: artifacts.
 * 1. At most 10,000 entries: when there would be more, the stride grows tenfold.
 * 2. At the end the stride is 1,000 unless records are so large that 1,000 of them would be much to read through.
 */
import { TenutoError } from "../core/errors.ts";

const MAX_ENTRIES = 10_000;
const USUAL_STRIDE = 1_000;
/** An access by ordinal reads through about half of this to find its record. */
const SPAN_BYTES = 256 * 1024;
const FORM = 1;

export class OffsetIndex {
  /** An offset is due for every record whose ordinal is a multiple of this. It grows. */
  stride = 1;
  count = 0;
  #offsets: number[] = [];

  /** Notes the offset of a record whose turn it is. */
  add(ordinal: number, offset: number): void {
    if (this.#offsets.length === MAX_ENTRIES) this.#thin();
    if (ordinal % this.stride === 0) this.#offsets.push(offset);
  }

  /** The index in its final stride; `bytes` is the size of the dataset. */
  finish(bytes: number): { count: number; offsets: number[]; stride: number } {
    while (this.stride < USUAL_STRIDE && bytes * this.stride * 10 <= SPAN_BYTES * this.count) this.#thin();
    return { count: this.count, offsets: this.#offsets, stride: this.stride };
  }

  #thin(): void {
    this.stride *= 10;
    this.#offsets = this.#offsets.filter((_, slot) => slot % 10 === 0);
  }
}

/** A few bytes per entry, for a column of a database: form, stride, count, then the differences, each as a varint. */
export function encodeOffsets(index: { offsets: readonly number[]; stride: number }): Buffer {
  const out = Buffer.allocUnsafe(1 + (index.offsets.length + 2) * 8);
  let at = out.writeUInt8(FORM, 0);
  const put = (value: number) => {
    let rest = value;
    for (; rest >= 128; rest = Math.floor(rest / 128)) at = out.writeUInt8((rest % 128) + 128, at);
    at = out.writeUInt8(rest, at);
  };
  put(index.stride);
  put(index.offsets.length);
  let before = 0;
  for (const offset of index.offsets) {
    put(offset - before);
    before = offset;
  }
  return Buffer.from(out.subarray(0, at));
}

/** The inverse of `encodeOffsets`. @throws artifact_corrupt when the bytes are not what it made */
export function decodeOffsets(bytes: Uint8Array): { offsets: number[]; stride: number } {
  let at = 1;
  const take = () => {
    let value = 0;
    for (let weight = 1; ; weight *= 128) {
      const byte = bytes[at++];
      if (byte === undefined || weight > Number.MAX_SAFE_INTEGER) throw damaged();
      value += (byte % 128) * weight;
      if (byte < 128) return value;
    }
  };
  if (bytes[0] !== FORM) throw damaged();
  const stride = take();
  const length = take();
  if (stride < 1 || length > bytes.length) throw damaged();
  const offsets = new Array<number>(length);
  let before = 0;
  for (let slot = 0; slot < length; slot++) {
    before += take();
    offsets[slot] = before;
  }
  if (at !== bytes.length) throw damaged();
  return { offsets, stride };
}

function damaged(): TenutoError {
  return new TenutoError("artifact_corrupt", "the stored index of a dataset is damaged", {
    hint: "Restore the ledger from a backup, or run the job again that made the dataset.",
  });
}
