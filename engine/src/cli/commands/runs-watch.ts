/** `tenuto runs watch`: follows a run that somebody else works on. */
import { isRunEnd } from "../../core/model.ts";
import { attend, exitCodeOfRuns } from "../attend.ts";
import type { Cli } from "../main.ts";
import { withLedger } from "../project.ts";
import { tellEnd } from "../summary.ts";
import { timedOut } from "./run.ts";

export async function runsWatch(cli: Cli, id: string, options: { timeout?: string }): Promise<number> {
  return await withLedger(cli, async (tenuto) => {
    const run = await tenuto.client.run(id);
    if (!isRunEnd(run.state)) {
      const { ledger, probe } = tenuto.engine.parts;
      const workers = (await ledger.boots("alive")).filter((boot) => probe.alive(boot) !== false);
      if (workers.length === 0) cli.out.say(`Nobody works on it at present. Go on with: tenuto resume ${run.id}`);
      const attended = await attend(cli, tenuto, [run], { ...options, work: false });
      if (attended.kind === "stopped") return attended.code;
      if (attended.kind === "timeout") throw timedOut(run.id);
    }
    return exitCodeOfRuns([await tellEnd(cli, tenuto, run.id)]);
  });
}
