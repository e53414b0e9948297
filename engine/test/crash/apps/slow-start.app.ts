/** An app whose pool takes its time to open: `work()` is called when it has, and only then may a job find it. */
import { defineAgent, definePipeline, type Tenuto } from "tenuto";
import type { ChildOrders, Tell } from "../process.ts";

let pool: { query(): number } | null = null;

export const pipelines = (tell: Tell) => [
  definePipeline({
    name: "needy",
    defaults: { maxCrashes: 1_000 },
    jobs: [
      {
        id: "job",
        agent: defineAgent({
          name: "slow/needy",
          run() {
            tell(pool === null ? "too early" : "begun");
            return new Promise<never>(() => {});
          },
        }),
      },
    ],
  }),
];

export async function main(tenuto: Tenuto, orders: ChildOrders, tell: Tell): Promise<void> {
  await new Promise((next) => setTimeout(next, orders.facts.delayMs));
  pool = { query: () => 1 };
  tell("pool");
  await tenuto.work();
}
