/**
 * What a job leaves behind in its workspace, and what it finds there: baselines at its start, strategies at its end, links to
 * the artifacts that it is offered.
 *
 * Owner: artifacts. Invariants:
 * 1. A baseline belongs to the job, not to the attempt: it is taken once, before the first attempt's work, and outlives a
 *    crash. It lies beside the workspaces, where the job has no business.
 * 2. `inputs/` is the engine's: it is made anew for each attempt. What lies there was verified when it was put there, and is
 *    never the store's own bytes where a careless program could write to them, unless it is large.
 * 3. Names within one collection are unique.
 */
import { createHash } from "node:crypto";
import { constants } from "node:fs";
import { chmod, copyFile, link, mkdir, open, readFile, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { type ArtifactPart, type FoundArtifact, inputPath } from "../core/artifact.ts";
import { TenutoError } from "../core/errors.ts";
import type { ArtifactStore } from "../ports/artifact-store.ts";
import type { Baseline, Collected, InputLink, WorkspaceJob, Workspaces } from "../ports/artifacts.ts";
import { type Changes, INPUTS, storeChanges } from "./change-list.ts";
import { type FilesBaseline, filesChanges, takeFilesBaseline } from "./files-strategy.ts";
import { type GitBaseline, gitChanges, takeGitBaseline } from "./git-strategy.ts";
import { StdoutTail } from "./stdout-tail.ts";

const STDOUT_BYTES = 16 * 1024 * 1024;
/** Larger inputs are hard links, read-only by agreement; smaller ones copies. */
const COPY_BYTES = 16 * 1024 * 1024;

type Part = ArtifactPart & { folder: string };

/** Workspaces whose baselines lie below `root`, one folder per run. */
export function workspacesIn(root: string, store: ArtifactStore): Workspaces {
  return {
    begin: async (job, parts) => {
      const own = join(root, job.run, nameOf(job.job));
      const memories: Memory[] = [];
      for (const [at, part] of parts.entries()) memories.push(await remember(part, `${own}.${at}`, job));
      await mkdir(dirname(own), { recursive: true, mode: 0o700 });
      return new JobBaseline(store, job, memories, `${own}.stdout`);
    },
    link: (workspace, inputs) => linkInputs(store, workspace, inputs),
  };
}

function nameOf(job: string): string {
  const safe = job.replaceAll(/[^A-Za-z0-9._-]/g, "-").slice(0, 60);
  return `${safe}-${createHash("sha256").update(job).digest("hex").slice(0, 12)}`;
}

type Memory =
  | { part: Part; strategy: "files"; baseline: FilesBaseline }
  | { part: Part; strategy: "git_diff"; baseline: GitBaseline; own: string }
  | { part: Part; strategy: "stdout_final" };

async function remember(part: Part, own: string, job: WorkspaceJob): Promise<Memory> {
  switch (part.strategy) {
    case "stdout_final":
      return { part, strategy: "stdout_final" };
    case "files": {
      const baseline = await once(`${own}.json`, part.folder, () =>
        takeFilesBaseline(part.folder, part, engineFolders(part, job, [])),
      );
      return { part, strategy: "files", baseline };
    }
    case "git_diff": {
      const place = { folder: part.folder, own: `${own}.git`, leaveOut: engineFolders(part, job, []) };
      const baseline = await once(`${own}.json`, part.folder, () => takeGitBaseline(place, part));
      return { part, strategy: "git_diff", baseline, own: place.own };
    }
  }
}

/** In its own workspace a job does not answer for its inputs, nor for the workspaces of its children, which lie inside. */
function engineFolders(part: Part, job: WorkspaceJob, children: readonly string[]): string[] {
  return part.folder === job.workspace ? [INPUTS, ...children] : [];
}

/** Reads what an earlier attempt has written, or makes and writes it. Another folder is another baseline. */
async function once<T>(path: string, folder: string, make: () => Promise<T>): Promise<T> {
  const known = await readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return null;
    throw error;
  });
  if (known !== null) {
    const kept = JSON.parse(known) as { folder: string; baseline: T };
    if (kept.folder === folder) return kept.baseline;
  }
  const baseline = await make();
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const handle = await open(`${path}.part`, "w", 0o600);
  try {
    await handle.writeFile(JSON.stringify({ folder, baseline }));
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(`${path}.part`, path);
  return baseline;
}

class JobBaseline implements Baseline {
  readonly #store: ArtifactStore;
  readonly #job: WorkspaceJob;
  readonly #memories: readonly Memory[];
  readonly #tail: StdoutTail | null;

  constructor(store: ArtifactStore, job: WorkspaceJob, memories: readonly Memory[], tailPath: string) {
    this.#store = store;
    this.#job = job;
    this.#memories = memories;
    const stdout = memories.filter((memory) => memory.strategy === "stdout_final");
    const cap = Math.max(...stdout.map(({ part }) => part.maxBytes ?? STDOUT_BYTES));
    this.#tail = stdout.length === 0 ? null : new StdoutTail(tailPath, cap);
  }

