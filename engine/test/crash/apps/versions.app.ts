/** A pipeline that looks different from version to version of the program (`facts.version`), and an agent with a version. */
import { type Context, defineAgent, definePipeline } from "tenuto";
import { begin, effect } from "../journal.ts";
import type { ChildOrders } from "../process.ts";

let version = 1;

export function prepare(): object {
  return {};
}

const orders = JSON.parse(process.argv[2] ?? "{}") as ChildOrders;
version = (orders.facts?.version as number) ?? 1;

const wait = defineAgent({
  name: "versions/wait",
  async run(_input, ctx: Context) {
    begin(ctx.idempotencyKey, ctx.attempt);
    if (version === 1) await new Promise(() => {});
    return version;
  },
});

const mark = defineAgent({
  name: "versions/mark",
  run: (input: string, ctx: Context) => ({
    input,
    nonce: effect(ctx.idempotencyKey, ctx.attempt, begin(ctx.idempotencyKey, ctx.attempt)),
  }),
});

const pinned = defineAgent({
  name: "versions/pinned",
  version: String(version),
  run: () => ({ version }),
});

export const pipelines = () => [
  definePipeline({
    name: "changing",
    defaults: { maxCrashes: 1_000 },
    jobs: [
      { id: "first", agent: wait },
      { id: version === 1 ? "old" : "new", agent: mark, input: `as of ${version}`, needs: ["first"] },
    ],
  }),
  definePipeline({ name: "pinned", jobs: [{ id: "job", agent: pinned }] }),
];
