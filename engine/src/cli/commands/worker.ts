/** `tenuto worker`: works on whatever is started in this ledger, here or elsewhere, until it is stopped. */
import { stopWorking } from "../attend.ts";
import { EXIT } from "../failure.ts";
import { counted, parseCount, parseDuration } from "../figures.ts";
import { Interrupts } from "../interrupt.ts";
import type { Cli } from "../main.ts";
import { addSources, openForWork, openRuns } from "../open-runs.ts";
import { shownDatabase } from "../project.ts";
import { endWithStray, watchStrays } from "../strays.ts";

export interface WorkerOptions {
  pipeline?: string[];
  concurrency?: string;
  drain?: string;
  agents?: string[];
}

export async function worker(cli: Cli, options: WorkerOptions): Promise<number> {
  const { out } = cli;
  const drainMs = options.drain === undefined ? 30_000 : parseDuration(options.drain, "--drain");
  const place = await openForWork(
    cli,
    {
      ...(options.pipeline === undefined ? {} : { pipeline: options.pipeline }),
      ...(options.concurrency === undefined ? {} : { concurrency: parseCount(options.concurrency, "--concurrency") }),
      ...(options.agents === undefined ? {} : { takes: matcher(options.agents) }),
    },
    false,
  );
  const { tenuto, project } = place;
  const interrupts = new Interrupts(cli.io);
  const strays = watchStrays(cli, tenuto);
  try {
    const open = await openRuns(tenuto);
    await addSources(place, open);
    const { definitions, parts } = tenuto.engine;
    await tenuto.work();
    out.say(
      `Working on ${shownDatabase(cli, project.database)} with ${counted(definitions.list().length, "pipeline")} and ${counted(definitions.agentNames().length, "agent")}; ${counted(open.length, "run")} open. Ctrl-C stops.`,
    );
    if (definitions.list().length === 0)
      out.tell("No pipeline is known here, so only plain commands are worked on: list them in tenuto.config.mts.");
    const off = parts.ledger.onCommit((hints) => {
      for (const run of hints.endedRuns) out.say(`Run ${run.id} ${run.state}`);
    });
    const signal = await Promise.race([interrupts.first, strays.found]);
    off();
    if (typeof signal === "object") return await endWithStray(cli, tenuto, signal);
    await stopWorking(cli, tenuto, { drainMs, interrupts });
    return EXIT[signal];
  } finally {
    interrupts.stop();
    strays.stop();
    await tenuto.close();
  }
}

/** Names, and `layer/*` for all agents of a layer; declared versions are left out of the comparison. */
function matcher(patterns: readonly string[]): (agent: string) => boolean {
  const tests = patterns
    .flatMap((text) => text.split(","))
    .map((pattern) => {
      const parts = pattern
        .trim()
        .split("*")
        .map((part) => part.replaceAll(/[.+?^${}()|[\]\\]/g, "\\$&"));
      return new RegExp(`^${parts.join(".*")}$`);
    });
  return (agent) => tests.some((test) => test.test(agent.replace(/@.*$/, "")));
}
