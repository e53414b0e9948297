/**
 * A run whose jobs leave artifacts behind, in a process that ends itself with SIGKILL at the k-th point of whatever reaches the
 * disk: `node kill.child.ts HOME K`. With K = 0 it says how many points there are.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { defineAgent, definePipeline, openTenuto } from "../../src/index.ts";
import { wrapEverything } from "../crash/apps/points.ts";

const [home = "", chosen = "0"] = process.argv.slice(2);
const crashAt = Number(chosen);
let points = 0;
let armed = false;

const node = (code: string) => [process.execPath, "-e", `const fs = require("node:fs"), e = process.env;${code}`];

const note = defineAgent({
  name: "test/note",
  run: async (_input, ctx) => {
    mkdirSync(ctx.workspace, { recursive: true });
    writeFileSync(join(ctx.workspace, "made.txt"), "made by the note");
    await ctx.artifact("note", "always the same");
    const seen = await ctx.artifacts();
    return { note: await ctx.artifact("seen", seen.map((entry) => `${entry.job}/${entry.name}`).join("\n")) };
  },
});
const pipeline = definePipeline({
  name: "leaves",
  defaults: { maxCrashes: 1_000 },
  stages: [
    {
      name: "plan",
      jobs: [
        {
          id: "plan",
          command: node("fs.writeFileSync('a.txt', 'a'); fs.writeFileSync('b.txt', 'b'); console.log('the plan');"),
          artifacts: { strategy: "composite", parts: [{ strategy: "files" }, { strategy: "stdout_final" }] },
        },
      ],
    },
    { name: "note", jobs: [{ id: "note", agent: note, artifacts: { strategy: "files" } }] },
    {
      name: "use",
      jobs: [
        {
          id: "use",
          command: node("fs.writeFileSync('all.txt', fs.readFileSync('inputs/note/seen'));"),
          artifacts: { strategy: "files" },
          gate: { checks: [{ when: { eq: [1, 2] }, level: "error", message: "never" }] },
        },
      ],
    },
  ],
});

await wrapEverything(() => {
  if (!armed) return;
  points += 1;
  if (points === crashAt) process.kill(process.pid, "SIGKILL");
});
const tenuto = await openTenuto({ home, pipelines: [pipeline], leaseMs: 3_000, heartbeatMs: 1_000, work: false });
const [known] = await tenuto.client.runs();
const run = known === undefined ? await tenuto.start("leaves") : await tenuto.client.attach(known.id);
armed = true;
await tenuto.work();
const end = await run.wait();
armed = false;
await tenuto.close();
process.stdout.write(JSON.stringify({ points, state: end.state, error: end.error?.message ?? null }));
