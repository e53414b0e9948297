/**
 * Paths that a model names, inside one folder. Whatever it writes, nothing outside is read or changed.
 *
 * Invariants: (1) what is opened is below the folder after all symlinks are resolved; (2) the last part is opened without
 * following a link, so that a link put there between check and open is refused and not followed; (3) only regular files
 * and folders are touched: no devices, pipes or sockets.
 */
import { constants } from "node:fs";
import { type FileHandle, lstat, mkdir, open, realpath } from "node:fs/promises";
import { dirname, isAbsolute, join, relative, resolve, sep } from "node:path";
import { ToolProblem } from "../tool.ts";

export interface Place {
  /** Path in the real file system, all links above the last part resolved. */
  real: string;
  /** As shown to the model: relative, with `/`. */
  shown: string;
}

/** The engine's own things in a workspace, and a repository's inner life, are not the model's. */
const CLOSED = new Set([".git", ".tenuto"]);

/** Where a path leads, if that is inside; the last part need not exist. @throws ToolProblem */
export async function placeOf(folder: string, path: string): Promise<Place> {
  const root = await realpath(folder);
  const given = isAbsolute(path) ? path : join(root, path);
  const wanted = resolve(given);
  const inside = isAbsolute(path) ? relative(resolve(folder), wanted) : relative(root, wanted);
  if (isOutside(inside)) throw refused(path);
  const target = join(root, inside);
  const real =
    inside === ""
      ? root
      : join(await realFolder(root, dirname(target), path), target.slice(dirname(target).length + 1));
  checkInside(root, real, path);
  const shown = relative(root, real).split(sep).join("/");
  if (shown.split("/").some((part) => CLOSED.has(part))) throw new ToolProblem(`${path} is not yours to touch`);
  return { real, shown: shown === "" ? "." : shown };
}

/** The real path of a folder that may not exist yet: what exists of it is resolved. */
async function realFolder(root: string, folder: string, path: string): Promise<string> {
  const missing: string[] = [];
  for (let at = folder; ; at = dirname(at)) {
    const real = await realpath(at).catch((error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return null;
      throw problemOf(error, path);
    });
    if (real !== null) {
      checkInside(root, real, path);
      return join(real, ...missing.reverse());
    }
    // A link that leads nowhere exists, although its target does not.
    if (await isLink(at)) throw refused(path);
    missing.push(at.slice(dirname(at).length + 1));
    if (at === root || dirname(at) === at) throw refused(path);
  }
}

async function isLink(path: string): Promise<boolean> {
  return await lstat(path).then(
    (found) => found.isSymbolicLink(),
    () => false,
  );
}

/** Opens an existing regular file for reading. */
export async function openFile(place: Place, path: string): Promise<FileHandle> {
  const handle = await open(place.real, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK).catch(
    (error: NodeJS.ErrnoException) => {
      throw problemOf(error, path);
    },
  );
  if ((await handle.stat()).isFile()) return handle;
  await handle.close();
  throw new ToolProblem(`${path} is not a file`);
}

/** A link inside the folder that leads to a file inside it is followed once, by its real path. */
export async function followed(folder: string, place: Place, path: string): Promise<Place> {
  if (!(await isLink(place.real))) return place;
  const root = await realpath(folder);
  const real = await realpath(place.real).catch((error: NodeJS.ErrnoException) => {
    throw problemOf(error, path);
  });
  checkInside(root, real, path);
  return await placeOf(folder, relative(root, real));
}

export async function ensureFolder(place: Place, path: string): Promise<void> {
  await mkdir(dirname(place.real), { recursive: true }).catch((error: NodeJS.ErrnoException) => {
    throw problemOf(error, path);
  });
}

/** A fault of the file system that the model can do something about. Others end the attempt. */
export function problemOf(error: NodeJS.ErrnoException, path: string): Error {
  switch (error.code) {
    case "ENOENT":
      return new ToolProblem(`there is no ${path}`);
    case "EISDIR":
      return new ToolProblem(`${path} is a folder`);
    case "ENOTDIR":
      return new ToolProblem(`a part of ${path} is a file, not a folder`);
    case "ELOOP":
    case "EMLINK":
      return refused(path);
    case "EACCES":
    case "EPERM":
      return new ToolProblem(`${path} may not be accessed`);
    case "ENAMETOOLONG":
    case "ENXIO":
    case "EEXIST":
      return new ToolProblem(`${path} can't be used: ${error.code}`);
    default:
      return error;
  }
}

function checkInside(root: string, real: string, path: string): void {
  if (isOutside(relative(root, real))) throw refused(path);
}

function isOutside(inside: string): boolean {
  return inside === ".." || inside.startsWith(`..${sep}`) || isAbsolute(inside);
}

function refused(path: string): ToolProblem {
  return new ToolProblem(`${path} is outside of the workspace; paths are relative to it`);
}
