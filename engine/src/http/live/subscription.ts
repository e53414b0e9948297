/**
 * What one client follows, and how far it has come: gives one frame after the other until there is nothing new.
 *
 * Owner: http. Invariants: (1) nothing waits here: what a client has not been sent is read again from where it stands, so a
 * slow client costs a number; (2) a frame's cursor covers everything up to it: who resumes there misses nothing and sees
 * nothing twice; (3) what can no longer be given is said with `resync`, never left out in silence.
 */
import type { LogLine } from "../../contract/index.ts";
import { TenutoError } from "../../core/errors.ts";
import type { Ledger } from "../../ports/ledger.ts";
import type { LogSink, LogLine as PortLine } from "../../ports/log-sink.ts";
import type { Masker } from "../mask.ts";
import { eventShape, lineShape, runShape } from "../shapes.ts";
import type { Feed } from "./feed.ts";

export interface Sources {
  ledger: Ledger;
  logs: LogSink;
  feed: Feed;
  masker: Masker;
}

export interface Asked {
  topic: "all" | "runs" | "run" | "job" | "log";
  run?: string | undefined;
  job?: string | undefined;
  level?: "INFO" | "WARNING" | "ERROR" | undefined;
  after?: string | undefined;
}

export interface Frame {
  /** `event` of server-sent events. */
  type: "events" | "log" | "resync" | "subscribed";
  cursor: string;
  /** JSON without the field `id`. */
  fields: string;
}

export interface Subscription {
  /** The next frame; null if there is nothing new. */
  next(): Promise<Frame | null>;
  /** Follows log lines, which no commit announces. */
  readonly polled: boolean;
  /** Where it stands, as a cursor. */
  readonly position: string;
  close?(): void;
}

const frame = (type: Frame["type"], cursor: string, more: string): Frame => ({
  type,
  cursor,
  fields: `"type":"${type}","cursor":"${cursor}"${more === "" ? "" : `,${more}`}`,
});

/** The first frame of a subscription: where it begins. */
export const subscribed = (cursor: string): Frame => frame("subscribed", cursor, "");

const resync = (cursor: string, reason: string) => frame("resync", cursor, `"reason":${JSON.stringify(reason)}`);

/** @throws not_found, invalid_input */
export async function subscribe(sources: Sources, asked: Asked): Promise<Subscription> {
  const { topic, run, after } = asked;
  if (topic === "all" || topic === "runs") return await followFeed(sources, topic, after);
  if (run === undefined || (topic === "job" && asked.job === undefined))
    throw new TenutoError("invalid_input", `the topic ${topic} needs ${run === undefined ? "a run" : "a job"}`);
  const record = await sources.ledger.runById(run);
  if (record === null) throw new TenutoError("not_found", `there is no run ${JSON.stringify(run)}`);
  const from = Number((after ?? "0").split("-")[0]);
  if (topic === "log") {
    const newest = from === 0 ? 0 : await sources.logs.lines(record.id);
    return new LogSubscription(sources, record.id, asked, Math.min(from, newest), from > newest);
  }
  return new RunSubscription(sources, record, topic === "job" ? (asked.job as string) : null, from);
}

async function followFeed(sources: Sources, topic: "all" | "runs", after: string | undefined): Promise<Subscription> {
  const { feed } = sources;
  await feed.advance();
  if (after === undefined) return new FeedSubscription(sources, topic, feed.end, null);
  const from = Number(after.split("-")[0]);
  if (await feed.reaches(from)) return new FeedSubscription(sources, topic, from, null);
  const reason = from > feed.end ? "the ledger is another one, or was restored" : "what came then is no longer kept";
  return new FeedSubscription(sources, topic, feed.end, reason);
}

const FRAME_CHARS = 128 * 1_024;

class FeedSubscription implements Subscription {
  readonly polled = false;
  private readonly sources: Sources;
  private readonly topic: "all" | "runs";
  private cursor: number;
  private lost: string | null;

  constructor(sources: Sources, topic: "all" | "runs", cursor: number, lost: string | null) {
    this.sources = sources;
    this.topic = topic;
    this.cursor = cursor;
    this.lost = lost;
  }

  get position(): string {
    return String(this.cursor);
  }

  async next(): Promise<Frame | null> {
    const { feed } = this.sources;
    if (this.lost !== null) {
      const reason = this.lost;
      this.lost = null;
      return resync(String(this.cursor), reason);
    }
    if (this.cursor >= feed.end) return null;
    const batches = await feed.after(this.cursor);
    if (batches.length === 0) {
      // Entries that should be there are not: they were trimmed while this client did not read.
      this.cursor = feed.end;
      return resync(String(this.cursor), "what came then is no longer kept");
    }
    if (batches[0]!.seq > this.cursor + 1 && !(await feed.reaches(this.cursor))) {
      this.cursor = feed.end;
      return resync(String(this.cursor), "what came then is no longer kept");
    }
    const events: string[] = [];
    const runs = new Map<string, string>();
    let chars = 0;
    for (const batch of batches) {
      const text = batch[this.topic];
      this.cursor = batch.seq;
      if (text !== "") events.push(text);
      for (const [id, summary] of batch.summaries) runs.set(id, summary);
      chars += text.length + 600 * batch.summaries.size;
      if (chars > FRAME_CHARS) break;
    }
    return frame(
      "events",
      String(this.cursor),
      `"events":[${events.join(",")}],"runs":[${[...runs.values()].join(",")}]`,
    );
  }
}

