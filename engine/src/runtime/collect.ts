/**
 * What a job leaves behind: the baseline before its work, the strategies of its spec after it, as effects for the commit with
 * which the work ends.
 *
 * Invariant: bytes are in the store before the effects are handed out, and rows are written with the end of the work or not at
 * all, so that no attempt that fails or crashes registers anything.
 */
import { type ArtifactsSpec, artifactParts } from "../core/artifact.ts";
import type { Effect } from "../core/decision.ts";
import type { StoredError } from "../core/errors.ts";
import { expandText, type Scope } from "../core/placeholders.ts";
import type { Baseline } from "../ports/artifacts.ts";
import type { Execution } from "./execution.ts";
import type { Result } from "./work.ts";

const SKIPPED_SHOWN = 3;

/** Runs the work between baseline and collection; a good result carries the artifacts' effects. */
export async function leavingBehind(
  execution: Execution,
  spec: ArtifactsSpec,
  data: Scope,
  work: () => Promise<Result>,
): Promise<Result> {
  const baseline = await begin(execution, spec, data);
  execution.stdout = { begin: () => baseline.beginStdout(), write: (chunk) => baseline.stdout(chunk) };
  try {
    const result = await work();
    if (result.kind !== "completed" || execution.aborted !== null) return result;
    const effects = await execution.working(() => collected(execution, spec, baseline, result.json));
    return { ...result, effects: [...(result.effects ?? []), ...effects] };
  } finally {
    execution.stdout = null;
    baseline.close();
  }
}

async function begin(execution: Execution, spec: ArtifactsSpec, data: Scope): Promise<Baseline> {
  const { run, job, workspace, resolved } = execution.facts;
  const { parts } = execution;
  const named = artifactParts(spec).map((part) => ({
    ...part,
    folder:
      part.folder === undefined
        ? workspace
        : parts.files.resolve(
            resolved.definition.folder,
            expandText(part.folder, data, `artifacts.folder of job ${job.id}`),
          ),
  }));
  return await parts.workspaces.begin({ run: run.id, job: job.id, workspace }, named);
}

async function collected(
  execution: Execution,
  spec: ArtifactsSpec,
  baseline: Baseline,
  output: string | null,
): Promise<Effect[]> {
  const { run, job, attempt } = execution.facts;
  const { ledger, clock } = execution.parts;
  // Workspaces of children lie inside that of their parent.
  const children = (await ledger.children(job.seq)).map((child) => child.id.slice(job.id.length + 1));
  const { artifacts, skipped } = await baseline.collect(output, children);
  if (skipped.length > 0) {
    const shown = skipped.slice(0, SKIPPED_SHOWN).map(({ path, reason }) => `${path}: ${reason}`);
    execution.log(
      "WARNING",
      `${skipped.length} changed files are no artifacts (${shown.join("; ")}${skipped.length > SKIPPED_SHOWN ? "; …" : ""}); changes.json lists all`,
    );
  }
  const at = clock.now();
  const offered = spec.offer === "none" ? 0 : 1;
  return artifacts.map((found) => ({
    type: "artifact",
    row: { run: run.seq, job: job.seq, attempt, item: -1, offered, at, ...found },
  }));
}

/** What a job that ends as failed leaves to those that depend on its failure. */
export async function errorContext(execution: Execution, spec: ArtifactsSpec, error: StoredError): Promise<Effect[]> {
  const { run, job, attempt } = execution.facts;
  const { store, clock } = execution.parts;
  const { stack: _, ...told } = error;
  const text = JSON.stringify({ job: job.id, attempt, failures: job.failures + 1, error: told }, null, 2);
  try {
    const stored = await store.put(new TextEncoder().encode(`${text}\n`));
    const offered = spec.offer === "none" ? 0 : 1;
    const facts = { name: "error_context.json", type: "error_context", mediaType: "application/json", ...stored };
    return [
      {
        type: "artifact",
        row: { run: run.seq, job: job.seq, attempt, item: -1, offered, at: clock.now(), ...facts },
      },
    ];
  } catch (fault) {
    // The failure itself is in the ledger; that it can't be handed on must not hide it.
    execution.log("WARNING", `the error could not be stored as an artifact: ${(fault as Error).message}`);
    return [];
  }
}
