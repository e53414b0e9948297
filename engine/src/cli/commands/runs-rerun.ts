/** `tenuto runs rerun`: a new run of the same pipeline with the same params, but for those that are given anew. */
import type { Json } from "../../core/model.ts";
import type { Cli } from "../main.ts";
import { loadProject, withLedger } from "../project.ts";
import { recallSource } from "../sources.ts";
import { type RunOptions, runPipeline } from "./run.ts";

export async function runsRerun(cli: Cli, id: string, options: RunOptions): Promise<number> {
  const { run, home } = await withLedger(cli, async ({ client }, place) => ({
    run: await client.run(id),
    home: place.home,
  }));
  const named = (await loadProject(cli)).pipelines.some((pipeline) => pipeline.document.name === run.pipeline);
  const source = named ? null : recallSource(home, run.version);
  const pipeline = source === null ? run.pipeline : `${source.file}#${run.pipeline}`;
  return await runPipeline(cli, pipeline, options, JSON.parse(run.params) as Record<string, Json>);
}
