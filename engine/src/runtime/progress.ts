/** Progress that code reports: published as an event at most twice a second per job, the last one always. */
import * as changes from "../core/changes.ts";
import { PROGRESS_EVERY_MS } from "../core/limits.ts";
import type { JobSeq, Json } from "../core/model.ts";
import type { Parts } from "./parts.ts";
import type { AttemptScope } from "./scope.ts";

interface Last {
  at: number;
  pending: { cancel(): void } | null;
}

export class ProgressReports {
  private readonly parts: Parts;
  private readonly last = new Map<JobSeq, Last>();

  constructor(parts: Parts) {
    this.parts = parts;
  }

  publish(scope: AttemptScope, done: number, total?: number, message?: string): void {
    const { clock } = this.parts;
    const { job } = scope.facts;
    const entry = this.last.get(job.seq) ?? { at: Number.NEGATIVE_INFINITY, pending: null };
    this.last.set(job.seq, entry);
    entry.pending?.cancel();
    const data: { [key: string]: Json } = { done };
    if (total !== undefined) data["total"] = total;
    if (message !== undefined) data["message"] = message.slice(0, 500);
    const send = () => {
      entry.at = clock.now();
      entry.pending = null;
      if (this.last.size > 1_000) this.last.clear();
      void this.parts.ledger.apply(changes.reportProgress(job.seq, scope.lease, data)).catch(() => {});
    };
    const waitMs = entry.at + PROGRESS_EVERY_MS - clock.now();
    if (waitMs <= 0) send();
    else entry.pending = clock.after(waitMs, send);
  }
}
