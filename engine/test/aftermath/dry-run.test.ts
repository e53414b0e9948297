/** Dry run: what changes something outside is planned, with all that hangs on it; the rest runs. */
import { expect, it } from "vitest";
import type { Tenuto } from "../../src/index.ts";
import { defineAgent, definePipeline } from "../people/forms.ts";
import { place } from "../people/open.ts";

async function dry(tenuto: Tenuto, name: string, params: object = {}) {
  const run = await tenuto.start(name, params, { dryRun: true });
  const end = await run.wait({ timeoutMs: 60_000 });
  const jobs = new Map((await tenuto.client.jobs(run.id)).map((job) => [job.id, job]));
  const plan = (id: string) => JSON.parse(jobs.get(id)?.output ?? "null")?.$planned;
  const states = [...jobs.values()].map((job) => `${job.id}:${job.reason ?? job.state}`);
  return { run, end, jobs, plan, states };
}

function world() {
  const did: string[] = [];
  const compute = defineAgent({
    name: "test/compute",
    run: (input: { n: number }, ctx) => {
      did.push(`compute dry=${ctx.dryRun}`);
      return { n: input.n * 2, list: [1, 2, 3] };
    },
  });
  const deploy = defineAgent({
    name: "test/deploy",
    effects: "outside",
    run: (input) => {
      did.push("deploy");
      return { url: `https://${JSON.stringify(input)}` };
    },
  });
  const note = defineAgent({ name: "test/note", run: (input) => void did.push(`note ${JSON.stringify(input)}`) });
  return { did, compute, deploy, note };
}

it("plans what is outside and all that refers to it, with values or with what is unknown", async () => {
  const { did, compute, deploy, note } = world();
  const pipeline = definePipeline<any>({
    name: "ship",
    params: { type: "object", properties: { n: { type: "number" } } } as never,
    jobs: [
      { id: "compute", agent: compute, input: { n: "{{ params.n }}" } },
      { id: "deploy", needs: ["compute"], agent: deploy, input: { size: "{{ jobs.compute.output.n }}" } },
      {
        id: "announce",
        needs: ["deploy"],
        command: ["curl", "-d", "{{ jobs.deploy.output.url }}", "https://chat.example"],
      },
      { id: "again", needs: ["announce"], agent: note, input: { said: "{{ jobs.announce.output }}" } },
      { id: "beside", needs: ["deploy"], agent: note, input: { n: "{{ jobs.compute.output.n }}" } },
      {
        id: "push",
        needs: ["compute"],
        effects: "outside",
        command: ["git", "push", "origin", "v{{ jobs.compute.output.n }}"],
      },
      { id: "mail", needs: ["compute"], agent: deploy, forEach: "{{ jobs.compute.output.list }}" },
      { id: "never", needs: ["compute"], agent: deploy, when: { eq: ["{{ params.n }}", 99] } },
      { id: "perhaps", needs: ["deploy"], agent: note, when: { exists: "{{ jobs.deploy.output.url }}" } },
    ],
  });
  const tenuto = await place([pipeline]).open();
  const { run, end, plan, states } = await dry(tenuto, "ship", { n: 4 });
  expect(end).toMatchObject({ state: "completed", error: null });
  expect(states).toEqual([
    "compute:completed",
    "deploy:planned",
    "announce:planned",
    "again:planned",
    "beside:completed",
    "push:planned",
    "mail:planned",
    "never:when",
    "perhaps:planned",
  ]);
  expect(did.sort()).toEqual(["compute dry=true", 'note {"n":8}']);
  expect(plan("deploy")).toEqual({
    job: "deploy",
    agent: "test/deploy",
    why: "it changes something outside",
    argv: null,
    input: { size: 8 },
    items: null,
    unknown: [],
  });
  expect(plan("announce")).toMatchObject({
    why: "it needs {{ jobs.deploy.output.url }}",
    argv: ["curl", "-d", "{{ jobs.deploy.output.url }}", "https://chat.example"],
    unknown: ["jobs.deploy.output.url"],
  });
  expect(plan("push")).toMatchObject({ argv: ["git", "push", "origin", "v8"] });
  expect(plan("mail")).toMatchObject({ items: 3, input: "{{ item }}" });
  expect(plan("perhaps")).toMatchObject({ unknown: ["jobs.deploy.output.url"] });
  await expect(tenuto.client.rollback(run.id)).rejects.toMatchObject({ code: "illegal_transition" });
});

it("children of an agent that is outside are planned too; durable code and programs are told", async () => {
  const { did, deploy } = world();
  const code = definePipeline({
    name: "code",
    agents: [deploy],
    run: async (ctx) => {
      const child = await ctx.spawn("out", { agent: "test/deploy", input: { a: 1 } });
      return { dry: ctx.dryRun, planned: (child.output as { $planned: { input: unknown } }).$planned.input };
    },
  });
  const program = definePipeline({
    name: "program",
    jobs: [
      {
        id: "a",
        command: [
          process.execPath,
          "-e",
          "const fs = require('fs'); fs.writeFileSync(process.env.TENUTO_OUTPUT, JSON.stringify(JSON.parse(fs.readFileSync(process.env.TENUTO_CONTEXT)).dryRun))",
        ],
      },
      { id: "b", agent: deploy, multiply: { source: ["x", "y"] } },
    ],
  });
  const tenuto = await place([code, program]).open();
  const first = await dry(tenuto, "code");
  expect(first.end.output).toEqual({ dry: true, planned: { a: 1 } });
  const second = await dry(tenuto, "program");
  expect(second.jobs.get("a")?.output).toBe("true");
  expect(second.states).toEqual(["a:completed", "b:completed", "b/0:planned", "b/1:planned"]);
  expect(second.plan("b/1")).toMatchObject({ input: "y" });
  expect(did).toEqual([]);
  const real = await (await tenuto.start("code")).wait({ timeoutMs: 60_000 }).catch(() => null);
  expect(real?.state).toBe("failed");
  expect(did).toEqual(["deploy"]);
});

it("is refused where nothing says what is outside: it would be no dry run", async () => {
  const { did, compute } = world();
  const pipeline = definePipeline({ name: "plain", jobs: [{ id: "a", agent: compute, input: { n: 1 } }] });
  const tenuto = await place([pipeline]).open();
  await expect(tenuto.start("plain", {}, { dryRun: true })).rejects.toMatchObject({
    code: "invalid_input",
    hint: expect.stringContaining("effects: outside"),
  });
  expect([did, await tenuto.client.runs()]).toEqual([[], []]);
});
