/**
 * Where a job works, and at which commit its run's branch begins: by the marks that earlier jobs have left as artifacts.
 *
 * Invariants:
 * 1. In a rerun the first jobs are answered from another run, and so is the place of the worktree; it is never used, since
 *    that run may still need it, or another rerun of it may.
 * 2. The branch of a rerun begins at what the jobs before it have committed, and at nothing that came after them.
 */
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { z } from "zod";
import { branchOf, readTip } from "./git.ts";
import type { Job } from "./socket.ts";
import type { AttemptContext } from "./task.ts";

/** Name under which a job says where it worked. */
const PLACE_ARTIFACT = "worktree.json";

const MARK = z.object({ run: z.string(), path: z.string(), branch: z.string(), commit: z.string() });

export interface Place {
  path: string;
  /** Where the branch of the run begins if it is not there yet; nothing: at HEAD. */
  from: string[];
}

export interface PlaceQuery {
  /** As the job's input says. */
  worktree: string;
  runId: string;
  jobId: string;
  /** The job's own folder. */
  workspace: string;
  context: AttemptContext;
  /** Others work there at the same time: the whole branch counts, not only what the jobs before have done. */
  shared: boolean;
}

export function placeOf({ worktree, runId, jobId, workspace, context, shared }: PlaceQuery): Place {
  const marks = context.artifacts
    .filter((artifact) => artifact.name === PLACE_ARTIFACT)
    .flatMap((artifact) => MARK.safeParse(JSON.parse(readFileSync(artifact.path, "utf8"))).data ?? []);
  const others = marks.filter((mark) => mark.run !== runId);
  if (!others.some((mark) => mark.path === worktree)) return { path: worktree, from: [] };
  const root = workspace.endsWith(`/${jobId}`) ? workspace.slice(0, -jobId.length - 1) : dirname(workspace);
  const from = others.map((mark) => mark.commit);
  return {
    path: join(root, "workspace", "tree"),
    from: shared ? [...from, ...others.map((mark) => mark.branch)] : from,
  };
}

/** Says for jobs after this one, also in reruns, where it worked and what is done. */
export async function leavePlace(job: Job, runId: string, tree: string): Promise<void> {
  const mark = { run: runId, path: tree, branch: branchOf(runId), commit: await readTip(tree) };
  await job.artifact(PLACE_ARTIFACT, "file", { text: JSON.stringify(mark) }, "application/json");
}
