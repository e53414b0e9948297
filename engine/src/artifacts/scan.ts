/**
 * What is in a folder, without following a single link, and files of it opened so that nothing else can be read instead.
 *
 * Owner: artifacts. Invariants:
 * 1. Links are reported with their target as text; nothing behind them is looked at. Pipes, sockets and devices are named only.
 * 2. A file is read only if what was opened is what was found: same device, same inode, a plain file.
 */
import { createHash } from "node:crypto";
import { constants } from "node:fs";
import { type FileHandle, lstat, open, readdir, readlink } from "node:fs/promises";
import { TenutoError } from "../core/errors.ts";

const READ_BYTES = 256 * 1024;
/** A folder with more is no workspace of one job. */
const MAX_ENTRIES = 200_000;

export interface FileFacts {
  path: string;
  size: number;
  /** Device, inode, size and both times: the same as long as nobody wrote. */
  identity: string;
}

export interface Scanned {
  files: FileFacts[];
  links: { path: string; target: string }[];
  /** What is neither file, folder nor link, or can't be looked at. */
  others: { path: string; reason: string }[];
}

export type LeaveOut = (path: string, isFolder: boolean) => boolean;

/** Everything below the folder in the order of its paths; nothing if the folder is not there. @throws invalid_input if too much */
export async function scan(folder: string, leaveOut: LeaveOut): Promise<Scanned> {
  const found: Scanned = { files: [], links: [], others: [] };
  const todo = [""];
  let entries = 0;
  for (let below = todo.pop(); below !== undefined; below = todo.pop()) {
    for (const name of await namesIn(folder, below, found)) {
      entries += 1;
      if (entries > MAX_ENTRIES) throw tooMuch(folder);
      const path = below === "" ? name : `${below}/${name}`;
      const facts = await lstat(`${folder}/${path}`, { bigint: true }).catch(() => null);
      if (facts?.isDirectory() === true) {
        if (!leaveOut(path, true)) todo.push(path);
      } else if (leaveOut(path, false)) {
        // Left out, whatever it is.
      } else if (facts === null) found.others.push({ path, reason: "it can't be looked at" });
      else if (facts.isFile()) found.files.push({ path, size: Number(facts.size), identity: identityOf(facts) });
      else if (facts.isSymbolicLink())
        found.links.push({ path, target: await readlink(`${folder}/${path}`).catch(() => "") });
      else found.others.push({ path, reason: "it is no plain file" });
    }
  }
  const byPath = (a: { path: string }, b: { path: string }) => (a.path < b.path ? -1 : 1);
  found.files.sort(byPath);
  found.links.sort(byPath);
  found.others.sort(byPath);
  return found;
}

async function namesIn(folder: string, below: string, found: Scanned): Promise<string[]> {
  try {
    return await readdir(below === "" ? folder : `${folder}/${below}`);
  } catch (error) {
    if (below === "" && (error as NodeJS.ErrnoException).code === "ENOENT") return [];
    if (below === "") throw error;
    found.others.push({ path: below, reason: "it can't be looked at" });
    return [];
  }
}

function tooMuch(folder: string): TenutoError {
  return new TenutoError("invalid_input", `${folder} has more than ${MAX_ENTRIES} entries`, {
    hint: "Leave folders out with artifacts.ignore, or name a smaller folder in artifacts.folder.",
    details: { folder, limit: MAX_ENTRIES },
  });
}

type Stats = { dev: bigint; ino: bigint; size: bigint; mtimeNs: bigint; ctimeNs: bigint };

function identityOf(facts: Stats): string {
  return `${facts.dev}:${facts.ino}:${facts.size}:${facts.mtimeNs}:${facts.ctimeNs}`;
}

/** The file as it was found; null if it is another one now. The caller closes the handle. */
export async function openFound(folder: string, file: FileFacts): Promise<FileHandle | null> {
  let handle: FileHandle;
  try {
    handle = await open(
      `${folder}/${file.path}`,
      constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0),
    );
  } catch {
    return null;
  }
  const facts = await handle.stat({ bigint: true });
  if (facts.isFile() && identityOf(facts) === file.identity) return handle;
  await handle.close();
  return null;
}

/** Bytes of an open file from its beginning, in pieces. */
export async function* piecesOf(handle: FileHandle): AsyncGenerator<Uint8Array> {
  for (let at = 0; ; ) {
    const buffer = Buffer.allocUnsafe(READ_BYTES);
    const { bytesRead } = await handle.read(buffer, 0, READ_BYTES, at);
    if (bytesRead === 0) return;
    at += bytesRead;
    yield buffer.subarray(0, bytesRead);
  }
}

/** SHA-256 of a found file; null if it is another one now. */
export async function hashFound(folder: string, file: FileFacts): Promise<string | null> {
  const handle = await openFound(folder, file);
  if (handle === null) return null;
  try {
    const digest = createHash("sha256");
    for await (const piece of piecesOf(handle)) digest.update(piece);
    return digest.digest("hex");
  } finally {
    await handle.close();
  }
}
