/**
 * Everything at once: stages with barriers, a graph with all dependency types, fan-outs (function and closure), spawns,
 * sleeps, retries, command jobs with grandchildren. Each body journals what it does; its result is the journal's nonce.
 */

import { appendFileSync } from "node:fs";
import { type Context, defineAgent, definePipeline, type Tenuto } from "tenuto";
import { begin, effect } from "../journal.ts";
import { type ChildOrders, readLines, type Tell } from "../process.ts";

const ITEMS = 24;
const pause = (ms: number) => new Promise((next) => setTimeout(next, ms));

export const unit = defineAgent({
  name: "crash/unit",
  async run(input: { ms?: number } | null, ctx: Context) {
    const nonce = begin(ctx.idempotencyKey, ctx.attempt);
    await pause(input?.ms ?? 3);
    return { nonce: effect(ctx.idempotencyKey, ctx.attempt, nonce) };
  },
});

const flaky = defineAgent({
  name: "crash/flaky",
  retry: { maxRetries: 3, baseSeconds: 0.02, factor: 1 },
  async run(_input, ctx: Context) {
    const nonce = begin(ctx.idempotencyKey, ctx.attempt);
    await pause(2);
    if (ctx.attempt === 1) throw Object.assign(new Error("not yet"), { code: "ETIMEDOUT" });
    return { nonce: effect(ctx.idempotencyKey, ctx.attempt, nonce) };
  },
});

const broken = defineAgent({
  name: "crash/broken",
  run(): never {
    throw new Error("always");
  },
});

const durable = defineAgent({
  name: "crash/durable",
  async run(_input, ctx: Context) {
    const steps: Record<string, string> = {};
    for (const name of ["one", "two"]) {
      steps[name] = await ctx.step(name, async (step) => {
        const nonce = begin(step.idempotencyKey, ctx.attempt);
        await pause(2);
        return effect(step.idempotencyKey, ctx.attempt, nonce);
      });
    }
    await ctx.sleep("nap", 20);
    const children = await Promise.all(
      ["x", "y"].map((key) => ctx.spawn<{ nonce: string }>(key, { agent: "crash/unit", input: { ms: 5 } })),
    );
    const mapped = await ctx.map(
      "closure",
      Array.from({ length: 12 }, (_, index) => index),
      async (item: number, item_: Context) => {
        const nonce = begin(item_.idempotencyKey, item_.attempt);
        await pause(item % 3);
        return { nonce: effect(item_.idempotencyKey, item_.attempt, nonce) };
      },
      { concurrency: 4 },
    );
    const helped = await ctx.map("agent", [1, 2, 3, 4, 5], "crash/unit", { concurrency: 2 });
    return { steps, children: children.map((child) => child.output.nonce), mapped: mapped.count, helped: helped.count };
  },
});

/** Journals like the others; the nonce is the shell's own pid, which a run of this test does not see twice per attempt. */
const SHELL = [
  'nonce="$$-sh"',
  'key="$TENUTO_RUN_ID/$TENUTO_JOB_ID"',
  'printf "begin\\t%s\\t%s\\t%s\\t%s\\n" "$key" "$TENUTO_ATTEMPT" "$nonce" "$$" >> "$JOURNAL"',
  "sleep 300 >/dev/null 2>&1 &",
  "setsid sleep 300 >/dev/null 2>&1 &",
  "sleep 0.02",
  'printf "effect\\t%s\\t%s\\t%s\\t%s\\n" "$key" "$TENUTO_ATTEMPT" "$nonce" "$$" >> "$JOURNAL"',
  'printf \'{"nonce":"%s"}\' "$nonce" > "$TENUTO_OUTPUT"',
].join("\n");

function command(id: string, needs: string[]) {
  return {
    id,
    needs,
    command: { shell: SHELL, env: { JOURNAL: process.env["CRASH_JOURNAL"] ?? "" }, graceSeconds: 0.2 },
  };
}

export function mixedPipeline(commands = true) {
  return definePipeline({
    name: "mixed",
    defaults: { retry: { baseSeconds: 0.02, factor: 1 }, maxCrashes: 1_000 },
    stages: [
      {
        name: "prepare",
        jobs: ["p1", "p2", "p3", "p4"].map((id) => ({ id, agent: unit })),
      },
      {
        name: "work",
        jobs: [
          { id: "a", agent: unit },
          { id: "b", agent: unit, needs: ["a"] },
          { id: "c", agent: flaky, needs: ["a"] },
          { id: "d", agent: unit, needs: ["b", "c"] },
          { id: "bad", agent: broken, needs: ["a"], allowFailure: true },
          { id: "onBad", agent: unit, needs: [{ job: "bad", on: "failure" as const }] },
          { id: "never", agent: unit, needs: [{ job: "b", on: "failure" as const }] },
          { id: "after", agent: unit, needs: [{ job: "never", on: "always" as const }] },
          {
            id: "each",
            agent: unit,
            needs: ["d"],
            input: { ms: 1 },
            forEach: { source: Array.from({ length: ITEMS }, (_, n) => n), concurrency: 6, window: 5 },
          },
          ...(commands ? [command("cmd", ["d"])] : []),
        ],
      },
      { name: "durable", jobs: [{ id: "code", agent: durable }] },
      { name: "end", jobs: [{ id: "join", agent: unit }] },
    ],
    agents: [unit, flaky, broken, durable],
  });
}

/** Jobs of one run, spawned ones included: declared, x, y, closure, agent. */
export const JOBS_PER_RUN = 16 + 4;

export const pipelines = () => [mixedPipeline()];

/** Starts runs one after the other, never more open than `open`, and writes down each one that was acknowledged. */
export async function main(tenuto: Tenuto, orders: ChildOrders, tell: Tell, pipeline = "mixed"): Promise<void> {
  const feed = orders.facts?.feed as { total: number; open: number; acks: string } | undefined;
  if (feed === undefined) return;
  const acked = readLines(feed.acks);
  const open = new Set<Promise<unknown>>();
  const watch = (id: string) => {
    const ended: Promise<unknown> = tenuto.client.attach(id).then((run) => run.wait());
    open.add(ended);
    void ended.finally(() => open.delete(ended));
  };
  for (const run of await tenuto.client.runs({ states: ["pending", "running", "waiting"], limit: 1_000 }))
    watch(run.id);
  for (let index = acked.length; index < feed.total; index++) {
    while (open.size >= feed.open) await Promise.race(open);
    const run = await tenuto.start(pipeline, {}, { idempotencyKey: `feed-${index}` });
    appendFileSync(feed.acks, `${run.id}\n`);
    watch(run.id);
  }
  await Promise.all(open);
  tell("fed");
}
