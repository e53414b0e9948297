/** One run of which each machine does a part: `facts.takes` says which. What one part makes, the next one needs. */
import { type Context, defineAgent, definePipeline, type OpenOptions } from "tenuto";
import { begin, effect } from "../../crash/journal.ts";
import type { ChildOrders } from "../../crash/process.ts";

const make = defineAgent({
  name: "parts/make",
  async run(_input, ctx: Context) {
    const nonce = begin(ctx.idempotencyKey, ctx.attempt);
    await ctx.artifact("note.txt", "made here");
    const numbers = await ctx.dataset(
      "numbers",
      Array.from({ length: 300 }, (_, n) => ({ n })),
    );
    ctx.log.info("made by make");
    return { numbers, nonce: effect(ctx.idempotencyKey, ctx.attempt, nonce) };
  },
});

const add = defineAgent({ name: "parts/add", run: (item: { n: number }) => item.n });

const use = defineAgent({
  name: "parts/use",
  async run({ sums, lines }: { sums: unknown; lines: string }, ctx: Context) {
    let total = 0;
    for await (const sum of ctx.open<number>(sums as never)) total += sum;
    ctx.log.info("used by use");
    return { total, lines: lines.trim() };
  },
});

const PROGRAM = [
  "echo raw from a program",
  'printf \'{"lines":"%s"}\' "$(cat inputs/make/note.txt)" > "$TENUTO_OUTPUT"',
].join("\n");

export const pipelines = () => [
  definePipeline({
    name: "parts",
    jobs: [
      { id: "make", agent: make },
      {
        id: "each",
        agent: add,
        needs: ["make"],
        forEach: { source: "{{ jobs.make.output.numbers }}", concurrency: 8 },
      },
      { id: "program", needs: ["make"], command: { shell: PROGRAM } },
      {
        id: "use",
        agent: use,
        needs: ["each", "program"],
        input: { sums: "{{ jobs.each.output }}", lines: "{{ jobs.program.output.lines }}" },
      },
    ],
    agents: [make, add, use],
  }),
];

const TAKES: Record<string, RegExp> = { make: /^parts\/(make|add)$/, use: /^parts\/use$/, command: /^command\// };

export function prepare(orders: ChildOrders): Partial<OpenOptions> {
  const pattern = TAKES[(orders.facts?.takes as string) ?? ""] ?? /./;
  return { takes: (agent) => pattern.test(agent) };
}
