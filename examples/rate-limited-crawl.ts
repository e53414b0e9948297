// Shows: a crawl that keeps a rate per host, declared once; a 429 with Retry-After is honoured; the server proves the rate.
// Run:   npm run example examples/rate-limited-crawl.ts
//        (it starts its own server on loopback; nothing leaves this machine)
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { defineAgent, definePipeline, openTenuto } from "tenuto";
import { z } from "zod";

const RATE = 40;
/** When the limiter let each request go. */
const letGo: number[] = [];

/** The error of an HTTP answer: `status` decides the category, `retryAfterMs` is honoured. */
class HttpError extends Error {
  readonly status: number;
  readonly retryAfterMs: number | undefined;
  constructor(url: string, response: Response) {
    super(`${url} answered ${response.status}`);
    this.name = "HttpError";
    this.status = response.status;
    const seconds = Number(response.headers.get("retry-after"));
    this.retryAfterMs = seconds > 0 ? seconds * 1_000 : undefined;
  }
}

const fetchPage = defineAgent({
  name: "crawl/fetch",
  input: z.string(),
  output: z.object({ url: z.string(), title: z.string() }),
  run: async (url, ctx) => {
    // Waits here until the limiter of this host lets one request go. It is on disk: a restart does not reset it.
    await ctx.limit(`host:${new URL(url).host}`);
    letGo.push(performance.now());
    const response = await fetch(url, { signal: ctx.signal });
    const body = await response.text();
    if (!response.ok) throw new HttpError(url, response);
    return { url, title: /<title>(.*?)<\/title>/.exec(body)?.[1] ?? "" };
  },
});

export const rateLimitedCrawl = definePipeline({
  name: "rate-limited-crawl",
  params: z.object({ base: z.string(), pages: z.number().int().min(1).default(60) }),
  limiters: {
    // One limiter per key. All runs of this ledger share it.
    "host:*": { rate: { count: RATE, perSeconds: 1 }, breaker: { failures: 5, openSeconds: 60 } },
  },
  agents: [fetchPage],
  run: async (ctx, { base, pages }) => {
    const urls = Array.from({ length: pages }, (_, page) => `${base}/page/${page}`);
    const fetched = await ctx.map("pages", urls, "crawl/fetch", {
      concurrency: 10,
      errorRate: 0.05,
      retry: { maxRetries: 3, baseSeconds: 0.1 },
    });
    return fetched.result as unknown as { total: number; completed: number; skipped: number };
  },
});

/** A site that writes down when each request came, and refuses one of them once. */
export async function startSite() {
  const arrivals: { path: string; at: number; status: number }[] = [];
  let refused = false;
  const server = createServer((request, response) => {
    const path = request.url ?? "";
    const refuse = path === "/page/10" && !refused;
    const status = refuse ? 429 : path === "/page/20" ? 404 : 200;
    refused ||= refuse;
    arrivals.push({ path, at: performance.now(), status });
    response.writeHead(status, refuse ? { "retry-after": "1" } : {});
    response.end(`<title>Page ${path.split("/").at(-1)}</title>`);
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    arrivals,
    close: () => new Promise((done) => server.close(done).closeAllConnections()),
  };
}

/** The most of these times within any one second. */
function mostInOneSecond(times: readonly number[]): number {
  return Math.max(...times.map((at) => times.filter((other) => other >= at && other < at + 1_000).length));
}

/** Crawls the site and says how fast requests were let go, and what the server saw of them. */
export async function crawl(home: string, pages = 60) {
  const site = await startSite();
  letGo.length = 0;
  try {
    await using tenuto = await openTenuto({ home, pipelines: [rateLimitedCrawl] });
    const run = await tenuto.start(rateLimitedCrawl, { base: site.url, pages });
    const end = await run.wait({ timeoutMs: 60_000 });
    const { arrivals } = site;
    const refusedAt = arrivals.find(({ status }) => status === 429)!;
    const againAt = arrivals.find(({ path, status }) => path === refusedAt.path && status === 200)!;
    return {
      end,
      requests: arrivals.length,
      perSecond: (letGo.length - 1) / ((letGo.at(-1)! - letGo[0]!) / 1_000),
      mostLetGo: mostInOneSecond(letGo),
      mostInOneSecond: mostInOneSecond(arrivals.map(({ at }) => at)),
      retriedAfterMs: againAt.at - refusedAt.at,
    };
  } finally {
    await site.close();
  }
}

if (import.meta.main) {
  const { end, requests, perSecond, mostLetGo, mostInOneSecond: arrived, retriedAfterMs } = await crawl(".tenuto");
  console.log(end.state, end.output);
  console.log(`${requests} requests, let go at ${perSecond.toFixed(1)} a second on average (declared: ${RATE})`);
  // Within any second the limiter books the rate and one that may go at once; what is measured is late by timers and network.
  console.log(
    `booked within any second: at most ${RATE + 1}; left, after late timers: ${mostLetGo}; arrived: ${arrived}`,
  );
  console.log(`the page that answered 429 with Retry-After 1 was asked again after ${Math.round(retriedAfterMs)} ms`);
}
