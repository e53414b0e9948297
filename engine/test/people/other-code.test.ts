/** Workers with other code than a run began with, or with none: they neither judge it, nor spawn its jobs anew, nor fail it. */
import { expect, it } from "vitest";
import { seen } from "../seen.ts";
import { defineAgent, definePipeline } from "./forms.ts";
import { place } from "./open.ts";

const ANSWER = `require("node:fs").writeFileSync(process.env.TENUTO_OUTPUT, JSON.stringify`;
const command = (code: string) => ({ command: [process.execPath, "-e", code] });

it("a job waits for a worker that has its judge in the run's version; its work is not done in vain", async () => {
  const judge = (version: string) =>
    defineAgent({ name: "q/judge", version, run: () => ({ verdict: version === "1" ? "PASSED" : "FAILED" }) });
  const pipeline = (version: string) =>
    definePipeline({
      name: "judged",
      agents: [judge(version)],
      jobs: [{ id: "gated", ...command(`${ANSWER}({ ok: true }))`), gate: { agent: "q/judge" } }],
    });
  const here = place([pipeline("1")]);
  const first = await here.open({ work: false });
  const runs = [];
  // One has no code at all, one has a judge of another opinion.
  for (const pipelines of [[], [pipeline("2")]]) {
    const run = await first.start("judged");
    runs.push(run);
    const stranger = await here.open({ pipelines });
    const job = await seen(stranger, async () => {
      const found = await first.client.job(run.id, "gated");
      return found.state === "ready" && found.dueAt !== null ? found : null;
    });
    expect(job).toMatchObject({ reason: "no_judge:q/judge@1", failures: 0, output: null });
    await stranger.close();
  }
  await first.work();
  for (const run of runs) {
    expect((await run.wait({ timeoutMs: 30_000 })).state).toBe("completed");
    const [gate] = await first.engine.parts.ledger.gates(run.seq);
    expect(gate?.verdict).toBe("PASSED");
    expect((await first.client.events(run.id)).filter(({ name }) => name === "job.failed")).toEqual([]);
  }
});

it("a program spawns in the run's version on a worker that has another one, or none", async () => {
  const child = (version: string) => defineAgent({ name: "q/child", version, run: () => ({ version }) });
  const spawn = `const c = process.env.TENUTO_CONTEXT && JSON.parse(require("node:fs").readFileSync(process.env.TENUTO_CONTEXT, "utf8"));
    const done = (c && c.children) || [];
    ${ANSWER}(done.length === 0 ? { $spawn: [{ key: "one", agent: "q/child" }], output: null } : done[0].output))`;
  const pipeline = (version: string) =>
    definePipeline({
      name: "spawning",
      agents: [child(version)],
      jobs: [{ id: "program", ...command(spawn), spawns: { agents: ["q/child"] } }],
    });
  const here = place([pipeline("1")]);
  const first = await here.open({ work: false });
  for (const pipelines of [[], [pipeline("2")]]) {
    const run = await first.start("spawning");
    const stranger = await here.open({ pipelines });
    const job = await seen(stranger, async () =>
      (await first.client.jobs(run.id)).find(({ state, id }) => state === "ready" && id !== "program"),
    );
    expect(job.agent).toBe("q/child@1");
    await stranger.close();
    const able = await here.open();
    const end = await run.wait({ timeoutMs: 30_000 });
    expect([end.state, (await first.client.job(run.id, "program")).output]).toEqual(["completed", '{"version":"1"}']);
    await able.close();
  }
});
