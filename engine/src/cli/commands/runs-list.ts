/** `tenuto runs list` */
import { type RunState, variantOf } from "../../core/model.ts";
import { suggest } from "../../core/names.ts";
import { signOfState, styleOf } from "../board.ts";
import { runDocument } from "../documents.ts";
import { EXIT, usage } from "../failure.ts";
import { count, counted, parseCount, shortStamp, span } from "../figures.ts";
import type { Cli } from "../main.ts";
import { withLedger } from "../project.ts";
import { table } from "../table.ts";

const STATES: readonly RunState[] = ["pending", "running", "waiting", "completed", "failed", "cancelled"];

export interface RunsListOptions {
  state?: string[];
  pipeline?: string;
  limit: string;
  before?: string;
}

export async function runsList(cli: Cli, options: RunsListOptions): Promise<number> {
  const states = (options.state ?? []).flatMap((text) => text.split(",")).map(stateNamed);
  const limit = parseCount(options.limit, "--limit");
  return await withLedger(cli, async ({ client }) => {
    const { out } = cli;
    const runs = await client.runs({
      limit: limit + 1,
      states,
      ...(options.pipeline === undefined ? {} : { pipeline: options.pipeline }),
      ...(options.before === undefined ? {} : { before: (await client.run(options.before)).seq }),
    });
    const more = runs.length > limit;
    const shown = runs.slice(0, limit);
    out.document("runs", { runs: shown.map(runDocument), more });
    if (shown.length === 0)
      out.say(states.length > 0 || options.pipeline !== undefined ? "No such runs." : "No runs yet.");
    else out.data(...tableOfRuns(cli, shown));
    if (more) out.say(`The newest ${counted(limit, "run")} are shown; go on with --before ${shown.at(-1)!.id}`);
    return EXIT.ok;
  });
}

function tableOfRuns(
  cli: Cli,
  runs: Awaited<ReturnType<Parameters<Parameters<typeof withLedger>[1]>[0]["client"]["runs"]>>,
): string[] {
  const now = Date.now();
  return table(
    [
      { title: "RUN", shrink: true },
      { title: "PIPELINE", shrink: true },
      { title: "STATE" },
      { title: "JOBS", align: "right" },
      { title: "STARTED (UTC)" },
      { title: "TOOK", align: "right" },
    ],
    runs.map((run) => [
      run.id,
      variantOf(run).dryRun === true ? `${run.pipeline} (dry run)` : run.pipeline,
      { text: `${signOfState(run.state, cli.out.signs)} ${run.state}`, style: styleOf(run.state) },
      `${count(run.jobCount - run.openJobs)}/${count(run.jobCount)}`,
      shortStamp(run.createdAt),
      span(run.createdAt, run.endedAt, now),
    ]),
    cli.out.paint,
    cli.out.width,
  );
}

function stateNamed(text: string): RunState {
  const state = STATES.find((known) => known === text.trim());
  if (state !== undefined) return state;
  throw usage(`--state ${JSON.stringify(text)} is no state of a run`, suggest(text, STATES, "state"));
}
