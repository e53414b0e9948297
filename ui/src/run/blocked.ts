/**
 * What could not run because of a job: whatever was skipped for it, for its stage, or for something that was skipped for it.
 *
 * Invariant: only reasons that are stored with the skipped jobs count, so that nothing is named that ran, or had another cause.
 */
import type { GraphNode, Job, RunGraph } from "../api/client.ts";

/** The job or the stage that a skipped job names as its reason. */
function causeOf({ state, reason }: GraphNode): { job: string } | { stage: string } | null {
  if (state !== "skipped" || reason === null) return null;
  const at = reason.indexOf(":");
  const [word, subject] = [reason.slice(0, at), reason.slice(at + 1)];
  if (word.startsWith("dependency_")) return { job: subject };
  return word === "stage_failed" ? { stage: subject } : null;
}

export function blockedBy(graph: RunGraph, job: Job): string[] {
  const skipped = graph.nodes.map((node) => ({ node, cause: causeOf(node) })).filter(({ cause }) => cause !== null);
  const jobs = new Set([job.id]);
  const stages = new Set([job.stage]);
  for (let before = 0; before !== jobs.size; ) {
    before = jobs.size;
    for (const { node, cause } of skipped) {
      const follows = cause !== null && ("job" in cause ? jobs.has(cause.job) : stages.has(cause.stage));
      if (!follows) continue;
      jobs.add(node.id);
      stages.add(graph.stages[node.stage]?.name ?? "");
    }
  }
  jobs.delete(job.id);
  return [...jobs];
}
