/** Small pipelines with one peculiarity each, for the tests that need a certain situation. */
import { appendFileSync, existsSync } from "node:fs";
import { type Context, defineAgent, definePipeline, type Pipeline, type Tenuto } from "tenuto";
import { begin, effect } from "../journal.ts";
import type { Tell } from "../process.ts";

export const pause = (ms: number) => new Promise<void>((next) => setTimeout(next, ms));
const FAST = { retry: { baseSeconds: 0.02, factor: 1 } };
const COMMAND_ENV = { JOURNAL: process.env["CRASH_JOURNAL"] ?? "" };

const journalled = defineAgent({
  name: "jobs/journalled",
  async run(input: { ms?: number } | null, ctx: Context) {
    const nonce = begin(ctx.idempotencyKey, ctx.attempt);
    if (input?.ms !== undefined) await pause(input.ms);
    return { nonce: effect(ctx.idempotencyKey, ctx.attempt, nonce) };
  },
});

/** Blocks until it is aborted. */
function untilAborted(ctx: Context): Promise<never> {
  return new Promise((_, reject) =>
    ctx.signal.addEventListener("abort", () => reject(new Error("aborted")), { once: true }),
  );
}

/** Records a step, and then goes on only once somebody has died of it. */
const stepper = defineAgent({
  name: "jobs/stepper",
  async run(_input, ctx: Context) {
    const paid = await ctx.step("paid", (step) =>
      effect(step.idempotencyKey, ctx.attempt, begin(step.idempotencyKey, ctx.attempt)),
    );
    appendFileSync(`${process.env["CRASH_JOURNAL"]}.stepped`, `${paid}\n`);
    return existsSync(`${process.env["CRASH_JOURNAL"]}.again`) ? paid : await untilAborted(ctx);
  },
});

const block = defineAgent({
  name: "jobs/block",
  async run(_input, ctx: Context) {
    begin(ctx.idempotencyKey, ctx.attempt);
    return await untilAborted(ctx);
  },
});

/** Dies in the body, in the way that the input says. */
const poison = defineAgent({
  name: "jobs/poison",
  async run({ how }: { how: string }, ctx: Context) {
    begin(ctx.idempotencyKey, ctx.attempt);
    if (how === "exit") process.exit(9);
    if (how === "kill") process.kill(process.pid, "SIGKILL");
    if (how === "memory") for (const hoard: unknown[] = []; ; ) hoard.push(new Array(1_000_000).fill(ctx.attempt));
    return await untilAborted(ctx);
  },
});

const burn = defineAgent({
  name: "jobs/burn",
  run({ ms }: { ms: number }, ctx: Context) {
    const nonce = begin(ctx.idempotencyKey, ctx.attempt);
    for (const end = performance.now() + ms; performance.now() < end; );
    return { nonce: effect(ctx.idempotencyKey, ctx.attempt, nonce) };
  },
});

/** Ends only when the test says so by a file's appearance is not needed: it holds its attempt for the given time. */
const sleeper = defineAgent({
  name: "jobs/sleeper",
  async run({ ms }: { ms: number }, ctx: Context) {
    const nonce = begin(ctx.idempotencyKey, ctx.attempt);
    await ctx.sleep("nap", ms);
    return { nonce: effect(ctx.idempotencyKey, ctx.attempt, nonce) };
  },
});

const spawner = defineAgent({
  name: "jobs/spawner",
  async run({ children, depth }: { children?: number; depth?: number }, ctx: Context) {
    if (depth !== undefined)
      return (await ctx.spawn("deeper", { agent: "jobs/spawner", input: { depth: depth + 1 } })).state;
    let made = 0;
    for (let index = 0; index < (children ?? 0); index += 100) {
      const size = Math.min(100, (children ?? 0) - index);
      await Promise.all(
        Array.from({ length: size }, (_, k) => ctx.spawn(["c", index + k], { agent: "jobs/journalled" })),
      );
      made += size;
    }
    return made;
  },
});

const limited = defineAgent({ name: "jobs/limited", ...FAST, run: (_input, ctx: Context) => limitedRun(ctx) });

async function limitedRun(ctx: Context) {
  const nonce = begin(ctx.idempotencyKey, ctx.attempt);
  await pause(5);
  return { nonce: effect(ctx.idempotencyKey, ctx.attempt, nonce) };
}

const retried = defineAgent({
  name: "jobs/retried",
  async run(_input, ctx: Context) {
    const child = await ctx.spawn<{ ok: number }>("child", { agent: "jobs/failsOnce" });
    return child.output;
  },
});

