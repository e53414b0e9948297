/**
 * What a developer changed, as artifacts: each file under its path, `changes.patch`, and `changes.json`, the list of all.
 *
 * Invariant: whatever changed is in the list; what is no artifact stands there with the reason. The patch holds everything.
 */
import { lstat } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Json } from "tenuto";
import type { Desk } from "./desk.ts";
import { filesOf, writePatch } from "./git.ts";
import { SocketError } from "./socket.ts";

const MAX_FILES = 1_000;
const MAX_FILE_BYTES = 256 * 1024 * 1024;

export async function leaveChanges({ task, job, record }: Desk, commit: string): Promise<void> {
  const listed: { [change: string]: string[] } = { added: [], changed: [], deleted: [] };
  const skipped: { path: string; reason: string }[] = [];
  let stored = 0;
  for (const { path, change } of await filesOf(task.worktree, commit)) {
    listed[change]!.push(path);
    if (change === "deleted") continue;
    const reason = stored >= MAX_FILES ? `more than ${MAX_FILES} files` : await whyNot(join(task.worktree, path));
    const refused = reason ?? (await store(job, path, join(task.worktree, path)));
    if (refused === null) stored += 1;
    else skipped.push({ path, reason: refused });
  }
  const patch = join(dirname(record.path), "changes.patch");
  await writePatch(task.worktree, commit, patch);
  await job.artifact("changes.patch", "file", { path: patch }, "text/x-patch");
  const list = JSON.stringify({ commit, ...listed, skipped } satisfies { [key: string]: Json }, null, 2);
  await job.artifact("changes.json", "file", { text: list }, "application/json");
  if (skipped.length > 0)
    await job.log("WARNING", `${skipped.length} changed files are no artifacts; changes.json says why`);
}

async function whyNot(place: string): Promise<string | null> {
  const facts = await lstat(place).catch(() => null);
  if (facts === null) return "it is not there any more";
  if (!facts.isFile()) return facts.isSymbolicLink() ? "a symbolic link" : "no file";
  return facts.size > MAX_FILE_BYTES ? `more than ${MAX_FILE_BYTES} bytes` : null;
}

/** Names that the store refuses are no reason to lose the work. */
async function store(job: Desk["job"], name: string, path: string): Promise<string | null> {
  try {
    await job.artifact(name, "file", { path }, "application/octet-stream");
    return null;
  } catch (error) {
    if (error instanceof SocketError && error.status === 400) return error.message;
    throw error;
  }
}
