/**
 * An engine that works on a run and its rollback until both have ended, and ends itself with SIGKILL at one point on the way:
 * `node rollback.child.ts HOME STEP PHASE`. Phase `before` is before the compensation's effect, `after` after it but before
 * it is reported, `between` when its completion is on disk.
 */
import { appendFileSync, existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { defineAgent, definePipeline, openTenuto } from "../../src/index.ts";

const [home = "", step = "", phase = ""] = process.argv.slice(2);
const JOBS = ["a", "b", "c", "d"];

/** Ends this process at the chosen point, the first time that it is reached. */
function point(at: string, where: string): void {
  const marker = join(home, "killed");
  if (at !== step || where !== phase || existsSync(marker)) return;
  writeFileSync(marker, "");
  process.kill(process.pid, "SIGKILL");
}

const act = defineAgent({ name: "test/act", run: (input: { what: string }) => input });
const undo = defineAgent({
  name: "test/undo",
  run: (input: { what: string }, ctx) => {
    point(input.what, "before");
    appendFileSync(join(home, "journal"), `${input.what} ${ctx.idempotencyKey}\n`);
    point(input.what, "after");
    return "undone";
  },
});
const pipeline = definePipeline({
  name: "work",
  agents: [undo],
  stages: JOBS.map((id) => ({
    name: id,
    jobs: [
      {
        id,
        agent: act,
        input: { what: id },
        compensate: { agent: "test/undo", input: { what: "{{ output.what }}" } },
      },
    ],
  })),
});

const tenuto = await openTenuto({ home, pipelines: [pipeline], leaseMs: 3_000, heartbeatMs: 1_000 });
tenuto.engine.parts.ledger.onCommit((hints) => {
  for (const { job, state } of hints.endedJobs)
    if (state === "completed")
      void tenuto.engine.parts.ledger
        .job(job)
        .then((row) => point(/^undo-\d+-(\w)$/.exec(row?.id ?? "")?.[1] ?? "", "between"));
});
const runs = await tenuto.client.runs();
const origin = runs.find((run) => run.origin === null);
const first = origin === undefined ? await tenuto.start("work") : await tenuto.client.attach(origin.id);
await first.wait();
const known = await tenuto.client.rollbackOf(first.id);
const rollback = known === null ? await tenuto.client.rollback(first.id) : await tenuto.client.attach(known.run);
await rollback.wait();
await tenuto.close();