const failsOnce = defineAgent({
  name: "jobs/failsOnce",
  run(_input, ctx: Context) {
    if (ctx.attempt === 1) throw new Error("permanent, once");
    return { ok: ctx.attempt };
  },
});

const TREE =
  'printf "begin\\t%s\\t%s\\tsh\\t%s\\n" "$TENUTO_RUN_ID/$TENUTO_JOB_ID" "$TENUTO_ATTEMPT" "$$" >> "$JOURNAL"; sleep 600 & setsid sleep 600 & wait';

const wide = (id: string, count: number, agent: any, input?: unknown) =>
  Array.from({ length: count }, (_, index) => ({
    id: `${id}${index}`,
    agent,
    needs: [],
    ...(input === undefined ? {} : { input }),
  }));

const agents = [journalled, stepper, block, poison, burn, sleeper, spawner, limited, retried, failsOnce];

export function pipelines(): Pipeline<any>[] {
  return [...plainPipelines(), ...limitedPipelines(), ...programPipelines(), ...longPipelines(), zombiePipeline()];
}

function plainPipelines(): Pipeline<any>[] {
  const single = (name: string, agent: any, input: unknown, more: object = {}) =>
    definePipeline({ name, jobs: [{ id: "job", agent, input, ...more }], agents });
  return [
    definePipeline({ name: "quick", jobs: [{ id: "job", agent: journalled, input: { ms: 0 } }], agents }),
    definePipeline({
      name: "pair",
      jobs: [
        { id: "first", agent: journalled, input: { ms: 30 } },
        { id: "second", agent: journalled, needs: ["first"] },
      ],
      agents,
    }),
    definePipeline({ name: "hundred", jobs: wide("j", 100, journalled, { ms: 0 }), agents }),
    definePipeline({ name: "hundredSlow", jobs: wide("j", 100, journalled, { ms: 150 }), agents }),
    single("block", block, null),
    definePipeline({ name: "blocks", jobs: wide("b", 8, block), agents }),
    single("poisonExit", poison, { how: "exit" }, { allowFailure: true }),
    single("poisonKill", poison, { how: "kill" }),
    single("poisonMemory", poison, { how: "memory" }),
    single("burn", burn, { ms: 2_200 }),
    single("sleeper", sleeper, { ms: 400 }),
    single("longSleep", sleeper, { ms: 3_600_000 }),
    single("children", spawner, { children: 1_010 }),
    single("depth", spawner, { depth: 0 }),
    single("reopened", retried, null),
  ];
}

function limitedPipelines(): Pipeline<any>[] {
  return [
    definePipeline({
      name: "limited",
      limiters: { gate: { concurrency: 3 } },
      jobs: [
        ...wide("l", 12, limited).map((job) => ({ ...job, limits: ["gate"] })),
        {
          id: "each",
          agent: limited,
          needs: [],
          limits: ["gate"],
          forEach: { source: Array.from({ length: 20 }, (_, n) => n), concurrency: 6, window: 4 },
        },
      ],
      defaults: { maxCrashes: 1_000 },
      agents,
    }),
    definePipeline({
      name: "limitedItems",
      limiters: { gate: { concurrency: 3 } },
      defaults: { maxCrashes: 1_000 },
      jobs: [
        {
          id: "each",
          agent: journalled,
          input: { ms: 20 },
          limits: ["gate"],
          forEach: { source: Array.from({ length: 60 }, (_, n) => n), concurrency: 6, window: 20 },
        },
      ],
      agents,
    }),
    definePipeline({
      name: "storm",
      limiters: { dead: { breaker: { failures: 5, openSeconds: 1 } } },
      defaults: { retry: { maxRetries: 2, baseSeconds: 0.2, factor: 1, jitter: 0.2 }, maxCrashes: 1_000 },
      jobs: [
        {
          id: "each",
          agent: stormAgent,
          forEach: { source: Array.from({ length: 60 }, (_, n) => n), concurrency: 20, errorRate: 1 },
        },
      ],
      agents: [stormAgent],
    }),
  ];
}

function programPipelines(): Pipeline<any>[] {
  return [
    definePipeline({
      name: "tree",
      jobs: [{ id: "job", command: { shell: TREE, env: COMMAND_ENV, graceSeconds: 0.5 } }],
    }),
    definePipeline({
      name: "trees",
      jobs: Array.from({ length: 20 }, (_, n) => ({
        id: `t${n}`,
        needs: [],
        command: { shell: TREE, env: COMMAND_ENV, graceSeconds: 0.5 },
      })),
    }),
  ];
}

