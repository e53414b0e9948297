/**
 * The body of an answer as bytes, never longer than allowed, and unpacked where the file itself is packed.
 *
 * Invariant: what is over the limit is neither read nor unpacked, so a small answer cannot fill the memory.
 */
import type { Readable } from "node:stream";
import { constants, createBrotliDecompress, createInflateRaw, createUnzip, gunzipSync } from "node:zlib";
import { RefusedError } from "../domain/errors.ts";

/** What undici's `request` gives. */
export interface Answer {
  statusCode: number;
  headers: Record<string, string | string[] | undefined>;
  body: Readable & { dump(options: { limit: number }): Promise<void> };
}

const DISCARDED_BYTES = 64 * 1024;

export interface BodyLimits {
  url: string;
  /** After decompression; more is refused. */
  maxBytes: number;
  /** Of a longer body only this much is read, instead of refusing it. */
  truncateAt: number | undefined;
}

/** The whole body. @throws RefusedError too_large */
export async function readBody(answer: Answer, limits: BodyLimits): Promise<Uint8Array> {
  const { url, maxBytes, truncateAt } = limits;
  const announced = Number(headerOf(answer, "content-length"));
  if (announced > maxBytes && truncateAt === undefined) {
    answer.body.once("error", () => {}).destroy();
    throw tooLarge(limits);
  }
  let bytes = await readCapped(answer.body, limits);
  for (const coding of codingsOf(answer).reverse()) bytes = await readCapped(unpacking(bytes, coding), limits);
  return unpackFile(bytes, { url, maxBytes });
}

/** One header as text; several of a name as a list with commas. */
export function headerOf({ headers }: Answer, name: string): string | null {
  const value = headers[name];
  if (value === undefined) return null;
  return Array.isArray(value) ? value.join(", ") : value;
}

/** Ends an answer whose body nobody needs: a short one is read, so that its connection serves again. */
export async function discard(answer: Answer): Promise<void> {
  await answer.body.dump({ limit: DISCARDED_BYTES }).catch(() => {});
}

/** How the body is packed for the way, the last packing last; what is unknown stays as it is, and does not read as a page. */
function codingsOf(answer: Answer): string[] {
  const codings = (headerOf(answer, "content-encoding") ?? "").toLowerCase().split(/\s*,\s*/);
  return codings.filter((coding) => /^(x-)?gzip$|^deflate$|^br$/.test(coding.trim()));
}

/** The bytes unpacked piece by piece. One that breaks off gives what there was of it. */
function unpacking(bytes: Uint8Array, coding: string): Readable {
  const raw = coding === "deflate" && (bytes[0]! & 0x0f) !== 8;
  const flush = { finishFlush: constants.Z_SYNC_FLUSH };
  const stage =
    coding === "br"
      ? createBrotliDecompress({ finishFlush: constants.BROTLI_OPERATION_FLUSH })
      : raw
        ? createInflateRaw(flush)
        : createUnzip(flush);
  stage.end(bytes);
  return stage;
}

async function readCapped(body: Readable, limits: BodyLimits): Promise<Uint8Array> {
  const { maxBytes, truncateAt } = limits;
  const chunks: Uint8Array[] = [];
  let size = 0;
  // Ending a body early is an error to its stream, and here to nobody.
  body.on("error", () => {});
  for await (const chunk of body as AsyncIterable<Uint8Array>) {
    size += chunk.byteLength;
    // Leaving the loop by a throw or a break ends the body.
    if (truncateAt !== undefined && size > truncateAt) {
      chunks.push(chunk.subarray(0, chunk.byteLength - (size - truncateAt)));
      break;
    }
    if (size > maxBytes) throw tooLarge(limits);
    chunks.push(chunk);
  }
  return chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks);
}

function tooLarge({ url, maxBytes }: BodyLimits): RefusedError {
  return new RefusedError("too_large", `${url} is larger than ${maxBytes} bytes`, { url });
}

/** A file that is packed itself, as sitemaps are (`sitemap.xml.gz`), beside any packing for the way. */
function unpackFile(bytes: Uint8Array, { url, maxBytes }: { url: string; maxBytes: number }): Uint8Array {
  if (bytes[0] !== 0x1f || bytes[1] !== 0x8b) return bytes;
  try {
    return gunzipSync(bytes, { maxOutputLength: maxBytes });
  } catch (error) {
    if ((error as { code?: string }).code === "ERR_BUFFER_TOO_LARGE")
      throw new RefusedError("too_large", `${url} is larger than ${maxBytes} bytes when unpacked`, { url });
    return bytes;
  }
}
