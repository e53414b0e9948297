/** `tenuto runs rollback`: undoes what a run did, job by job in the reverse order of completion, by a run of its own. */
import { runDocument } from "../documents.ts";
import { EXIT } from "../failure.ts";
import { counted } from "../figures.ts";
import type { Cli } from "../main.ts";
import { addSources, openForWork } from "../open-runs.ts";
import { inheritSource } from "../sources.ts";
import { goOnWith, type ResumeOptions, workOptions } from "./resume.ts";

export async function runsRollback(cli: Cli, id: string, options: ResumeOptions): Promise<number> {
  const place = await openForWork(cli, workOptions(options));
  try {
    const { client } = place.tenuto;
    const run = await client.run(id);
    await addSources(place, [run]);
    const rollback = await client.rollback(run.id);
    const undoing = await client.run(rollback.id);
    // Resume and retry of the rollback find the code where the origin's was.
    inheritSource(place.project.home, run.version, undoing.version);
    cli.out.say(
      `Run ${undoing.id} rolls back run ${run.id}: ${counted(rollback.order.length, "job")} to undo, in this order: ${rollback.order.join(", ")}`,
    );
    if (rollback.left.length > 0)
      cli.out.tell(
        `${cli.out.paintTalk("yellow", "warning:")} ${rollback.left.join(", ")} did not complete: whatever ${rollback.left.length === 1 ? "it" : "they"} did before that is not undone`,
      );
    if (options.detach === true) {
      cli.out.data(undoing.id);
      cli.out.document("run", { run: runDocument(undoing), order: rollback.order, left: rollback.left });
      return EXIT.ok;
    }
    return await goOnWith(cli, place, undoing, options);
  } finally {
    await place.tenuto.close();
  }
}
