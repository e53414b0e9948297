/**
 * Where the tools of an agent may go: paths inside the allowed parts of a worktree, symbolic links resolved.
 *
 * Invariants:
 * 1. A path is judged by where it really leads; a link out of the allowed parts is refused, whoever made it.
 * 2. `.git` is out of reach in any spelling: hooks and configuration there are programs.
 * 3. Writing replaces a file by a whole new one, so that a hard link to a file elsewhere is cut, never written through.
 * 4. Only regular files are read: nothing waits at a pipe or a device.
 */
import { randomUUID } from "node:crypto";
import { constants } from "node:fs";
import { type FileHandle, lstat, mkdir, open, realpath, rename, rm } from "node:fs/promises";
import { dirname, join, relative, resolve, sep } from "node:path";

/** Most that is read of a file. */
export const READ_MAX_BYTES = 256 * 1024;

export class SecurityError extends Error {}

export interface Sandbox {
  /** The worktree, resolved. */
  root: string;
  /** Allowed parts below it, resolved. */
  allowed: string[];
}

/** @throws SecurityError when an allowed path leaves the worktree */
export async function openSandbox(worktree: string, allowedPaths: readonly string[]): Promise<Sandbox> {
  const root = await realpath(worktree);
  const allowed: string[] = [];
  for (const path of allowedPaths.length === 0 ? ["."] : allowedPaths) {
    refuseOdd(path);
    const place = resolve(root, path);
    if (!isInside(root, place)) throw new SecurityError(`allowed path ${path} is outside the worktree`);
    if (namesGit(root, place)) throw new SecurityError(`allowed path ${path} is Git's own`);
    const real = await realOf(place);
    if (!isInside(root, real)) throw new SecurityError(`allowed path ${path} leads outside the worktree`);
    allowed.push(real);
  }
  return { root, allowed };
}

/** Where a path that an agent named really is. @throws SecurityError */
export async function placeOf(sandbox: Sandbox, path: string): Promise<string> {
  refuseOdd(path);
  const place = resolve(sandbox.root, path);
  if (!isInside(sandbox.root, place)) throw new SecurityError(`${path} is outside the worktree`);
  if (namesGit(sandbox.root, place)) throw new SecurityError(`${path} is Git's own`);
  const real = await realOf(place);
  if (namesGit(sandbox.root, real) || !sandbox.allowed.some((allowed) => isInside(allowed, real)))
    throw new SecurityError(`${path} is outside the allowed paths`);
  return real;
}

function refuseOdd(path: string): void {
  if (path.includes("\0")) throw new SecurityError("a path holds a NUL character");
}

function isInside(folder: string, path: string): boolean {
  return path === folder || path.startsWith(folder.endsWith(sep) ? folder : folder + sep);
}

/** `.git` in any case, with trailing dots or spaces, which some file systems ignore. */
function namesGit(root: string, path: string): boolean {
  return relative(root, path)
    .split(sep)
    .some((part) => /^\.git[. ]*$/i.test(part.normalize("NFKC")));
}

/** The real path, of which the last parts need not exist yet. */
async function realOf(path: string): Promise<string> {
  const missing: string[] = [];
  for (let at = path; ; at = dirname(at)) {
    try {
      return join(await realpath(at), ...missing);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === "ELOOP") throw new SecurityError("a path of links that never ends");
      if (code !== "ENOENT" && code !== "ENOTDIR") throw error;
      // A link that leads nowhere would be followed on writing.
      if ((await lstat(at).catch(() => null))?.isSymbolicLink()) throw new SecurityError(`${at} is a link to nothing`);
      if (code === "ENOTDIR" && dirname(at) === at) throw error;
      missing.unshift(at.slice(dirname(at).length).replace(/^[/\\]/, ""));
    }
  }
}

/** The text of a file. @throws Error, SecurityError */
export async function readInside(sandbox: Sandbox, path: string): Promise<string> {
  const place = await placeOf(sandbox, path);
  const file = await open(place, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    return await readText(file, path);
  } finally {
    await file.close();
  }
}

async function readText(file: FileHandle, path: string): Promise<string> {
  const facts = await file.stat();
  if (!facts.isFile()) throw new Error(`${path} is not a file`);
  if (facts.size > READ_MAX_BYTES)
    throw new Error(`${path} has ${facts.size} bytes; at most ${READ_MAX_BYTES} are read`);
  const bytes = Buffer.alloc(facts.size);
  const { bytesRead } = await file.read(bytes, 0, facts.size, 0);
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes.subarray(0, bytesRead));
  } catch {
    throw new Error(`${path} is not text in UTF-8`);
  }
}

/** Writes a whole file; with `exclusive` only where there is none yet. @throws Error, SecurityError */
export async function writeInside(sandbox: Sandbox, path: string, content: string, exclusive: boolean): Promise<void> {
  const place = await placeOf(sandbox, path);
  const before = await lstat(place).catch(() => null);
  if (exclusive && before !== null) throw new Error(`${path} exists already`);
  if (before !== null && !before.isFile()) throw new Error(`${path} is not a file`);
  await mkdir(dirname(place), { recursive: true });
  const draft = join(dirname(place), `.${randomUUID()}.draft`);
  try {
    const file = await open(draft, "wx", before === null ? 0o644 : before.mode & 0o777);
    try {
      await file.writeFile(content);
    } finally {
      await file.close();
    }
    await rename(draft, place);
  } catch (error) {
    await rm(draft, { force: true });
    throw error;
  }
}
