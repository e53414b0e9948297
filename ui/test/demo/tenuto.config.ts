/**
 * Pipelines for looking at the dashboard: small, without anything outside, with each kind of job and of end, and with texts
 * that try to be markup. Used by the browser tests and by the screenshots.
 */
import { defineAgent, definePipeline } from "tenuto";
import { z } from "zod";
import { llmReview } from "../../../examples/llm-review.ts";
import { markup } from "./markup.ts";

const definePipelines = () => [
  directory(),
  report(),
  importing(),
  release(),
  hold(),
  wide(),
  strict(),
  tolerant(),
  markup(),
  llmReview,
];

const PAGES = 120;
const PIXEL =
  "iVBORw0KGgoAAAANSUhEUgAAAGAAAAAwCAIAAABhdOiYAAAAUUlEQVR42u3QMREAAAgEoO9fWlN4vIMgsJpMRxRAkCBBggQJEiRIkCBBggQJEiRIkCBBggQJEiRIkCBBggQJEiRIkCBBggQJEiRIkCBBgj4EPYxIATG6kCCUAAAAAElFTkSuQmCC";

function directory() {
  const discover = defineAgent({
    name: "discovery/site_map",
    description: "Lists the pages of a directory.",
    run: ({ site, pages }: { site: string; pages: number }, ctx) => {
      ctx.log.info(`reading the site map of ${site}`);
      ctx.log.info(`\u001b[32mfound\u001b[0m ${pages} pages in \u001b[1m7\u001b[0m sections`);
      return Array.from({ length: pages }, (_, i) => ({ url: `https://${site}/members/${i + 1}` }));
    },
  });
  const fetchPage = defineAgent({
    name: "extraction/html_parser",
    description: "Reads the entries of one page.",
    run: ({ url }: { url: string }, ctx) => {
      const page = Number(url.split("/").at(-1));
      if (page % 41 === 0) throw new Error(`${url}: the page has no list of members`);
      ctx.log.info(`${url}: ${3 + (page % 5)} entries`);
      return { url, entries: 3 + (page % 5) };
    },
  });
  const clean = defineAgent({
    name: "enrichment/normaliser",
    description: "Names, towns and post codes in one form.",
    run: async (_: unknown, ctx) => {
      ctx.log.warn("12 post codes have four digits; a zero was put before them");
      await ctx.artifact("members.csv", 'name,town,post code\r\n"Müller, Anna",Ulm,89073\r\nBerg GmbH,Köln,50667\r\n', {
        mediaType: "text/csv",
      });
      return { entries: 587, changed: 12 };
    },
  });
  const write = defineAgent({
    name: "storage/directory",
    description: "Writes the directory and a summary.",
    run: async ({ entries }: { entries: number }, ctx) => {
      await ctx.artifact(
        "summary.md",
        `# Directory\n\n${entries} members were read. **12** post codes were mended.\n\n- towns: 41\n- without a telephone: 9\n\nSee [the site](https://example.org/).\n`,
        { mediaType: "text/markdown" },
      );
      await ctx.artifact("map.png", Buffer.from(PIXEL, "base64"), { mediaType: "image/png" });
      await ctx.artifact("directory.json", JSON.stringify({ entries, towns: ["Ulm", "Köln", "Bonn"] }), {
        mediaType: "application/json",
      });
      return { entries };
    },
  });
  return definePipeline({
    name: "directory",
    description: "Reads the members of an association's site into a directory.",
    params: z.object({
      site: z.string().max(120).default("example.org").describe("Host of the site."),
      pages: z.int().min(1).max(1_000).default(PAGES).describe("How many pages to read."),
      depth: z.enum(["quick", "full"]).default("full"),
      verify: z.boolean().default(true).describe("Look at each entry twice."),
    }),
    stages: [
      {
        name: "discover",
        jobs: [
          { id: "pages", agent: discover, input: { site: "{{ params.site }}", pages: "{{ params.pages }}" } },
          { id: "robots", command: { argv: ["echo", "allowed: /members"], output: "stdout-text" } },
        ],
      },
      {
        name: "extract",
        jobs: [
          {
            id: "members",
            agent: fetchPage,
            retry: { maxRetries: 0 },
            input: { url: "{{ item.url }}" },
            forEach: { source: "{{ jobs.pages.output }}", concurrency: 8, errorRate: 0.2 },
          },
        ],
      },
      {
        name: "enrich",
        jobs: [
          { id: "clean", agent: clean },
          { id: "towns", needs: ["clean"], command: { argv: ["echo", "41 towns"], output: "stdout-text" } },
        ],
      },
      { name: "store", jobs: [{ id: "write", agent: write, input: { entries: 587 } }] },
    ],
  });
}

function report() {
  const load = defineAgent({
    name: "report/load",
    run: (_: unknown, ctx) => {
      ctx.log.info("opening the warehouse");
      ctx.log.info("42 tables, 3 of them newer than the last report");
      return { tables: 42 };
    },
  });
  const check = defineAgent({
    name: "report/check",
    run: (_: unknown, ctx) => {
      ctx.log.info("comparing sums of 42 tables");
      ctx.log.warn("orders: 18,204 rows, 17,911 the day before");
      ctx.log.error("invoices: the sum differs from the ledger by 1,204.50");
      throw new Error("invoices: the sum of the day is 88,120.75, the ledger says 89,325.25");
    },
  });
  return definePipeline({
    name: "nightly-report",
    description: "Checks the day's figures and writes the report.",
    agents: [load, check],
    stages: [
      { name: "load", jobs: [{ id: "warehouse", agent: "report/load" }] },
      {
        name: "check",
        jobs: [
          { id: "sums", agent: "report/check", retry: { maxRetries: 1, baseSeconds: 0.01 } },
          {
            id: "dates",
            command: { argv: ["sh", "-c", "echo checking dates; echo all of 2026"], output: "stdout-text" },
          },
        ],
      },
      {
        name: "publish",
        jobs: [
          { id: "render", agent: "report/load" },
          { id: "send", agent: "report/load", needs: ["render"] },
        ],
      },
    ],
  });
}