function longPipelines(): Pipeline<any>[] {
  return [
    definePipeline({
      name: "swarm",
      jobs: [
        {
          id: "each",
          agent: journalled,
          input: { ms: 1 },
          forEach: { source: Array.from({ length: 10_000 }, (_, n) => n), concurrency: 100 },
        },
      ],
      agents,
    }),
    definePipeline({
      name: "stepped",
      jobs: [{ id: "each", agent: stepper, forEach: { source: [0, 1, 2, 3, 4, 5], concurrency: 6 } }],
      agents,
    }),
    definePipeline({
      name: "steps",
      run: async (ctx: Context) => {
        for (let index = 0; index < 400; index++) {
          await ctx.step(["s", index], async (step) => {
            await pause(2);
            return effect(step.idempotencyKey, ctx.attempt, begin(step.idempotencyKey, ctx.attempt));
          });
        }
        return ctx.attempt;
      },
    }),
    definePipeline({
      name: "swarmCode",
      run: async (ctx: Context) => {
        const done = await ctx.map(
          "m",
          Array.from({ length: 10_000 }, (_, n) => n),
          async (_item: number, item: Context) => {
            const nonce = begin(item.idempotencyKey, item.attempt);
            await pause(1);
            return { nonce: effect(item.idempotencyKey, item.attempt, nonce) };
          },
          { concurrency: 100 },
        );
        return done.count;
      },
    }),
  ];
}

const stormAgent = defineAgent({
  name: "jobs/storm",
  async run(_input: number, ctx: Context) {
    await ctx.limit("dead");
    appendFileSync(
      process.env["CRASH_JOURNAL"]!,
      `begin\t${ctx.idempotencyKey}\t${ctx.attempt}\t${Date.now()}\t${process.pid}\n`,
    );
    await ctx.outcome("dead", false);
    throw Object.assign(new Error("connection refused"), { code: "ECONNREFUSED" });
  },
});

/** Everything that an attempt can write, tried again after its lease has gone to another process. */
export function zombiePipeline(): Pipeline<any> {
  return definePipeline({
    name: "zombie",
    defaults: { maxCrashes: 1_000 },
    jobs: [
      {
        id: "job",
        agent: defineAgent({
          name: "jobs/zombie",
          async run(_input, ctx: Context) {
            begin(ctx.idempotencyKey, ctx.attempt);
            if (ctx.attempt > 1) return { attempt: ctx.attempt };
            await new Promise<void>((resolve) => ctx.signal.addEventListener("abort", () => resolve(), { once: true }));
            const tried: Record<string, string> = {};
            const attempt = async (what: string, work: () => Promise<unknown>) => {
              tried[what] = await work().then(
                () => "accepted",
                (error) => (error as { code?: string }).code ?? String(error),
              );
            };
            await attempt("step", () => ctx.step("late", () => "late"));
            await attempt("artifact", () => ctx.artifact("late", "late"));
            await attempt("spawn", () => ctx.spawn("late", { agent: "jobs/journalled" }));
            ctx.log.info("late line");
            appendFileSync(process.env["CRASH_JOURNAL"]!, `late\t${JSON.stringify(tried)}\t0\tx\t${process.pid}\n`);
            return { attempt: "zombie" };
          },
        }),
      },
      {
        id: "each",
        needs: [],
        agent: defineAgent({
          name: "jobs/zombieItem",
          async run(_input, ctx: Context) {
            begin(ctx.idempotencyKey, ctx.attempt);
            await pause(700);
            return { pid: process.pid };
          },
        }),
        forEach: { source: [1, 2, 3], concurrency: 3 },
      },
      {
        id: "tree",
        needs: [],
        command: { shell: `[ "$TENUTO_ATTEMPT" = 1 ] || exit 0; ${TREE}`, env: COMMAND_ENV, graceSeconds: 0.5 },
      },
    ],
    agents: [journalled],
  });
}

export function commands(tenuto: Tenuto, _tell: Tell): Record<string, (...args: any[]) => unknown> {
  return {
    /** Starts many runs at once; the ids. */
    many: async (pipeline: string, count: number) =>
      (await Promise.all(Array.from({ length: count }, () => tenuto.start(pipeline, {})))).map((run) => run.id),
    /** Start and cancel without a turn between them. */
    startAndCancel: async (pipeline: string) => {
      const run = await tenuto.start(pipeline, {});
      await run.cancel();
      return await run.wait({ timeoutMs: 10_000 });
    },
  };
}
