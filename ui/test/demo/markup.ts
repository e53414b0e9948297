/** A pipeline that puts hostile texts wherever a pipeline can put a text. */
import { defineAgent, definePipeline } from "tenuto";
import { z } from "zod";
import { PAYLOADS } from "./payloads.ts";

const all = PAYLOADS.join("\n");
const first = PAYLOADS[0] as string;
const second = PAYLOADS[1] as string;

/** What a crawler brings home: text of pages of other people. */
const scraped = (n: number) => ({
  url: `https://example.org/${encodeURIComponent(PAYLOADS[n] as string)}`,
  title: PAYLOADS[n] as string,
  [PAYLOADS[n] as string]: PAYLOADS[n] as string,
});

const ARTIFACTS: readonly (readonly [string, string, string])[] = [
  ["page.html", "text/html", all],
  ["drawing.svg", "image/svg+xml", '<svg xmlns="http://www.w3.org/2000/svg" onload="globalThis.__ran=1"/>'],
  ["text.md", "text/markdown", `${PAYLOADS.join("\n\n")}\n\n[click](javascript:globalThis.__ran=1)\n\n<${first}>`],
  ["rows.jsonl", "application/x-ndjson", PAYLOADS.map((text) => JSON.stringify({ [text]: text })).join("\n")],
  ["rows.csv", "text/csv", PAYLOADS.map((text) => `"${text.replaceAll('"', '""')}",1`).join("\r\n")],
  ["value.json", "application/json", JSON.stringify({ all: PAYLOADS, [first]: second })],
  ["change.diff", "text/x-diff", PAYLOADS.map((text) => `+${text}`).join("\n")],
  ["plain.txt", "text/plain", PAYLOADS.map((text) => `\u001b[31m${text}\u001b[0m`).join("\n")],
  ["not-an-image.png", "image/png", all],
  [
    "transcript.json",
    "application/json",
    JSON.stringify({
      agent: first,
      model: second,
      system: all,
      tools: [first],
      messages: [
        { role: first, content: all },
        { role: "assistant", content: [{ type: "tool-call", toolName: first, input: { text: all } }] },
        { role: "tool", content: [{ type: "tool-result", toolName: second, output: all }] },
      ],
      error: { code: first, message: all },
    }),
  ],
];

export function markup() {
  const say = defineAgent({
    name: "test/markup",
    description: second,
    run: async (_: unknown, ctx) => {
      for (const text of PAYLOADS) {
        ctx.log.info(text, { [text]: text });
        ctx.log.error(`${text} \u001b]8;;javascript:alert(1)\u0007link\u001b]8;;\u0007 \u001b[31m${text}\u001b[0m`);
        ctx.log.warn(`\u001b]8;id=1;https://example.org/\u001b\\${text}\u001b]8;;\u001b\\ \u009b31m${text}`);
      }
      for (const [name, mediaType, bytes] of ARTIFACTS) await ctx.artifact(name, bytes, { mediaType });
      await ctx.approval("decide", {
        title: first,
        show: { all: [...PAYLOADS], diff: `+${second}` },
        editable: true,
      });
      return PAYLOADS;
    },
  });
  const fail = defineAgent({
    name: "test/markup_error",
    run: () => {
      throw Object.assign(new Error(PAYLOADS.join(" ")), { code: first, details: { [first]: all } });
    },
  });
  const fetched = defineAgent({ name: "test/markup_item", run: ({ page }: { page: object }) => page });
  return definePipeline({
    name: "markup",
    description: first,
    params: z.object({ text: z.string().default(first).describe(second) }),
    agents: [say, fail, fetched],
    jobs: [
      { id: "say", agent: "test/markup", input: { text: "{{ params.text }}" } },
      { id: "fail", agent: "test/markup_error", retry: { maxRetries: 0 }, allowFailure: true, summary: first },
      {
        id: "pages",
        agent: "test/markup_item",
        input: { page: "{{ item }}" },
        forEach: { source: PAYLOADS.slice(0, 34).map((_, n) => scraped(n)), concurrency: 4 },
      },
    ],
  });
}
