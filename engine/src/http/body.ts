/**
 * Bodies: one media type, one parser, bounded.
 *
 * Owner: http. Invariants: (1) nothing is read beyond the limit; (2) what is not JSON by its type is refused before it is
 * read; (3) a key `__proto__` and nesting beyond 64 are refused.
 */
import { HttpProblem } from "./problems.ts";

const MAX_DEPTH = 64;
const JSON_TYPE = /^application\/json(?:\s*;\s*charset="?utf-8"?)?$/i;

export interface BodySource {
  header(name: string): string | undefined;
  stream: ReadableStream<Uint8Array> | null;
}

const CLOSE = { headers: { connection: "close" } };

/** All bytes. @throws HttpProblem 413 */
export async function readBytes(source: BodySource, max: number): Promise<Buffer> {
  const declared = Number(source.header("content-length") ?? "0");
  const tooLarge = () =>
    new HttpProblem(413, "payload_too_large", `the body is larger than ${max} bytes`, {
      hint: "Put big data into an artifact or a file that the pipeline reads.",
      ...CLOSE,
    });
  if (declared > max) throw tooLarge();
  const pieces: Uint8Array[] = [];
  let size = 0;
  if (source.stream === null) return Buffer.alloc(0);
  try {
    for await (const piece of source.stream as unknown as AsyncIterable<Uint8Array>) {
      size += piece.length;
      if (size > max) throw tooLarge();
      pieces.push(piece);
    }
  } catch (error) {
    if (error instanceof HttpProblem) throw error;
    // Whoever hangs up is no fault of the server.
    throw new HttpProblem(400, "body_incomplete", "the body ended before it was whole", CLOSE);
  }
  return Buffer.concat(pieces);
}

/** A JSON body. @throws HttpProblem 400, 413, 415 */
export async function readJson(source: BodySource, max: number): Promise<unknown> {
  assertJsonType(source);
  return parseJson(await readBytes(source, max));
}

export function assertJsonType(source: BodySource): void {
  const type = source.header("content-type");
  const encoding = source.header("content-encoding");
  if (type === undefined || !JSON_TYPE.test(type) || (encoding !== undefined && encoding !== "identity"))
    throw new HttpProblem(415, "unsupported_media_type", "the body must be JSON, sent as application/json", CLOSE);
}

/** @throws HttpProblem 400 */
export function parseJson(bytes: Buffer): unknown {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (error) {
    throw new HttpProblem(400, "malformed_json", `the body is not JSON: ${(error as Error).message.slice(0, 200)}`);
  }
  checkShape(value);
  return value;
}

function checkShape(root: unknown): void {
  let level: unknown[] = [root];
  for (let depth = 1; level.length > 0; depth++) {
    if (depth > MAX_DEPTH) throw new HttpProblem(400, "too_deep", `the body is nested deeper than ${MAX_DEPTH} levels`);
    const below: unknown[] = [];
    for (const value of level) {
      if (typeof value !== "object" || value === null) continue;
      if (Object.hasOwn(value, "__proto__"))
        throw new HttpProblem(400, "unsafe_key", 'the body has a key "__proto__", which is refused');
      for (const part of Object.values(value)) if (typeof part === "object" && part !== null) below.push(part);
    }
    level = below;
  }
}
