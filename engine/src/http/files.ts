/**
 * Answers from files and from the artifact store, with one range, streamed.
 *
 * Owner: http. Invariants: (1) a file is opened without following a link, and is a plain file; (2) names of files are made
 * from ids by the log sink, never from a request; (3) what was written by jobs is text or a download, never a page of ours.
 */
import { constants } from "node:fs";
import { open } from "node:fs/promises";
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

const PIECE = 256 * 1024;

/** The bytes of a file as they are now; null if there is none. Secrets in them are masked. */
export async function fileAnswer(call: Call, path: string, how: HowToSend): Promise<Answer | null> {
  const handle = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK).catch((error) => {
    if (error.code === "ENOENT" || error.code === "ELOOP" || error.code === "ENOTDIR") return null;
    throw error;
  });
  if (handle === null) return null;
  const { size, ...stat } = await handle.stat();
  if ((stat.mode & constants.S_IFMT) !== constants.S_IFREG) {
    await handle.close();
    return null;
  }
  let range: Range | null;
  try {
    range =
      how.tail === undefined ? rangeOf(call.header("range"), size) : { start: Math.max(0, size - how.tail), end: size };
  } catch (error) {
    await handle.close();
    throw error;
  }
  const { start, end } = range ?? { start: 0, end: size };
  const pieces = async function* () {
    try {
      for (let at = start; at < end; ) {
        const piece = Buffer.allocUnsafe(Math.min(PIECE, end - at));
        const { bytesRead } = await handle.read(piece, 0, piece.length, at);
        if (bytesRead === 0) return;
        at += bytesRead;
        yield piece.subarray(0, bytesRead);
      }
    } finally {
      await handle.close();
    }
  };
  return {
    body: call.services.masker.stream(pieces()),
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