const EVENTS = 500;

class RunSubscription implements Subscription {
  readonly polled = false;
  private readonly sources: Sources;
  private readonly run: { seq: number; id: string };
  private readonly job: string | null;
  private cursor: number;
  /** Up to where the feed is known to hold nothing of this run that was not sent. */
  private seen = -1;
  private checked = false;

  constructor(sources: Sources, run: { seq: number; id: string }, job: string | null, cursor: number) {
    this.sources = sources;
    this.run = { seq: run.seq, id: run.id };
    this.job = job;
    this.cursor = cursor;
  }

  get position(): string {
    return String(this.cursor);
  }

  async next(): Promise<Frame | null> {
    const { ledger, feed, masker } = this.sources;
    if (!this.checked) {
      this.checked = true;
      const present = (await ledger.run(this.run.seq))?.eventSeq ?? 0;
      if (this.cursor > present) {
        this.cursor = present;
        return resync(String(present), "the run has fewer events: the ledger was restored");
      }
    }
    while (this.seen < feed.end) {
      const upTo = feed.end;
      if (this.seen >= 0 && !(await this.concerned())) continue;
      const events = await ledger.events(this.run.seq, this.cursor, EVENTS);
      if (events.length < EVENTS) this.seen = Math.max(this.seen, upTo);
      if (events.length === 0) continue;
      this.cursor = events.at(-1)!.seq;
      const wanted = events.filter((event) => this.wants(event.job));
      if (wanted.length === 0) continue;
      const summary = await ledger.runSummary(this.run.seq);
      const texts = wanted.map((event) => JSON.stringify(eventShape(this.run.id, event))).join(",");
      const runs = summary === null ? "" : JSON.stringify(runShape(summary));
      return frame("events", String(this.cursor), masker.json(`"events":[${texts}],"runs":[${runs}]`));
    }
    return null;
  }

  /** Whether the next batches of the feed hold something of this run; moves on over those that do not. */
  private async concerned(): Promise<boolean> {
    const batches = await this.sources.feed.after(this.seen);
    if (batches.length === 0) {
      this.seen = this.sources.feed.end;
      return true;
    }
    for (const batch of batches) {
      if (batch.events.some((event) => event.runSeq === this.run.seq)) return true;
      this.seen = batch.seq;
    }
    return false;
  }

  private wants(job: string | null): boolean {
    return this.job === null || job === this.job || job?.startsWith(`${this.job}/`) === true;
  }
}

const LINES = 500;
const RANK = { INFO: 0, WARNING: 1, ERROR: 2 };

class LogSubscription implements Subscription {
  readonly polled = true;
  private readonly sources: Sources;
  private readonly run: string;
  private readonly asked: Asked;
  private cursor: number;
  /** It has been told of lines that are not there. */
  private lost: boolean;
  private reader: AsyncIterator<PortLine & { number: number }> | null = null;

  constructor(sources: Sources, run: string, asked: Asked, cursor: number, lost: boolean) {
    this.lost = lost;
    this.sources = sources;
    this.run = run;
    this.asked = asked;
    this.cursor = cursor;
  }

  get position(): string {
    return String(this.cursor);
  }

  async next(): Promise<Frame | null> {
    const { job, level = "INFO" } = this.asked;
    if (this.lost) {
      this.lost = false;
      return resync(String(this.cursor), "the log has fewer lines: it was restored");
    }
    // Kept from frame to frame, so that a long log is read once.
    this.reader ??= this.sources.logs.read(this.run, { after: this.cursor })[Symbol.asyncIterator]();
    const lines: LogLine[] = [];
    let chars = 0;
    while (lines.length < LINES && chars < FRAME_CHARS) {
      const { value: line, done } = await this.reader.next();
      if (done === true) {
        this.reader = null;
        break;
      }
      this.cursor = line.number;
      if ((job !== undefined && line.job !== job) || RANK[line.level] < RANK[level]) continue;
      lines.push(lineShape(line));
      chars += line.message.length;
    }
    if (lines.length === 0) return null;
    return frame("log", String(this.cursor), this.sources.masker.json(`"lines":${JSON.stringify(lines)}`));
  }

  close(): void {
    void this.reader?.return?.()?.catch(() => {});
  }
}
