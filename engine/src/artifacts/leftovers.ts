/**
 * Names of temporary files that tell who writes them, and the removal of those whose writer is dead.
 *
 * Owner: artifacts. The name holds host (with its boot and pid namespace), pid and the process's start time.
 * 1. A file of a live process of this host is never removed, however old.
 * 2. A file of another host, boot or container is removed once untouched for a day: nobody here can ask whether its
 *    writer lives, and a writer touches its file with every write.
 */
import { hash, randomBytes } from "node:crypto";
import { readFileSync, readlinkSync } from "node:fs";
import { readdir, stat, unlink } from "node:fs/promises";
import { hostname } from "node:os";

const FOREIGN_AGE_MS = 24 * 3_600_000;

const place = hash("sha256", `${hostname()}\n${procText("/proc/sys/kernel/random/boot_id")}\n${pidNamespace()}`).slice(
  0,
  12,
);
const startedAt = startOf(process.pid);
const nonce = randomBytes(4).toString("hex");
let counter = 0;

/** A name that no other process and no other call gives. */
export function temporaryName(): string {
  counter += 1;
  return `${place}-${process.pid}-${startedAt}-${nonce}-${counter}.tmp`;
}

/** Removes what dead writers left in `folder`; returns how many files. */
export async function removeLeftovers(folder: string): Promise<number> {
  let removed = 0;
  for (const name of await readdir(folder)) {
    const match = /^([0-9a-f]{12})-(\d+)-(\d*)-[0-9a-f]{8}-\d+\.tmp$/.exec(name);
    const dead =
      match !== null && match[1] === place
        ? !isAlive(Number(match[2]), match[3]!)
        : await untouchedFor(`${folder}/${name}`, FOREIGN_AGE_MS);
    if (!dead) continue;
    // Another process that opens the store may remove the same file.
    await unlink(`${folder}/${name}`).then(
      () => (removed += 1),
      () => {},
    );
  }
  return removed;
}

function isAlive(pid: number, started: string): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ESRCH") return false;
  }
  const found = startOf(pid);
  return found === "" || found === started;
}

async function untouchedFor(path: string, ms: number): Promise<boolean> {
  try {
    const found = await stat(path);
    return found.isFile() && Date.now() - found.mtimeMs > ms;
  } catch {
    return false;
  }
}

/** Start of a process in clock ticks since boot; empty where the system does not tell. */
function startOf(pid: number): string {
  // The command's name, in parentheses, may itself hold spaces and parentheses.
  const text = procText(`/proc/${pid}/stat`);
  return text.slice(text.lastIndexOf(")") + 2).split(" ")[19] ?? "";
}

function procText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

function pidNamespace(): string {
  try {
    return readlinkSync("/proc/self/ns/pid");
  } catch {
    return "";
  }
}
