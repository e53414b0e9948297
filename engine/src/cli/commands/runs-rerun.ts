/**
 * `tenuto runs rerun`: a new run of the same pipeline with the same params, but for those that are given anew. With `--from`,
 * jobs that the change does not touch are answered from the run that it comes from.
 */
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { TenutoError } from "../../core/errors.ts";
import { type Json, variantOf } from "../../core/model.ts";
import { usage } from "../failure.ts";
import type { Cli } from "../main.ts";
import { loadProject, withLedger } from "../project.ts";
import { recallSource } from "../sources.ts";
import { type RunOptions, runPipeline } from "./run.ts";

export interface RerunOptions extends RunOptions {
  from?: string;
  input?: string;
}

export async function runsRerun(cli: Cli, id: string, options: RerunOptions): Promise<number> {
  const { from, input: given, ...rest } = options;
  if (given !== undefined && from === undefined)
    throw usage("--input needs --from", "Say which job gets it: --from JOB --input JSON.", "invalid_input");
  const { run, home } = await withLedger(cli, async ({ client }, place) => ({
    run: await client.run(id),
    home: place.home,
  }));
  const named = (await loadProject(cli)).pipelines.some((pipeline) => pipeline.document.name === run.pipeline);
  const source = named ? null : recallSource(home, run.version);
  const pipeline = source === null ? run.pipeline : `${source.file}#${run.pipeline}`;
  const rerun = {
    run: run.id,
    ...(from === undefined ? {} : { from }),
    ...(given === undefined ? {} : { input: inputOf(cli, given) }),
  };
  const excludeJob = [...(options.excludeJob ?? []), ...(variantOf(run).excluded ?? [])];
  return await runPipeline(
    cli,
    pipeline,
    { ...rest, excludeJob, rerun },
    JSON.parse(run.params) as Record<string, Json>,
  );
}

/** JSON, or `@FILE` with JSON in it. */
function inputOf(cli: Cli, given: string): Json {
  const file = given.startsWith("@") ? given.slice(1) : null;
  let text: string;
  try {
    text = file === null ? given : readFileSync(resolve(cli.io.cwd, file), "utf8");
  } catch (error) {
    throw new TenutoError("not_found", `${file} can't be read: ${(error as Error).message}`, {
      hint: "Give --input JSON, or --input @FILE.",
      cause: error,
    });
  }
  try {
    return JSON.parse(text) as Json;
  } catch (error) {
    throw usage(
      `--input is no JSON: ${(error as Error).message.split("\n")[0]}`,
      `A text needs its quotes: --input '"text"'. A file: --input @FILE.`,
      "invalid_input",
    );
  }
}