  beginStdout(): void {
    this.#tail?.begin();
  }

  stdout(chunk: Uint8Array): void {
    this.#tail?.write(chunk);
  }

  close(): void {
    this.#tail?.close();
  }

  async collect(output: string | null, leaveOut: readonly string[]): Promise<Collected> {
    const names = new Names();
    const all: Collected = { artifacts: [], skipped: [] };
    for (const memory of this.#memories) {
      const found = await this.#found(memory, output, leaveOut);
      for (const artifact of found.artifacts) names.add(all.artifacts, artifact);
      all.skipped.push(...found.skipped);
    }
    return all;
  }

  async #found(memory: Memory, output: string | null, leaveOut: readonly string[]): Promise<Collected> {
    const { part } = memory;
    switch (memory.strategy) {
      case "stdout_final":
        return { artifacts: await this.#finalOutput(part, output), skipped: [] };
      case "files": {
        const folders = engineFolders(part, this.#job, leaveOut);
        const changes = await filesChanges(part.folder, part, memory.baseline, folders);
        return await this.#changed(part, changes, {}, null);
      }
      case "git_diff": {
        const place = { folder: part.folder, own: memory.own, leaveOut: engineFolders(part, this.#job, leaveOut) };
        const { changes, head, patch } = await gitChanges(place, part, memory.baseline);
        return await this.#changed(part, changes, { head: { start: memory.baseline.head, end: head } }, patch);
      }
    }
  }

  async #changed(
    part: Part,
    changes: Changes,
    more: { [key: string]: unknown },
    patch: (() => AsyncIterable<Uint8Array>) | null,
  ): Promise<Collected> {
    const { artifacts, skipped, list } = await storeChanges(this.#store, part.folder, part, changes);
    const changed = changes.files.length + changes.links.length + changes.deleted.length > 0;
    if (patch !== null && changed)
      artifacts.push({
        name: "changes.patch",
        type: "file",
        mediaType: "text/x-diff",
        ...(await this.#store.put(patch())),
      });
    const text = `${JSON.stringify({ strategy: part.strategy, ...more, ...list }, null, 2)}\n`;
    const stored = await this.#store.put(Buffer.from(text));
    artifacts.push({ name: "changes.json", type: "file", mediaType: "application/json", ...stored });
    return { artifacts, skipped };
  }

  async #finalOutput(part: Part, output: string | null): Promise<FoundArtifact[]> {
    const tail = this.#tail;
    const text = output === null ? null : finalText(output);
    if ((tail === null || tail.bytes === 0) && text === null) return [];
    const stored = await this.#store.put(tail !== null && tail.bytes > 0 ? tail.content() : Buffer.from(text ?? ""));
    return [{ name: "final_output.txt", type: part.type ?? "model_output", mediaType: "text/plain", ...stored }];
  }
}

/** A text as it is, anything else as JSON for people. */
function finalText(output: string): string {
  const value = JSON.parse(output) as unknown;
  return typeof value === "string" ? value : `${JSON.stringify(value, null, 2)}\n`;
}

/** Two parts may find the same name: the same bytes are one artifact, others get a number. */
class Names {
  readonly #taken = new Map<string, string>();

  add(list: FoundArtifact[], artifact: FoundArtifact): void {
    for (let number = 1; ; number++) {
      const name = number === 1 ? artifact.name : numbered(artifact.name, number);
      const known = this.#taken.get(name);
      if (known === artifact.sha256) return;
      if (known !== undefined) continue;
      this.#taken.set(name, artifact.sha256);
      list.push({ ...artifact, name });
      return;
    }
  }
}

function numbered(name: string, number: number): string {
  const [, stem = name, ending = ""] = /^(.*?)(\.[^./]*)?$/s.exec(name) ?? [];
  return `${stem}~${number}${ending}`;
}

async function linkInputs(store: ArtifactStore, workspace: string, inputs: readonly InputLink[]): Promise<string[]> {
  const root = join(workspace, INPUTS);
  await rm(root, { recursive: true, force: true });
  const taken = new Map<string, "file" | "folder">();
  const paths: string[] = [];
  for (const { job, name, sha256, bytes } of inputs) {
    const path = join(root, inputPath(job, name, sha256, taken));
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    // Reads nothing, but hashes the object unless that has been done in this process.
    await store.read(sha256, { start: 0, end: 0 });
    await place(await store.localPath(sha256), path, bytes);
    paths.push(path);
  }
  return paths;
}

async function place(from: string, to: string, bytes: number): Promise<void> {
  try {
    if (bytes > COPY_BYTES && (await linked(from, to))) return;
    await copyFile(from, to, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
    await chmod(to, 0o444);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== "ENOSPC") throw cause;
    throw new TenutoError("disk_full", `no space is left to hand over an input as ${to}`, {
      hint: "Free space there, then retry the run.",
      category: "critical",
      cause,
    });
  }
}

async function linked(from: string, to: string): Promise<boolean> {
  try {
    await link(from, to);
    return true;
  } catch {
    // Another file system, or one without hard links.
    return false;
  }
}
