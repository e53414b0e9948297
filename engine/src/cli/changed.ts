/**
 * Says that a run goes on with the definition that it began with although its file has another by now, and how to take that.
 *
 * Only what is declared counts: changed code of functions is taken as it is.
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
