/**
 * The strategy `files`: what is new, changed or gone in a folder since the job's first attempt began.
 *
 * Owner: artifacts. Invariants:
 * 1. The baseline is hashes, not times: a file that was touched but not changed is no artifact.
 * 2. A file whose identity (inode, size, both times) is as it was is not read again.
 */
import type { ArtifactPart } from "../core/artifact.ts";
import { TenutoError } from "../core/errors.ts";
import type { Changes } from "./change-list.ts";
import { leftOut } from "./change-list.ts";
import { hashFound, scan } from "./scan.ts";

/** More than this is not hashed at the start of a job. */
const MAX_BASELINE_BYTES = 4 * 1024 ** 3;

export interface FilesBaseline {
  /** Identity and hash by path. */
  files: { [path: string]: [identity: string, sha256: string] };
  links: { [path: string]: string };
}

export async function takeFilesBaseline(
  folder: string,
  part: ArtifactPart,
  folders: readonly string[],
): Promise<FilesBaseline> {
  const found = await scan(folder, leftOut(part, folders));
  const bytes = found.files.reduce((sum, file) => sum + file.size, 0);
  if (bytes > MAX_BASELINE_BYTES)
    throw new TenutoError("invalid_input", `${folder} holds ${bytes} bytes when the job starts, too many to compare`, {
      hint: "Leave folders out with artifacts.ignore, use the strategy git_diff, or give the job a workspace of its own.",
      details: { folder, bytes, limit: MAX_BASELINE_BYTES },
    });
  const files: [string, [string, string]][] = [];
  for (const file of found.files) files.push([file.path, [file.identity, (await hashFound(folder, file)) ?? ""]]);
  return {
    files: Object.fromEntries(files),
    links: Object.fromEntries(found.links.map(({ path, target }) => [path, target])),
  };
}

export async function filesChanges(
  folder: string,
  part: ArtifactPart,
  baseline: FilesBaseline,
  folders: readonly string[],
): Promise<Changes> {
  const leaveOut = leftOut(part, folders);
  const found = await scan(folder, leaveOut);
  const changes: Changes = { files: [], links: [], deleted: [], skipped: found.others };
  const present = new Set<string>();
  for (const file of found.files) {
    present.add(file.path);
    const before = own(baseline.files, file.path);
    if (before === undefined) changes.files.push({ ...file, change: changeOf(baseline, file.path) });
    else if (before[0] !== file.identity && (await hashFound(folder, file)) !== before[1])
      changes.files.push({ ...file, change: "modified" });
  }
  for (const link of found.links) {
    present.add(link.path);
    if (own(baseline.links, link.path) !== link.target)
      changes.links.push({ ...link, change: changeOf(baseline, link.path) });
  }
  const known = [...Object.keys(baseline.files), ...Object.keys(baseline.links)];
  changes.deleted = known.filter((path) => !present.has(path) && !leaveOut(path, false)).sort();
  return changes;
}

/** A link in the place of a file is a change of that path. */
function changeOf(baseline: FilesBaseline, path: string): "added" | "modified" {
  return own(baseline.files, path) === undefined && own(baseline.links, path) === undefined ? "added" : "modified";
}

function own<T>(map: { [key: string]: T }, key: string): T | undefined {
  return Object.hasOwn(map, key) ? map[key] : undefined;
}
