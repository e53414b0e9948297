/**
 * What a run that goes on does not do: take a definition that has changed since it began, or run again what has completed; and
 * how to have that.
 *
 * Only what is declared counts as a change: code of functions is taken as it is.
 */
import { versionOf } from "../authoring/define.ts";
import type { PipelineDocument } from "../core/document.ts";
import { variantOf } from "../core/model.ts";
import { excludeJobs } from "../core/template.ts";
import type { Tenuto } from "../open.ts";
import type { RunRecord } from "../ports/ledger.ts";
import type { Cli } from "./main.ts";
import { shown } from "./project.ts";

const JOBS_LOOKED_AT = 1_000;

/** A warning where the definition that is known here is not the run's. */
export async function tellChanged(cli: Cli, tenuto: Tenuto, run: RunRecord): Promise<void> {
  const known = tenuto.engine.definitions.named(run.pipeline);
  const { relation, excluded = [] } = variantOf(run);
  if (known === undefined || relation === "rollback" || relation === "import") return;
  if (versionWithout(known.document, excluded) === run.version) return;
  const from = await firstUndone(tenuto, run, known.document);
  const file = "file" in known && typeof known.file === "string" ? ` (${shown(cli, known.file)})` : "";
  cli.out.tell(
    `${cli.out.paintTalk("yellow", "warning:")} pipeline ${run.pipeline} has changed${file} since run ${run.id} began; the run goes on with the definition that it began with`,
    `${cli.out.paintTalk("cyan", "hint:")}    The new one in a new run, with what is done taken over: tenuto runs rerun ${run.id}${from === null ? "" : ` --from ${from}`}`,
  );
}

/** Null where what the run left out can't be left out any more. */
function versionWithout(document: PipelineDocument, jobs: readonly string[]): string | null {
  if (jobs.length === 0) return versionOf(document);
  try {
    return versionOf(excludeJobs(document, { stages: [], jobs: [...jobs] }).document);
  } catch {
    return null;
  }
}

/** The first job that did not complete and that the new definition has as well. */
async function firstUndone(tenuto: Tenuto, run: RunRecord, document: PipelineDocument): Promise<string | null> {
  const there = new Set(document.stages.flatMap((stage) => stage.jobs.map((job) => job.id)));
  const jobs = await tenuto.engine.parts.ledger.jobs(run.seq, { limit: JOBS_LOOKED_AT });
  return jobs.find((job) => job.parent === null && job.state !== "completed" && there.has(job.id))?.id ?? null;
}

const MOST_NAMED = 5;

/** Jobs that ran on what is retried now, and stay as they are. To be asked before the run is reopened. */
export async function ranOnFailure(tenuto: Tenuto, run: RunRecord): Promise<string[]> {
  const { ledger } = tenuto.engine.parts;
  const states = new Map((await ledger.jobs(run.seq, { limit: JOBS_LOOKED_AT })).map((job) => [job.id, job.state]));
  const { plan } = await tenuto.engine.definitions.load(run.version);
  return plan.specs
    .filter((spec) => states.get(spec.id) === "completed")
    .filter((spec) => spec.needs?.some(({ job, on }) => on !== "success" && states.get(job) !== "completed"))
    .map((spec) => spec.id);
}

export function tellStaying(cli: Cli, run: RunRecord, jobs: readonly string[]): void {
  if (jobs.length === 0) return;
  const named = jobs.slice(0, MOST_NAMED).join(", ");
  const rest = jobs.length > MOST_NAMED ? ` and ${jobs.length - MOST_NAMED} more` : "";
  cli.out.tell(
    `${cli.out.paintTalk("yellow", "warning:")} ${named}${rest} ran on how the run went before and completed: what completed is not run again`,
    `${cli.out.paintTalk("cyan", "hint:")}    When the run has ended, anew: tenuto runs rerun ${run.id} --from ${jobs[0]}`,
  );
}
