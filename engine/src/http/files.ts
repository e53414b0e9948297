/**
 * Answers from files and from the artifact store, with one range, streamed.
 *
 * Owner: http. Invariants: (1) a file is opened without following a link, and is a plain file; (2) names of files are made
 * from ids by the log sink, never from a request; (3) what was written by jobs is text or a download, never a page of ours.
 */
import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import type { Answer, Call } from "./call.ts";
import { HttpProblem } from "./problems.ts";

export interface HowToSend {
  type: string;
  name: string;
  download: boolean;
  /** Only the last bytes. */
  tail?: number;
}

export interface Range {
  start: number;
  end: number;
}

/** The one range that a Range header asks for; null for all. @throws HttpProblem 416 */
export function rangeOf(header: string | undefined, size: number): Range | null {
  const found = /^bytes=(\d*)-(\d*)$/.exec(header ?? "");
  if (found === null || (found[1] === "" && found[2] === "")) return null;
  const start = found[1] === "" ? Math.max(0, size - Number(found[2])) : Number(found[1]);
  const end = found[1] === "" || found[2] === "" ? size : Math.min(size, Number(found[2]) + 1);
  if (start >= size || end <= start)
    throw new HttpProblem(416, "range_not_satisfiable", `the content has ${size} bytes`, {
      headers: { "content-range": `bytes */${size}` },
    });
  return { start, end };
}

/** A name that is safe in a header. */
export function disposition(name: string, download: boolean): string {
  const plain = name.replaceAll(/[^A-Za-z0-9._-]/g, "_").slice(0, 150);
  return `${download ? "attachment" : "inline"}; filename="${plain}"`;
}

/** The bytes of a file as they are now; null if there is none. Secrets in them are masked. */
export async function fileAnswer(call: Call, path: string, how: HowToSend): Promise<Answer | null> {
  const handle = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK).catch((error) => {
    if (error.code === "ENOENT" || error.code === "ELOOP" || error.code === "ENOTDIR") return null;
    throw error;
  });
  if (handle === null) return null;
  try {
    const { size, mode } = await handle.stat();
    const isPlain = (mode & constants.S_IFMT) === constants.S_IFREG;
    const answer = isPlain ? answerOf(call, handle, size, how) : null;
    if (answer === null || call.head) await handle.close();
    return answer;
  } catch (error) {
    await handle.close();
    throw error;
  }
}

function answerOf(call: Call, handle: FileHandle, size: number, how: HowToSend): Answer {
  const range =
    how.tail === undefined ? rangeOf(call.header("range"), size) : { start: Math.max(0, size - how.tail), end: size };
  const { start, end } = range ?? { start: 0, end: size };
  const read = async (at: number, bytes: number) => {
    const piece = Buffer.allocUnsafe(bytes);
    let got = 0;
    while (got < bytes) {
      const { bytesRead } = await handle.read(piece, got, bytes - got, at + got);
      if (bytesRead === 0) break;
      got += bytesRead;
    }
    return piece.subarray(0, got);
  };
  return {
    body: closing(call.services.masker.bytes(read, { start, end }), () => handle.close()),
    type: how.type,
    status: range !== null && how.tail === undefined ? 206 : 200,
    headers: {
      "accept-ranges": "bytes",
      "content-disposition": disposition(how.name, how.download),
      "content-security-policy": "sandbox; default-src 'none'",
      ...(range === null || how.tail !== undefined ? {} : { "content-range": `bytes ${start}-${end - 1}/${size}` }),
    },
  };
}

/** A generator that nobody has begun to read does not run its `finally`: this one calls `close` in any case. */
function closing(body: AsyncIterable<Uint8Array>, close: () => Promise<void>): AsyncIterable<Uint8Array> {
  return {
    [Symbol.asyncIterator]: () => {
      const pieces = body[Symbol.asyncIterator]();
      let closed: Promise<void> | null = null;
      const end = () => (closed ??= close());
      return {
        next: async () => {
          try {
            const step = await pieces.next();
            if (step.done === true) await end();
            return step;
          } catch (error) {
            await end();
            throw error;
          }
        },
        return: async () => {
          await pieces.return?.();
          await end();
          return { done: true, value: undefined };
        },
      };
    },
  };
}
