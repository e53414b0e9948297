/**
 * Figures in the text format of Prometheus.
 *
 * Owner: http. Invariant: the number of series does not grow with runs, jobs, pipelines or clients.
 */
import { statfs } from "node:fs/promises";
import { monitorEventLoopDelay } from "node:perf_hooks";
import type { Services } from "./call.ts";

const BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

export class Metrics {
  private readonly delay = monitorEventLoopDelay({ resolution: 20 });
  private readonly answers = new Map<string, number>();
  private readonly counts = BUCKETS.map(() => 0);
  private sum = 0;
  private total = 0;
  readonly live = { clients: 0, frames: 0, resyncs: 0, slow: 0 };

  constructor() {
    this.delay.enable();
  }

  /** One answer of an operation. */
  note(operation: string, status: number, seconds: number): void {
    const key = `${operation}"} ${Math.floor(status / 100)}`;
    this.answers.set(key, (this.answers.get(key) ?? 0) + 1);
    this.sum += seconds;
    this.total += 1;
    BUCKETS.forEach((bound, i) => {
      if (seconds <= bound) this.counts[i] = (this.counts[i] as number) + 1;
    });
  }

  close(): void {
    this.delay.disable();
  }

  async text({ ledger, backend }: Services): Promise<string> {
    const lines: string[] = [];
    const put = (name: string, kind: "counter" | "gauge", help: string, values: Iterable<[string, number]>) => {
      lines.push(`# HELP tenuto_${name} ${help}`, `# TYPE tenuto_${name} ${kind}`);
      for (const [labels, value] of values) lines.push(`tenuto_${name}${labels} ${value}`);
    };
    const one = (value: number): [string, number][] => [["", value]];
    const counts = await ledger.runCounts();
    put(
      "runs",
      "gauge",
      "Runs in each state.",
      Object.entries(counts).map(([state, n]) => [`{state="${state}"}`, n]),
    );
    const approvals = await ledger.approvals({ state: "open", limit: 1_000 });
    put("approvals_open", "gauge", "Approvals that nobody has decided, at most 1000.", one(approvals.length));
    put("workers_alive", "gauge", "Workers with a heartbeat.", one((await ledger.boots("alive")).length));
    put("feed_end", "counter", "Commits with events.", one(await ledger.feedEnd()));
    const { bytes } = await ledger.info();
    put("ledger_bytes", "gauge", "Size of the ledger.", one(bytes));
    const disk = await statfs(backend.home).catch(() => null);
    if (disk !== null) put("disk_free_bytes", "gauge", "Room on the disk of the home.", one(disk.bavail * disk.bsize));
    const lag = this.delay.percentile(99) / 1e9;
    put("event_loop_lag_seconds", "gauge", "99th percentile since the last look.", one(Number.isFinite(lag) ? lag : 0));
    this.delay.reset();
    put("process_resident_bytes", "gauge", "Memory of the server.", one(process.memoryUsage.rss()));
    const answers = [...this.answers].map(([key, n]): [string, number] => {
      const [operation, status] = key.split('"} ') as [string, string];
      return [`{operation="${operation}",status="${status}xx"}`, n];
    });
    put("http_answers_total", "counter", "Answers by operation.", answers);
    lines.push("# HELP tenuto_http_seconds Time until an answer.", "# TYPE tenuto_http_seconds histogram");
    BUCKETS.forEach((bound, i) => lines.push(`tenuto_http_seconds_bucket{le="${bound}"} ${this.counts[i]}`));
    lines.push(
      `tenuto_http_seconds_bucket{le="+Inf"} ${this.total}`,
      `tenuto_http_seconds_sum ${this.sum}`,
      `tenuto_http_seconds_count ${this.total}`,
    );
    put("live_clients", "gauge", "Open live streams.", one(this.live.clients));
    put("live_frames_total", "counter", "Frames sent on live streams.", one(this.live.frames));
    put("live_resyncs_total", "counter", "Clients that were too far behind.", one(this.live.resyncs));
    put("live_slow_total", "counter", "Clients that were let go because they did not read.", one(this.live.slow));
    return `${lines.join("\n")}\n`;
  }
}
