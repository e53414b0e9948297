/**
 * Who waits for the end of which run: one listener on commits for all of them, a look at the ledger when another process
 * has written, and a slow poll in case a hint was lost.
 */
import { TenutoError } from "../core/errors.ts";
import { isRunEnd, type RunRow, type RunSeq } from "../core/model.ts";
import type { Parts } from "./parts.ts";

type Waiter = (run: RunRow) => void;

const POLL_MS = 2_000;
const TRACKED_RUNS = 10_000;

export class RunWaiters {
  private readonly parts: Parts;
  private readonly waiting = new Map<RunSeq, Set<Waiter>>();
  /** Runs that this process has started and nobody has asked about yet, with their end once it is known. */
  private readonly tracked = new Map<RunSeq, RunRow | null>();
  private stopListening: (() => void)[] | null = null;
  private poll: { cancel(): void } | null = null;

  constructor(parts: Parts) {
    this.parts = parts;
  }

  /** The run's row when it has ended. @throws timeout, not_found */
  async ended(seq: RunSeq, timeoutMs: number | undefined): Promise<RunRow> {
    const known = this.tracked.get(seq);
    this.tracked.delete(seq);
    if (known != null) return known;
    let remove = () => {};
    let deadline: { cancel(): void } | null = null;
    const end = new Promise<RunRow>((resolve, reject) => {
      remove = this.add(seq, resolve);
      if (timeoutMs === undefined) return;
      deadline = this.parts.clock.after(timeoutMs, () =>
        reject(
          new TenutoError("timeout", `the run has not ended within ${timeoutMs} ms`, {
            hint: "It goes on; look at it with `tenuto runs watch`.",
          }),
        ),
      );
    });
    try {
      if (known === null) return await end;
      const run = await this.parts.ledger.run(seq);
      if (run === null) throw new TenutoError("not_found", "the run has been pruned");
      return isRunEnd(run.state) ? run : await end;
    } finally {
      remove();
      (deadline as { cancel(): void } | null)?.cancel();
    }
  }

  /** Called right after a start: from now on the end of the run is not missed. */
  track(seq: RunSeq): void {
    if (this.tracked.size >= TRACKED_RUNS) this.tracked.delete(this.tracked.keys().next().value as RunSeq);
    this.tracked.set(seq, null);
    this.listen();
  }

  private add(seq: RunSeq, waiter: Waiter): () => void {
    const waiters = this.waiting.get(seq) ?? new Set();
    this.waiting.set(seq, waiters);
    waiters.add(waiter);
    this.listen();
    return () => {
      waiters.delete(waiter);
      if (waiters.size === 0) this.waiting.delete(seq);
      if (this.waiting.size === 0 && this.tracked.size === 0) this.rest();
    };
  }

  private listen(): void {
    if (this.stopListening !== null) return;
    const { ledger } = this.parts;
    this.stopListening = [
      ledger.onCommit((hints) => {
        for (const run of hints.endedRuns) this.tell(run);
      }),
      ledger.onForeignWrite(() => void this.look()),
    ];
    this.pollLater();
  }

  private rest(): void {
    for (const stop of this.stopListening ?? []) stop();
    this.stopListening = null;
    this.poll?.cancel();
    this.poll = null;
  }

  private pollLater(): void {
    this.poll = this.parts.clock.after(POLL_MS, () => {
      void this.look();
      if (this.waiting.size > 0) this.pollLater();
    });
  }

  private async look(): Promise<void> {
    for (const seq of this.waiting.keys()) {
      const run = await this.parts.ledger.run(seq).catch(() => null);
      if (run !== null && isRunEnd(run.state)) this.tell(run);
    }
  }

  private tell(run: RunRow): void {
    if (this.tracked.has(run.seq)) this.tracked.set(run.seq, run);
    for (const waiter of this.waiting.get(run.seq) ?? []) waiter(run);
  }
}
