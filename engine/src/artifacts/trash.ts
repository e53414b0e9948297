/**
 * Removal of objects that nobody uses, against people who store or read them at the same moment.
 *
 * Owner: artifacts. The object is first moved into `trash/`, then looked at once more: who stored it before the move has made
 * it young or has told `used`, who comes after the move does not find it and puts it back or stores it anew. So whoever was
 * answered has an object. What lies in the trash when a collector dies is put back at the next open.
 */
import { link, rename, unlink } from "node:fs/promises";
import { statOrNull } from "./object-file.ts";

export async function removeUnused(
  root: string,
  sha256: string,
  path: string,
  before: number,
  used: () => Promise<boolean>,
): Promise<boolean> {
  if (!(await isOld(path, before)) || (await used())) return false;
  const trash = `${root}/trash/${sha256}`;
  if (!(await moved(path, trash))) return false;
  try {
    // False if somebody has put it back.
    if ((await isOld(trash, before)) && !(await used()))
      return (await removed(trash)) && (await statOrNull(path)) === null;
  } catch (error) {
    await restore(root, sha256, path);
    throw error;
  }
  await restore(root, sha256, path);
  return false;
}

/** Puts back what lies in the trash; false if it does not. */
export async function restore(root: string, sha256: string, path: string): Promise<boolean> {
  const trash = `${root}/trash/${sha256}`;
  try {
    await link(trash, path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT") return false;
    // There is one already; it may be newer.
    if (code !== "EEXIST") throw error;
  }
  await removed(trash);
  return true;
}

async function isOld(path: string, before: number): Promise<boolean> {
  const found = await statOrNull(path);
  return found !== null && Number(found.mtimeMs) < before;
}

async function moved(from: string, to: string): Promise<boolean> {
  try {
    await rename(from, to);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return false;
    throw error;
  }
}

async function removed(path: string): Promise<boolean> {
  try {
    await unlink(path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return false;
    throw error;
  }
}
