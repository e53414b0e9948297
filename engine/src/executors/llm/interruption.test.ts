/** Conversations that are cut short: slow models, cancels, stops, wall time, missing packages. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { definePipeline, defineTool, openTenuto } from "tenuto";
import { afterEach, expect, it } from "vitest";
import { z } from "zod";
import type { Script } from "./fixtures/model-server.ts";
import { agentOn, type LlmWorld, openLlmWorld, turns } from "./fixtures/world.ts";
import { optional } from "./packages.ts";

const SERVER = fileURLToPath(new URL("./fixtures/mcp-server.ts", import.meta.url));
let world: LlmWorld;
const open = async (script: Script) => {
  world = await openLlmWorld(script);
  return world;
};
afterEach(() => world.close());

/** Resolves when the server has been asked this often. */
function askedFor(times: number): { script: (inner: Script) => Script; reached: Promise<void> } {
  let reach: () => void = () => {};
  const reached = new Promise<void>((resolve) => {
    reach = resolve;
  });
  let count = 0;
  const script =
    (inner: Script): Script =>
    (asked) => {
      if (++count === times) reach();
      return inner(asked);
    };
  return { script, reached };
}

it("a model that does not answer is given up after its limit, and asked again", async () => {
  let hangs = 2;
  const { server, run } = await open(() => (hangs-- > 0 ? { hang: true } : { say: "at last" }));
  const retry = { maxRetries: 50, baseSeconds: 0.01, factor: 1 };
  const outcome = await run(agentOn(server, { model: { callTimeoutSeconds: 0.3 }, retry }));
  expect(outcome).toMatchObject({ state: "completed", output: "at last" });
  const usage = (await world.tenuto.engine.parts.ledger.runUsage(outcome.runSeq))!;
  // On a slow machine a call may run out of time before it has been sent; then it is lost as well.
  expect(usage.lostCalls).toBeGreaterThanOrEqual(2);
  expect(usage.calls - usage.lostCalls).toBe(1);
  expect(usage.openCalls).toBe(0);
});

it("a cancel ends the call and the MCP servers, and books the call as lost", async () => {
  const { script, reached } = askedFor(2);
  const { server, tenuto, home } = await open(
    script(turns({ calls: [{ name: "small__add", args: { a: 1, b: 1 } }] }, { hang: true })),
  );
  const journal = join(home, "journal");
  const command = [process.execPath, "--no-warnings", SERVER, "--stubborn"];
  const mcp = { small: { command, tools: ["add"], env: { MCP_JOURNAL: journal } } };
  const worker = agentOn(server, { mcp });
  const run = await tenuto.start(definePipeline({ name: "cut", jobs: [{ id: "work", agent: worker }] }), {});
  await reached;
  await run.cancel("enough");
  expect(await run.wait({ timeoutMs: 20_000 })).toMatchObject({ state: "cancelled" });
  const pids = readFileSync(journal, "utf8").match(/\d+/g) ?? [];
  expect(pids).toHaveLength(2);
  for (const pid of pids)
    expect(!existsSync(`/proc/${pid}/stat`) || / Z /.test(readFileSync(`/proc/${pid}/stat`, "utf8")), pid).toBe(true);
  const { ledger } = tenuto.engine.parts;
  expect(await ledger.runUsage(run.seq)).toMatchObject({ calls: 2, lostCalls: 1, openCalls: 0, openTokens: 0 });
  expect((await ledger.usage(run.seq)).map(({ state }) => state)).toEqual(["answered", "lost"]);
});

it("an orderly stop keeps what was finished; the next engine goes on", async () => {
  const { script, reached } = askedFor(3);
  let hang = true;
  const { server, tenuto, home } = await open(
    script((asked) => {
      if (asked.turn === 3) return hang ? { hang: true } : { say: "finished" };
      return { calls: [{ name: "todo", args: { items: [{ text: `${asked.turn}`, state: "open" }] } }] };
    }),
  );
  const worker = agentOn(server, { tools: ["todo"] });
  const pipeline = definePipeline({ name: "stopped", jobs: [{ id: "work", agent: worker }] });
  const run = await tenuto.start(pipeline, {});
  await reached;
  await tenuto.close({ drainMs: 0 });
  hang = false;
  const next = await openTenuto({ home, cwd: home, pipelines: [pipeline] });
  try {
    const again = await next.client.attach(run.id);
    expect(await again.wait({ timeoutMs: 20_000 })).toMatchObject({ state: "completed" });
    expect(server.asked.map(({ turn }) => turn)).toEqual([1, 2, 3, 3]);
  } finally {
    await next.close();
  }
});

it("the budget of wall time ends a call that takes longer, and the run's calls", async () => {
  const { server, run } = await open(turns({ calls: [{ name: "todo", args: { items: [] } }] }, { hang: true }));
  const since = performance.now();
  const outcome = await run(agentOn(server, { tools: ["todo"], budget: { wallSeconds: 1 } }));
  expect(outcome.error).toMatchObject({ code: "budget_exhausted", details: { budget: "wallSeconds", limit: 1 } });
  expect(performance.now() - since).toBeLessThan(20_000);
  expect(server.asked.length).toBeLessThanOrEqual(2);
});

it("a package that is missing is named, with how to install it", async () => {
  await open(turns({ say: "never" }));
  const name = "tenuto-package-that-is-not-there";
  await expect(optional(name, () => import(name))).rejects.toMatchObject({
    code: "missing_prerequisites",
    hint: `Install it beside tenuto: npm install ${name}`,
    category: "critical",
  });
});

it("in a dry run nothing outside is changed", async () => {
  let sent = 0;
  const { server, tenuto } = await open(
    turns(
      {
        calls: [
          { name: "mark", args: {} },
          { name: "write_file", args: { path: "a", content: "b" } },
        ],
      },
      (asked) => ({
        say: asked.results.join("\n"),
      }),
    ),
  );
  const mark = defineTool({ name: "mark", description: "Marks.", input: z.object({}), run: () => void (sent += 1) });
  const worker = agentOn(server, { tools: ["files", mark] });
  const run = await tenuto.start(
    definePipeline({
      name: "dry",
      jobs: [
        { id: "work", agent: worker },
        { id: "publish", needs: ["work"], command: ["false"], effects: "outside" },
      ],
    }),
    {},
    { dryRun: true },
  );
  const end = await run.wait({ timeoutMs: 20_000 });
  expect(end).toMatchObject({ state: "completed" });
  expect(sent).toBe(0);
  expect(server.asked[1]?.results[0]).toContain("dry run");
  expect(server.asked[1]?.results[1]).toContain("wrote a");
});
