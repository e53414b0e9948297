// Shows: durable code: ctx.step, ctx.sleep, ctx.map, ctx.spawn; kills its engine with SIGKILL half-way and resumes.
// Run:   npm run example examples/durable-code.ts
//        npx tenuto run examples/durable-code.ts        (the same pipeline, without the kill)
import { spawn } from "node:child_process";
import { appendFile, readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { defineAgent, definePipeline, openTenuto } from "tenuto";
import { z } from "zod";

/** An ordinary agent, here spawned by code: a job of its own, with attempts, logs and retries. */
const invoice = defineAgent({
  name: "shop/invoice",
  input: z.object({ order: z.string(), cents: z.number() }),
  output: z.string(),
  run: ({ order, cents }) => `Invoice ${order}: ${(cents / 100).toFixed(2)} EUR`,
});

export const durableCode = definePipeline({
  name: "durable-code",
  file: import.meta.url,
  agents: [invoice],
  params: z.object({
    order: z.string().default("A-1"),
    pauseMs: z.number().int().min(0).default(500),
    /** Each side effect is written there, so that it can be counted. */
    effects: z.string().default(""),
  }),
  run: async (ctx, { order, pauseMs, effects }) => {
    const happened = async (what: string) => {
      if (effects !== "") await appendFile(effects, `${what}\n`);
    };

    // A step runs once: its result is on disk before the code goes on, and is returned again after a crash.
    const reserved = await ctx.step("reserve", async ({ idempotencyKey }) => {
      await happened("reserve");
      return { stock: [3, 1, 4, 1, 5], idempotencyKey };
    });

    // One checkpoint per item. What an item does may be any code; it has a context of its own.
    const prices = await ctx.map("price", reserved.stock, async (amount: number, item) => {
      await happened(`price ${item.item}`);
      return amount * 250;
    });

    // Waits on disk: no slot, no lease, no timer that a crash could lose.
    await ctx.sleep("cool off", pauseMs);

    const cents = (await prices.array()).reduce((sum, price) => sum + price, 0);
    const paid = await ctx.step(["pay", order], async () => {
      await happened("pay");
      return { cents };
    });

    const child = await ctx.spawn<string>("invoice", { agent: "shop/invoice", input: { order, cents: paid.cents } });
    return { text: child.output, key: reserved.idempotencyKey };
  },
});

/** Runs the pipeline in a child, kills that during the sleep, and finishes here. */
export async function crashAndResume(home: string, pauseMs = 1_500) {
  const effects = join(home, "effects.txt");
  const params = { order: "A-1", pauseMs, effects };
  const script = ["--conditions=source", fileURLToPath(import.meta.url), "--child", home, JSON.stringify(params)];
  const child = spawn(process.execPath, script, { stdio: ["ignore", "inherit", "inherit"] });
  const ended = new Promise((done) => child.once("exit", (_, signal) => done(signal)));
  await untilAsleep(home, ended);
  child.kill("SIGKILL");
  const signal = await ended;

  await using tenuto = await openTenuto({ home, pipelines: [durableCode] });
  // The same idempotency key: not a second run, but the one that the dead process began.
  const run = await tenuto.start(durableCode, params, { idempotencyKey: "order A-1" });
  const end = await run.wait({ timeoutMs: 30_000 });
  return { signal, resumed: !run.created, end, effects: await linesOf(effects) };
}

/** Watches the child's run from outside: any process may read the ledger while another works on it. */
async function untilAsleep(home: string, ended: Promise<unknown>): Promise<void> {
  await using reader = await openTenuto({ home, work: false });
  let over = false;
  void ended.then(() => {
    over = true;
  });
  while (!over) {
    const [run] = await reader.client.runs();
    if (run?.state === "waiting") return;
    await new Promise((next) => setTimeout(next, 20));
  }
}

async function linesOf(file: string): Promise<string[]> {
  const text = await readFile(file, "utf8").catch(() => "");
  return text.split("\n").filter((line) => line !== "");
}

if (import.meta.main) {
  const [flag, home, params] = process.argv.slice(2);
  if (flag === "--child") {
    await using tenuto = await openTenuto({ home: home!, pipelines: [durableCode] });
    const run = await tenuto.start(durableCode, JSON.parse(params!), { idempotencyKey: "order A-1" });
    await run.wait();
  } else {
    const folder = resolve(".tenuto", `durable-code-${Date.now()}`);
    const { signal, resumed, end, effects } = await crashAndResume(folder);
    console.log(`the engine was ended by ${signal}; the run was ${resumed ? "resumed" : "begun again"}`);
    console.log(`${end.state}: ${JSON.stringify(end.output)}`);
    console.log(`side effects, each once: ${effects.join(", ")}`);
  }
}
