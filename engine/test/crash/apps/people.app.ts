/**
 * Waits of all kinds: approvals before the work, in code and by a gate, a program that ends rounds with children, and a job
 * that becomes several. A person who says yes at once lives in the engine's own process, and dies with it.
 */
import { definePipeline, type Tenuto } from "tenuto";
import type { ChildOrders, Tell } from "../process.ts";
import { main as feed, unit } from "./mixed.app.ts";

/** Asks for a child twice, and for nothing in the third round. */
const ROUNDS = [
  'if [ -z "$TENUTO_CONTEXT" ] || ! grep -q "1-more" "$TENUTO_CONTEXT"; then',
  '  printf \'{"$spawn":[{"key":"more","like":"plan","reason":"again"}]}\' > "$TENUTO_OUTPUT"',
  "fi",
].join("\n");

const WARN = [{ when: { exists: "{{ output.nonce }}" }, level: "warning" as const, message: "look at it" }];

export const pipelines = () => [
  definePipeline({
    name: "people",
    defaults: { retry: { baseSeconds: 0.02, factor: 1 }, maxCrashes: 1_000 },
    agents: [unit],
    stages: [
      { name: "plan", jobs: [{ id: "plan", agent: unit, approval: { title: "Begin?" } }] },
      {
        name: "work",
        jobs: [
          {
            id: "several",
            agent: unit,
            input: { ms: "{{ item }}" },
            multiply: { source: [1, 2, 3, 4, 5], concurrency: 3 },
            gate: { checks: WARN },
          },
          { id: "asked", agent: unit, gate: { checks: WARN, onWarnings: "approve" } },
          { id: "rounds", command: { shell: ROUNDS, graceSeconds: 0.2 }, spawns: { jobs: ["plan"], rounds: 5 } },
        ],
      },
      { name: "end", jobs: [{ id: "join", agent: unit }] },
    ],
  }),
];

/** Declared, the five, and `plan` once more in each of two rounds. */
export const JOBS_PER_RUN = 5 + 5 + 2;
/** `plan`, `asked`, and `plan` in two rounds. */
export const APPROVALS_PER_RUN = 4;

export async function main(tenuto: Tenuto, orders: ChildOrders, tell: Tell): Promise<void> {
  const { ledger } = tenuto.engine.parts;
  let looking = false;
  const sayYes = async () => {
    if (looking) return;
    looking = true;
    try {
      for (const { id } of await tenuto.client.approvals({ state: "open" }))
        await tenuto.client.decide(id, { approve: true, by: `person-${process.pid}` }).catch((error) => {
          if (error.code !== "approval_decided") throw error;
        });
    } finally {
      looking = false;
    }
  };
  ledger.onCommit(() => void sayYes());
  await sayYes();
  await feed(tenuto, orders, tell, "people");
}
