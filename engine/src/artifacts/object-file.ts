/** The file of one object: its identity, its bytes, its hash, and what a full disk means. Owner: artifacts. */
import { createHash } from "node:crypto";
import type { BigIntStats } from "node:fs";
import { type FileHandle, stat } from "node:fs/promises";
import { TenutoError } from "../core/errors.ts";

const READ_BYTES = 256 * 1024;

export function identityOf(found: BigIntStats): string {
  return `${found.ino}:${found.size}:${found.ctimeNs}`;
}

export async function* chunksOf(handle: FileHandle): AsyncGenerator<Uint8Array> {
  for (let at = 0; ; ) {
    const buffer = Buffer.allocUnsafe(READ_BYTES);
    const { bytesRead } = await handle.read(buffer, 0, READ_BYTES, at);
    if (bytesRead === 0) return;
    at += bytesRead;
    yield buffer.subarray(0, bytesRead);
  }
}

export async function hashOf(handle: FileHandle): Promise<string> {
  const digest = createHash("sha256");
  for await (const chunk of chunksOf(handle)) digest.update(chunk);
  return digest.digest("hex");
}

export async function writeAll(handle: FileHandle, content: Uint8Array): Promise<void> {
  for (let at = 0; at < content.length; ) at += (await handle.write(content, at, content.length - at)).bytesWritten;
}

export function diskError(cause: unknown, path: string, need: number): unknown {
  const code = (cause as NodeJS.ErrnoException | null)?.code;
  if (code !== "ENOSPC" && code !== "EDQUOT" && code !== "EROFS") return cause;
  const why = code === "EROFS" ? "the file system is read-only" : "no space (or no inode, or no quota) is left";
  return new TenutoError("disk_full", `cannot store an artifact in ${path}: ${why}`, {
    hint: "Free space there, or remove old runs with `tenuto prune`; then retry the run.",
    details: { path, bytesNeeded: need, errno: code },
    category: "critical",
    cause,
  });
}

export async function statOrNull(path: string): Promise<BigIntStats | null> {
  try {
    return await stat(path, { bigint: true });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw error;
  }
}
