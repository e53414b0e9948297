/** Results of earlier runs as answers: `cache` of a job. */
import { expandText, type Scope } from "../core/placeholders.ts";
import type { ResolvedJob } from "./definitions.ts";
import type { Parts } from "./parts.ts";
import type { AttemptScope } from "./scope.ts";
import type { Result } from "./work.ts";

export async function reuse(parts: Parts, resolved: ResolvedJob, data: Scope): Promise<Result | null> {
  const { spec, definition } = resolved;
  if (spec.cache === undefined) return null;
  const key = cacheKey(resolved, data);
  const hit = await parts.ledger.cached(definition.document.name, key);
  if (hit === null || parts.clock.now() - hit.at > spec.cache.maxAgeSeconds * 1_000) return null;
  const job = await parts.ledger.job(hit.job);
  const run = job === null ? null : await parts.ledger.run(job.run);
  return {
    kind: "completed",
    json: hit.output,
    reusedFrom: run === null || job === null ? "an earlier run" : `${run.id}/${job.id}`,
  };
}

function cacheKey(resolved: ResolvedJob, data: Scope): string {
  const { spec } = resolved;
  return `${spec.agent}@${resolved.agent?.version ?? ""} ${expandText(spec.cache?.key ?? "", data, "cache.key")}`;
}

export async function remember(
  parts: Parts,
  scope: AttemptScope,
  resolved: ResolvedJob,
  data: Scope,
  output: string,
): Promise<void> {
  const { job } = scope.facts;
  await scope.guarded([
    {
      type: "cachePut",
      pipeline: resolved.definition.document.name,
      key: cacheKey(resolved, data),
      job: job.seq,
      at: parts.clock.now(),
      output,
    },
  ]);
}
