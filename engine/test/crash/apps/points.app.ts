/**
 * A small fixed workload whose process dies, or whose disk is copied, at a point of the list that `wrapEverything` makes:
 * `facts.crashAt` kills at the k-th point, `facts.images` copies ledger, artifacts and journal at each point.
 */
import { createHash } from "node:crypto";
import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { type Context, defineAgent, definePipeline, type OpenOptions, systemClock, type Tenuto } from "tenuto";
import { openSqliteLedger } from "tenuto/sqlite";
import { begin, effect } from "../journal.ts";
import type { ChildOrders, Tell } from "../process.ts";
import { wrapEverything } from "./points.ts";

const own = { copy: copyFileSync, tree: cpSync, read: readFileSync, make: mkdirSync, list: readdirSync };

const unit = defineAgent({
  name: "points/unit",
  retry: { maxRetries: 2, baseSeconds: 0.001, factor: 1 },
  run(input: { flaky?: boolean } | null, ctx: Context) {
    const nonce = begin(ctx.idempotencyKey, ctx.attempt);
    if (input?.flaky === true && ctx.attempt === 1) throw Object.assign(new Error("not yet"), { code: "ETIMEDOUT" });
    return { nonce: effect(ctx.idempotencyKey, ctx.attempt, nonce) };
  },
});

const code = defineAgent({
  name: "points/code",
  async run(_input, ctx: Context) {
    const step = await ctx.step("s", (own_) =>
      effect(own_.idempotencyKey, ctx.attempt, begin(own_.idempotencyKey, ctx.attempt)),
    );
    await ctx.sleep("nap", 5);
    const child = await ctx.spawn<{ nonce: string }>("kid", { agent: "points/unit" });
    const mapped = await ctx.map("m", [1, 2, 3], async (_item: number, item: Context) => ({
      nonce: effect(item.idempotencyKey, item.attempt, begin(item.idempotencyKey, item.attempt)),
    }));
    const file = await ctx.artifact("note", `${ctx.runId}`);
    return { steps: { s: step }, child: child.output.nonce, mapped: mapped.count, file: file.$artifact };
  },
});

const SHELL = 'sleep 60 >/dev/null 2>&1 & printf \'{"ok":true}\' > "$TENUTO_OUTPUT"';

export const pipelines = () => [
  definePipeline({
    name: "points",
    defaults: { maxCrashes: 1_000 },
    stages: [
      {
        name: "one",
        jobs: [
          { id: "a", agent: unit },
          { id: "b", agent: unit, needs: ["a"], input: { flaky: true } },
          {
            id: "each",
            agent: unit,
            needs: ["a"],
            input: {},
            forEach: { source: [1, 2, 3, 4], concurrency: 2, window: 2 },
          },
          { id: "cmd", needs: ["a"], command: { shell: SHELL, graceSeconds: 0.1 } },
        ],
      },
      { name: "two", jobs: [{ id: "code", agent: code }] },
    ],
    agents: [unit, code],
  }),
  definePipeline({
    name: "cancelled",
    jobs: [
      { id: "x", agent: unit },
      { id: "hold", agent: defineAgent({ name: "points/hold", run: (_input, ctx: Context) => hold(ctx) }), needs: [] },
      { id: "y", agent: unit, needs: ["hold"] },
    ],
    agents: [unit],
  }),
];

let held: () => void = () => {};
const holding = new Promise<void>((resolve) => {
  held = resolve;
});

function hold(ctx: Context): Promise<never> {
  held();
  return new Promise((_, reject) => ctx.signal.addEventListener("abort", () => reject(new Error("aborted"))));
}

let armed = false;
let count = 0;
const names: string[] = [];
const images = new Map<string, string>();

export async function prepare(orders: ChildOrders): Promise<Partial<OpenOptions>> {
  const {
    crashAt,
    images: folder,
    fromStart,
  } = orders.facts as { crashAt?: number; images?: string; fromStart?: boolean };
  const at = (name: string) => {
    if (!armed) return;
    count += 1;
    if (folder !== undefined) takeImage(orders.home, folder, name);
    if (count === crashAt) {
      process.kill(process.pid, "SIGKILL");
      for (;;);
    }
  };
  if (crashAt !== undefined || folder !== undefined) await wrapEverything(at);
  armed = fromStart === true;
  // The failpoint hook: the same points once more, named by the ledger itself.
  const ledger = openSqliteLedger({ path: join(orders.home, "ledger.db"), clock: systemClock, failpoint: at });
  return { ledger };
}

/** What a kill at this moment would leave on the disk. Equal ones are kept once. */
function takeImage(home: string, folder: string, name: string): void {
  armed = false;
  names.push(name);
  const hash = createHash("sha256");
  for (const file of ["ledger.db", "ledger.db-wal", "journal"])
    if (existsSync(join(home, file))) hash.update(own.read(join(home, file)));
  const objects = join(home, "artifacts");
  for (const entry of existsSync(objects) ? (own.list(objects, { recursive: true }) as string[]).sort() : [])
    hash.update(`${entry} ${statSync(join(objects, entry)).size}\n`);
  const id = hash.digest("hex");
  if (!images.has(id)) {
    const target = join(folder, String(images.size).padStart(5, "0"));
    own.make(target, { recursive: true });
    for (const file of ["ledger.db", "ledger.db-wal", "journal"])
      if (existsSync(join(home, file))) own.copy(join(home, file), join(target, file));
    if (existsSync(objects)) own.tree(objects, join(target, "artifacts"), { recursive: true });
    images.set(id, name);
  }
  armed = true;
}

export async function main(tenuto: Tenuto, orders: ChildOrders, tell: Tell): Promise<void> {
  const facts = orders.facts as { images?: string; key?: string; fromStart?: boolean };
  const open = await tenuto.client.runs({ states: ["pending", "running", "waiting"], limit: 1_000 });
  const recovered = Promise.all(open.map(async (run) => (await tenuto.client.attach(run.id)).wait()));
  if (facts.fromStart !== true) await recovered;
  armed = true;
  if (facts.key !== undefined) await work(tenuto, facts.key);
  await recovered;
  armed = false;
  if (facts.images !== undefined)
    writeFileSync(join(facts.images, "points.json"), JSON.stringify({ count, names, images: [...images.values()] }));
  tell("done", { count });
}

async function work(tenuto: Tenuto, key: string): Promise<void> {
  const first = await tenuto.start("points", {}, { idempotencyKey: key });
  await first.wait();
  const second = await tenuto.start("cancelled", {}, { idempotencyKey: `${key}-cancelled` });
  if (second.created) {
    await holding;
    await second.cancel();
  }
  await second.wait();
}
