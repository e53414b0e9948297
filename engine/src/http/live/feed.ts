/**
 * The feed as batches that are made once and sent to many: what one commit has changed, in the form of the contract.
 *
 * Owner: http. Invariants: (1) batches are in the order of commits; (2) memory is bounded: what is no longer kept is read
 * from the ledger again; (3) the text of a batch is made once per kind of stream, however many clients there are.
 */
import type { Event } from "../../contract/index.ts";
import { putMark } from "../../core/audit.ts";
import type { FeedEntry } from "../../ports/feed.ts";
import type { Ledger } from "../../ports/ledger.ts";
import type { Masker } from "../mask.ts";
import { eventShape, runShape } from "../shapes.ts";

const FEED_MARK = "feed";
const KEPT = 1_024;
const KEPT_CHARS = 8 * 1_048_576;
const PAGE = 100;

export interface Batch {
  seq: number;
  events: (Event & { runSeq: number })[];
  /** Texts of the lists, without brackets: of everything, and of what concerns runs as a whole. */
  all: string;
  runs: string;
  /** Runs as they were when the batch was made, as texts, by id. */
  summaries: ReadonlyMap<string, string>;
}

export class Feed {
  /** Number of the newest entry that has been seen. */
  end = 0;
  private readonly ledger: Ledger;
  private readonly masker: Masker;
  private kept: Batch[] = [];
  private chars = 0;
  private last: Promise<boolean> = Promise.resolve(false);

  constructor(ledger: Ledger, masker: Masker) {
    this.ledger = ledger;
    this.masker = masker;
  }

  /** From now on every process that commits to this ledger tells the feed. */
  async begin(): Promise<void> {
    await this.ledger.apply(putMark(FEED_MARK, 1));
    this.end = await this.ledger.feedEnd();
  }

  /** Takes in what has been committed since; gives whether there was something. One after the other, so that each is once. */
  advance(): Promise<boolean> {
    this.last = this.last.catch(() => false).then(() => this.takeIn());
    return this.last;
  }

  private async takeIn(): Promise<boolean> {
    let moved = false;
    for (;;) {
      const entries = await this.ledger.feed(this.end, PAGE);
      for (const entry of entries) {
        const batch = await this.batchOf(entry);
        this.keep(batch);
        this.end = batch.seq;
        moved = true;
      }
      if (entries.length < PAGE) return moved;
    }
  }

  /** The batches after a number, up to the end that has been seen; at most a page. */
  async after(seq: number): Promise<Batch[]> {
    const first = this.kept[0]?.seq;
    if (first !== undefined && seq >= first - 1) {
      const at = this.kept.findIndex((batch) => batch.seq > seq);
      return at < 0 ? [] : this.kept.slice(at, at + PAGE);
    }
    if (seq >= this.end) return [];
    const batches: Batch[] = [];
    for (const entry of await this.ledger.feed(seq, 20))
      if (entry.seq <= this.end) batches.push(await this.batchOf(entry));
    return batches;
  }

  /** Whether everything after a number is still there. */
  async reaches(seq: number): Promise<boolean> {
    return seq <= this.end && seq >= (await this.ledger.feedStart()) - 1;
  }

  private keep(batch: Batch): void {
    this.kept.push(batch);
    this.chars += sizeOf(batch);
    while (this.kept.length > KEPT || (this.chars > KEPT_CHARS && this.kept.length > 1))
      this.chars -= sizeOf(this.kept.shift() as Batch);
  }

  private async batchOf(entry: FeedEntry): Promise<Batch> {
    const events: Batch["events"] = [];
    const summaries = new Map<string, string>();
    for (const range of entry.ranges) {
      for (const event of await this.ledger.feedEvents(range))
        events.push({ ...eventShape(event.runId, event), runSeq: event.run });
      const summary = await this.ledger.runSummary(range.run);
      if (summary !== null) summaries.set(summary.id, this.masker.json(JSON.stringify(runShape(summary))));
    }
    const textOf = (list: readonly object[]) =>
      this.masker.json(list.map((one) => JSON.stringify({ ...one, runSeq: undefined })).join(","));
    return {
      seq: entry.seq,
      events,
      all: textOf(events),
      runs: textOf(events.filter(({ name }) => name.startsWith("run.") || name.startsWith("approval."))),
      summaries,
    };
  }
}

function sizeOf(batch: Batch): number {
  return 2 * batch.all.length + batch.runs.length + 600 * batch.summaries.size;
}
