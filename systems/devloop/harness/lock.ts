/**
 * A lock between processes on one machine: a file with the number of the process that holds it.
 *
 * Invariant: a lock that a dead process left is taken over, by one of those who wait.
 */
import { randomUUID } from "node:crypto";
import { readFile, rename, rm, writeFile } from "node:fs/promises";
import { setTimeout as pause } from "node:timers/promises";

const LOCK_TRIES = 600;
const LOCK_PAUSE_MS = 50;

/** Runs `work` while nobody else holds the lock. @throws Error after 30 s */
export async function withLock<T>(lock: string, work: () => Promise<T>): Promise<T> {
  for (let tries = 0; ; tries++) {
    try {
      await writeFile(lock, String(process.pid), { flag: "wx" });
      break;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
      if (tries >= LOCK_TRIES) throw new Error(`another job has held ${lock} for 30 s`);
      await takeFromDead(lock);
      await pause(LOCK_PAUSE_MS);
    }
  }
  try {
    return await work();
  } finally {
    await rm(lock, { force: true });
  }
}

async function takeFromDead(lock: string): Promise<void> {
  const pid = Number(await readFile(lock, "utf8").catch(() => ""));
  if (!Number.isInteger(pid) || pid <= 0 || isAlive(pid)) return;
  const aside = `${lock}.${randomUUID()}`;
  // Only one of several waiters can move it away.
  await rename(lock, aside).catch(() => {});
  await rm(aside, { force: true });
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
