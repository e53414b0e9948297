/**
 * A lock between processes on one machine: a file with the number of the process that holds it.
 *
 * Invariant: a lock that a dead process left is taken over, by one of those who wait.
 */
import { randomUUID } from "node:crypto";
import { readFile, rename, rm, writeFile } from "node:fs/promises";
import { setTimeout as pause } from "node:timers/promises";

const LOCK_SECONDS = 30;
const LOCK_PAUSE_MS = 50;

/** Runs `work` while nobody else holds the lock. @throws Error when another process keeps it for longer than `waitSeconds` */
export async function withLock<T>(lock: string, work: () => Promise<T>, waitSeconds = LOCK_SECONDS): Promise<T> {
  for (let tries = 0; ; tries++) {
    try {
      await writeFile(lock, String(process.pid), { flag: "wx" });
      break;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
      if (tries * LOCK_PAUSE_MS >= waitSeconds * 1_000)
        throw new Error(`another job has held ${lock} for ${waitSeconds} s`);
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

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
