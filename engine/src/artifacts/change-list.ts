/**
 * What a job changed in a folder, stored file by file with a list of everything: `changes.json`.
 *
 * Owner: artifacts. Invariant: whatever changed is in the list, stored or not; what is not stored stands there with the reason.
 */
import { type ArtifactPart, type ArtifactType, type FoundArtifact, ignoreRule, mediaTypeOf } from "../core/artifact.ts";
import type { Json } from "../core/model.ts";
import type { ArtifactStore } from "../ports/artifact-store.ts";
import { type FileFacts, type LeaveOut, openFound, piecesOf } from "./scan.ts";

export const MAX_FILES = 1_000;
export const MAX_FILE_BYTES = 256 * 1024 * 1024;

/** Never part of what a job made, wherever it lies. */
export const ALWAYS_IGNORED = [".git", "node_modules/", "__pycache__/", ".venv/", ".tenuto/"] as const;
/** The engine's own folder at the top of a workspace. */
export const INPUTS = "inputs";

/** A test of paths for what a part leaves out: what nobody wants, what its spec names, and these folders at the top. */
export function leftOut(part: ArtifactPart, folders: readonly string[]): LeaveOut {
  const rules = [...ALWAYS_IGNORED, ...(part.ignore ?? [])].map(ignoreRule);
  const own = new Set(folders);
  return (path, isFolder) => (isFolder && own.has(path)) || rules.some((rule) => rule(path, isFolder));
}

export interface ChangedFile extends FileFacts {
  change: "added" | "modified";
}

export interface Changes {
  files: ChangedFile[];
  links: { path: string; target: string; change: "added" | "modified" }[];
  deleted: string[];
  skipped: { path: string; reason: string }[];
}

export interface Stored {
  artifacts: FoundArtifact[];
  skipped: { path: string; reason: string }[];
  /** What the list says. */
  list: { [key: string]: Json };
}

/** Stores the changed files, up to the bounds of the part. */
export async function storeChanges(
  store: ArtifactStore,
  folder: string,
  part: ArtifactPart,
  changes: Changes,
): Promise<Stored> {
  const type: ArtifactType = part.type ?? "file";
  const artifacts: FoundArtifact[] = [];
  const skipped = [...changes.skipped];
  const listed: { [change: string]: Json[] } = { added: [], modified: [] };
  const maxFiles = part.maxFiles ?? MAX_FILES;
  const maxBytes = part.maxBytes ?? MAX_FILE_BYTES;
  for (const file of changes.files) {
    const entry: { [key: string]: Json } = { path: file.path, bytes: file.size };
    listed[file.change]!.push(entry);
    const reason =
      artifacts.length >= maxFiles
        ? `more than ${maxFiles} files changed`
        : file.size > maxBytes
          ? `it has ${file.size} bytes, more than ${maxBytes}`
          : null;
    const stored = reason === null ? await storeFile(store, folder, file) : null;
    if (stored === null) {
      skipped.push({ path: file.path, reason: reason ?? "it changed while it was read" });
      continue;
    }
    entry.sha256 = stored.sha256;
    artifacts.push({ name: file.path, type, mediaType: mediaTypeOf(file.path), ...stored });
  }
  for (const { path, target, change } of changes.links) listed[change]!.push({ path, link: target });
  const list = { ...listed, deleted: changes.deleted, skipped: skipped.map((entry) => ({ ...entry })) };
  return { artifacts, skipped, list };
}

async function storeFile(store: ArtifactStore, folder: string, file: FileFacts) {
  const handle = await openFound(folder, file);
  if (handle === null) return null;
  try {
    const { sha256, bytes } = await store.put(piecesOf(handle));
    return { sha256, bytes };
  } finally {
    await handle.close();
  }
}