function importing() {
  const load = defineAgent({
    name: "import/load",
    run: async ({ rows }: { rows: number }, ctx) => {
      ctx.log.info(`${rows} rows are offered`);
      if (rows <= 100) return { rows };
      if (ctx.attempt === 1) throw Object.assign(new Error("the other end did not answer"), { code: "ETIMEDOUT" });
      ctx.log.error(`${rows} rows are too many`);
      throw new Error(`${rows} rows, at most 100 are taken`);
    },
  });
  return definePipeline({
    name: "import",
    description: "Takes the rows of the day.",
    params: z.object({ rows: z.int().default(40) }),
    agents: [load],
    stages: [
      {
        name: "take",
        jobs: [
          {
            id: "load",
            agent: "import/load",
            input: { rows: "{{ params.rows }}" },
            retry: { maxRetries: 1, baseSeconds: 0.01 },
          },
          { id: "other", agent: "import/load", input: { rows: "{{ params.rows }}" }, retry: { maxRetries: 0 } },
        ],
      },
      { name: "store", jobs: [{ id: "store", command: { argv: ["echo", "stored"], output: "stdout-text" } }] },
    ],
  });
}

const DIFF = `diff --git a/billing/rates.ts b/billing/rates.ts
--- a/billing/rates.ts
+++ b/billing/rates.ts
@@ -12,7 +12,7 @@ export const RATES = {
   standard: 0.19,
-  reduced: 0.07,
+  reduced: 0.05,
   none: 0,
 };`;

function release() {
  const ship = defineAgent({ name: "release/ship", run: ({ tag }: { tag: string }) => `shipped ${tag}` });
  const ask = defineAgent({
    name: "release/ask",
    run: async ({ tag }: { tag: string }, ctx) => {
      const answer = await ctx.approval("release", {
        title: `Release ${tag} to production`,
        show: { tag, risk: "low", reviewers: ["anna", "li"], diff: DIFF },
        editable: true,
        expiresSeconds: 86_400,
      });
      return answer.value;
    },
  });
  return definePipeline({
    name: "release",
    description: "Builds, asks, and ships.",
    params: z.object({ tag: z.string().max(50).default("v1.4.2") }),
    agents: [ship, ask],
    stages: [
      { name: "build", jobs: [{ id: "build", command: { argv: ["echo", "built"], output: "stdout-text" } }] },
      { name: "review", jobs: [{ id: "ask", agent: "release/ask", input: { tag: "{{ params.tag }}" } }] },
      { name: "ship", jobs: [{ id: "ship", agent: "release/ship", input: { tag: "{{ params.tag }}" } }] },
    ],
  });
}

function hold() {
  const wait = defineAgent({
    name: "test/hold",
    run: async (_: unknown, ctx) => {
      for (let line = 1; !ctx.signal.aborted; line++) {
        ctx.log.info(`still at it, ${line}`);
        await new Promise((resolve) => {
          const timer = setTimeout(resolve, 500);
          ctx.signal.addEventListener("abort", () => {
            clearTimeout(timer);
            resolve(null);
          });
        });
      }
      throw ctx.signal.reason;
    },
  });
  return definePipeline({
    name: "migration",
    description: "Works until it is cancelled.",
    agents: [wait],
    stages: [
      { name: "copy", jobs: [{ id: "tables", agent: "test/hold", timeoutSeconds: 3_600 }] },
      { name: "switch", jobs: [{ id: "switch", command: { argv: ["echo", "done"] } }] },
    ],
  });
}

const SIZE = 400;

function wide() {
  const shard = defineAgent({ name: "batch/shard", run: ({ n }: { n: number }) => n });
  return definePipeline({
    name: "batch",
    description: "Many jobs side by side.",
    agents: [shard],
    stages: [
      {
        name: "shards",
        jobs: Array.from({ length: SIZE }, (_, n) => ({ id: `shard-${n}`, agent: "batch/shard", input: { n } })),
      },
      { name: "merge", jobs: [{ id: "merge", agent: "batch/shard", input: { n: 0 } }] },
    ],
  });
}

function strict() {
  const odd = defineAgent({
    name: "test/odd",
    run: ({ n }: { n: number }) => {
      if (n % 2 === 0) throw new Error(`${n} is even`);
      return n;
    },
  });
  return definePipeline({
    name: "strict",
    description: "Fails for even numbers, and tolerates none.",
    agents: [odd],
    jobs: [
      {
        id: "each",
        agent: "test/odd",
        retry: { maxRetries: 0 },
        input: { n: "{{ item }}" },
        forEach: { source: [1, 2, 3, 4, 5], concurrency: 1, errorRate: 0 },
      },
    ],
  });
}

/** Its run fails only for another job, so that items of it can be chosen. */
function tolerant() {
  const odd = defineAgent({
    name: "test/tolerated",
    run: ({ n }: { n: number }) => {
      if (n % 2 === 0) throw new Error(`${n} is even`);
      return n;
    },
  });
  return definePipeline({
    name: "tolerant",
    description: "Fails at its end for even numbers, after all were tried.",
    agents: [odd],
    jobs: [
      {
        id: "each",
        agent: "test/tolerated",
        retry: { maxRetries: 0 },
        input: { n: "{{ item }}" },
        forEach: { source: [1, 2, 3, 4], concurrency: 1, errorRate: 0.3 },
      },
    ],
  });
}

export default { pipelines: definePipelines() };
