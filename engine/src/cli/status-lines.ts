/**
 * Progress as the state of each job, for pipelines of few jobs that take long (`display: status`), where there is no terminal:
 *
 *   [2s] Pipeline status: running
 *     [dev] dev: completed
 *     [test] tester: running
 *
 * Invariants: (1) a block is told when a state has changed, at most one a second, and always at the end; (2) errors and
 * warnings are told at once.
 */
import type { JobState } from "../core/model.ts";
import type { Output } from "./output.ts";
import type { Teller } from "./progress.ts";
import type { News, RunView } from "./run-view.ts";

const BLOCK_MS = 1_000;

/** A job that could start is pending for people. */
const WORDS: Partial<Record<JobState, string>> = { ready: "pending" };

/** The lines of the present moment, without the time. */
export function statusLines(view: RunView): string[] {
  const jobs = view.jobs ?? [];
  const lines = jobs.map(
    (job) => `  [${view.stages[job.stage]?.name ?? "?"}] ${job.id}: ${WORDS[job.state] ?? job.state}`,
  );
  const more = view.run.jobCount - jobs.length;
  if (more > 0) lines.push(`  and ${more} more`);
  return [`Pipeline status: ${view.state}`, ...lines];
}

export class StatusLines implements Teller {
  private readonly out: Output;
  private told = "";
  private toldAt = Number.NEGATIVE_INFINITY;

  constructor(out: Output) {
    this.out = out;
  }

  tell(changes: { view: RunView; news: News[] }[]): void {
    for (const { view, news } of changes) {
      for (const { weight, text } of news) if (weight === "error" || weight === "warning") this.out.say(text);
      const [first, ...jobs] = statusLines(view);
      const block = [first, ...jobs].join("\n");
      const now = performance.now();
      if (block === this.told || (!view.over && now - this.toldAt < BLOCK_MS)) continue;
      const seconds = Math.max(0, Math.floor(((view.run.endedAt ?? Date.now()) - view.run.createdAt) / 1_000));
      this.out.say(...(this.told === "" ? [] : [""]), `[${seconds}s] ${first}`, ...jobs);
      this.told = block;
      this.toldAt = now;
    }
  }

  end(): void {}
}
