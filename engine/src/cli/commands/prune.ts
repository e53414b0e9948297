/** `tenuto prune`: removes runs that ended long ago, with their logs and workspaces, and then the objects that nobody uses any more. */
import { isRunEnd } from "../../core/model.ts";
import type { Tenuto } from "../../open.ts";
import { removeRunFiles } from "../../open.ts";
import { collectGarbage } from "../../runtime/garbage.ts";
import { EXIT } from "../failure.ts";
import { bytes, count, counted, parseDuration, shortStamp } from "../figures.ts";
import type { Cli } from "../main.ts";
import { findPlace, withLedger } from "../project.ts";

const BATCH = 100;
const PAGE = 1_000;

export async function prune(cli: Cli, options: { olderThan: string; dryRun?: boolean }): Promise<number> {
  const ageMs = parseDuration(options.olderThan, "--older-than");
  // What removes must know the right place.
  await findPlace(cli);
  return await withLedger(cli, async (tenuto) => {
    const { out } = cli;
    const before = Date.now() - ageMs;
    if (options.dryRun === true) {
      const runs = await endedBefore(tenuto, before);
      out.document("pruning", {
        dryRun: true,
        before: new Date(before).toISOString(),
        runs: runs.map((run) => run.id),
      });
      const unused = await collectGarbage(tenuto.engine.parts, { dryRun: true });
      for (const run of runs) out.data(`${run.id}  ${run.state}  ended ${shortStamp(run.endedAt!)}`);
      out.say(
        `${counted(runs.length, "run")} would be removed, and with them what only they use; ${counted(unused.objects, "object")} with ${bytes(unused.bytes)} are unused already. Nothing was changed.`,
      );
      return EXIT.ok;
    }
    const { ledger } = tenuto.engine.parts;
    const sum = { runs: 0, jobs: 0, items: 0 };
    for (;;) {
      const pruned = await ledger.prune(before, BATCH);
      await removeRunFiles(tenuto.home, tenuto.engine.parts.logs, pruned.ids);
      sum.runs += pruned.runs;
      sum.jobs += pruned.jobs;
      sum.items += pruned.items;
      if (pruned.runs < BATCH) break;
    }
    const { objects, bytes: size } = await collectGarbage(tenuto.engine.parts);
    const when = new Date(before).toISOString();
    out.document("pruning", { dryRun: false, before: when, ...sum, objects, bytes: size });
    out.data(
      `removed ${counted(sum.runs, "run")} with ${counted(sum.jobs, "job")} and ${count(sum.items)} item rows, and ${counted(objects, "unused object")} with ${bytes(size)}`,
    );
    return EXIT.ok;
  });
}

async function endedBefore(tenuto: Tenuto, before: number) {
  const found: Awaited<ReturnType<Tenuto["client"]["runs"]>> = [];
  for (let from: number | undefined; ; ) {
    const page = await tenuto.client.runs({
      states: ["completed", "failed", "cancelled"],
      limit: PAGE,
      ...(from === undefined ? {} : { before: from }),
    });
    found.push(...page.filter((run) => isRunEnd(run.state) && run.endedAt! < before));
    if (page.length < PAGE) return found;
    from = page.at(-1)!.seq;
  }
}
