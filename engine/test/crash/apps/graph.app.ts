/** Large graphs of one tiny job: a chain, a wide join, a random DAG. Size and seed come by environment. */
import { type Context, defineAgent, definePipeline } from "tenuto";
import { begin, effect } from "../journal.ts";
import { between, seeded } from "../seeded.ts";

const SIZE = Number(process.env["CRASH_GRAPH"] ?? 10_000);

const node = defineAgent({
  name: "graph/node",
  run: (_input, ctx: Context) => ({
    nonce: effect(ctx.idempotencyKey, ctx.attempt, begin(ctx.idempotencyKey, ctx.attempt)),
  }),
});

const ids = Array.from({ length: SIZE }, (_, index) => `n${index}`);
const defaults = { maxCrashes: 1_000 };

export function pipelines() {
  const random = seeded(7);
  return [
    definePipeline({
      name: "chain",
      defaults,
      jobs: ids.map((id, at) => ({ id, agent: node, needs: at === 0 ? [] : [ids[at - 1]!] })),
    }),
    definePipeline({
      name: "join",
      defaults,
      jobs: [...ids.map((id) => ({ id, agent: node, needs: [] as string[] })), { id: "join", agent: node, needs: ids }],
    }),
    definePipeline({
      name: "dag",
      defaults,
      jobs: ids.map((id, at) => {
        const needs = new Set<string>();
        for (let edge = 0; edge < 3 && at > 0; edge++) needs.add(ids[between(random, Math.max(0, at - 500), at - 1)]!);
        return { id, agent: node, needs: [...needs] };
      }),
    }),
  ];
}
