/**
 * `tenuto runs cancel`: asks for the cancel and sees it through.
 *
 * Jobs that a live worker holds are ended by that worker. What a dead one left behind is ended here: an engine that claims
 * nothing takes over from dead workers and verifies that none of their processes is left.
 */
import { attend } from "../attend.ts";
import { runDocument } from "../documents.ts";
import { EXIT } from "../failure.ts";
import type { Cli } from "../main.ts";
import { findPlace, openPlace } from "../project.ts";

export async function runsCancel(
  cli: Cli,
  id: string,
  options: { reason?: string; detach?: boolean },
): Promise<number> {
  const tenuto = await openPlace(await findPlace(cli), cli, { takes: () => false, soon: true });
  try {
    const run = await tenuto.client.run(id);
    const fresh = await tenuto.client.cancel(run.id, options.reason);
    cli.out.say(fresh ? `Run ${run.id} is being cancelled.` : `The cancel of run ${run.id} was asked for before.`);
    if (options.detach !== true) {
      const attended = await attend(cli, tenuto, [run], { work: true, drain: "0s" });
      if (attended.kind === "stopped") return attended.code;
    }
    const after = await tenuto.client.run(run.id);
    cli.out.data(`${after.id}  ${after.endedAt === null ? "cancelling" : after.state}`);
    cli.out.document("run", { run: runDocument(after) });
    return EXIT.ok;
  } finally {
    await tenuto.close();
  }
}
