/**
 * A run as it goes on, kept up to date from its events: stages, jobs at work, items, rates, and what is worth telling.
 *
 * Invariants: (1) a refresh reads the run's header, its stages and the events since the last one, never all its jobs
 * (the first 200 where the pipeline's display is `status`);
 * (2) what is kept grows with the jobs at work, not with the run.
 */
import { isRunEnd, type RunSeq, type StageRow } from "../core/model.ts";
import type { EventRow } from "../core/unit.ts";
import type { Tenuto } from "../open.ts";
import type { JobRecord, RunRecord } from "../ports/ledger.ts";
import { type EventText, eventText } from "./event-text.ts";
import { percent } from "./figures.ts";

export interface ActiveJob {
  id: string;
  stage: number;
  since: number;
  attempt: number;
  waiting: string | null;
  /** Its items are worked on one by one. */
  fanout: boolean;
  done: number;
  total: number | null;
  failed: number;
  skipped: number;
  message: string | null;
  /** Items a second over the last ten seconds; null before that is known. */
  perSecond: number | null;
  samples: { at: number; done: number }[];
}

export interface News {
  at: number;
  weight: EventText["weight"];
  text: string;
}

const BATCH = 1_000;
const MAX_BATCHES = 10;
/** Jobs whose states are told one by one, where the pipeline asks for that. */
const TOLD_JOBS = 200;
const RATE_MS = 10_000;

export class RunView {
  run: RunRecord;
  stages: StageRow[] = [];
  readonly active = new Map<string, ActiveJob>();
  /** Failed jobs and failed or skipped items so far, and tries that were repeated. */
  readonly errors = { jobs: 0, retries: 0 };
  jobsDone = 0;
  /** Jobs in order, where the pipeline wants each of them told. */
  jobs: JobRecord[] | null = null;
  private readonly tenuto: Tenuto;
  private readonly stageOf = new Map<string, number>();
  private readonly ended = new Map<string, { failed: number; skipped: number }>();
  private seen = 0;

  constructor(tenuto: Tenuto, run: RunRecord) {
    this.tenuto = tenuto;
    this.run = run;
  }

  get seq(): RunSeq {
    return this.run.seq;
  }

  get over(): boolean {
    return isRunEnd(this.run.state);
  }

  /** Reads what is there already without telling it, as for a run that goes on after a stop. */
  async begin(): Promise<void> {
    const { plan, document } = await this.tenuto.engine.definitions.load(this.run.version);
    if (document.display === "status") this.jobs = [];
    for (const job of plan.jobs) this.stageOf.set(job.id, job.stage);
    await this.refresh();
  }

  /** Brings the view up to date and gives what happened since the last time. */
  async refresh(): Promise<News[]> {
    const { ledger } = this.tenuto.engine.parts;
    const news: News[] = [];
    // The header comes first: whatever ended the run is then among the events that follow.
    const run = await ledger.run(this.seq);
    if (run !== null) this.run = run;
    this.stages = await ledger.stages(this.seq);
    if (this.jobs !== null) this.jobs = await ledger.jobs(this.seq, { limit: TOLD_JOBS });
    for (let batch = 0; batch < MAX_BATCHES || this.over; batch++) {
      const events = await ledger.events(this.seq, this.seen, BATCH);
      for (const event of events) this.take(event, news);
      this.seen = events.at(-1)?.seq ?? this.seen;
      if (events.length < BATCH) break;
    }
    return news;
  }

  /** The stage that the run is in: the first that has not settled, or the last. */
  get phase(): { ordinal: number; of: number; name: string; percent: number } {
    const found = this.stages.findIndex((stage) => stage.settled < stage.total);
    const ordinal = found < 0 ? Math.max(0, this.stages.length - 1) : found;
    const stage = this.stages[ordinal];
    return { ordinal, of: this.stages.length, name: stage?.name ?? "", percent: this.stagePercent(ordinal) };
  }

  /** The state as people see it: a run whose items are being worked on does not wait. */
  get state(): string {
    if (this.run.cancelRequestedAt !== null && !this.over) return "cancelling";
    const atWork = [...this.active.values()].some((job) => job.waiting === null || job.waiting === "items");
    return this.run.state === "waiting" && atWork ? "running" : this.run.state;
  }

  stagePercent(ordinal: number): number {
    const stage = this.stages[ordinal];
    if (stage === undefined) return 0;
    let done = stage.settled;
    for (const job of this.active.values()) {
      // Children count as jobs of the stage themselves.
      if (job.stage === ordinal && job.total !== null && job.total > 0)
        done += Math.min(0.999, (job.done + job.failed + job.skipped) / job.total);
    }
    return percent(done, stage.total);
  }

  /** Items that failed or were skipped, in jobs at work and jobs that ended. */
  get badItems(): number {
    let bad = 0;
    for (const counts of this.ended.values()) bad += counts.failed + counts.skipped;
    for (const job of this.active.values()) bad += job.failed + job.skipped;
    return bad;
  }

  private take(event: EventRow, news: News[]): void {
    const { name, job: id } = event;
    // A job that waited and goes on is no news.
    const goesOn = name === "job.started" && (this.active.get(id ?? "")?.waiting ?? "retry") !== "retry";
    if (id !== null) {
      if (name === "job.started") this.started(event, id);
      else if (name === "job.spawned") this.stageOf.set(id, this.stageOf.get(String(event.data?.parent)) ?? 0);
      else if (name === "job.expanded" || name === "job.progress") this.progressed(event, id);
      else if (name === "job.waiting") this.waits(event, id);
      else if (name === "job.retrying") this.retries(event, id);
      if (["job.completed", "job.failed", "job.skipped", "job.cancelled"].includes(name)) this.finished(event, id);
      if (["job.stopped", "job.lost"].includes(name)) this.active.delete(id);
    } else if (name === "run.reopened") {
      this.errors.jobs = 0;
      this.ended.clear();
      this.active.clear();
    }
    const told = eventText(event);
    if (told !== null && !goesOn) news.push({ at: event.at, weight: told.weight, text: told.text });
  }

  private started(event: EventRow, id: string): void {
    const before = this.active.get(id);
    if (before !== undefined && before.waiting !== "retry") {
      before.waiting = null;
      return;
    }
    this.active.set(id, {
      id,
      stage: this.stageOf.get(id) ?? 0,
      since: event.at,
      attempt: Number(event.data?.attempt ?? 1),
      waiting: null,
      fanout: false,
      done: 0,
      total: null,
      failed: 0,
      skipped: 0,
      message: null,
      perSecond: null,
      samples: [],
    });
  }

  private progressed(event: EventRow, id: string): void {
    const job = this.active.get(id);
    const data = event.data ?? {};
    if (job === undefined) return;
    if (event.name === "job.expanded") job.fanout = true;
    const number = (value: unknown, otherwise: number): number => (typeof value === "number" ? value : otherwise);
    job.total = number(data.total, job.total ?? -1);
    if (job.total < 0) job.total = null;
    job.done = number(data.completed, number(data.done, job.done));
    job.failed = number(data.failed, job.failed);
    job.skipped = number(data.skipped, number(data.duplicates, job.skipped));
    if (typeof data.message === "string") job.message = data.message;
    const settled = job.done + job.failed + job.skipped;
    job.samples.push({ at: event.at, done: settled });
    while (job.samples.length > 2 && event.at - job.samples[0]!.at > RATE_MS) job.samples.shift();
    const [first] = job.samples;
    const ms = event.at - first!.at;
    job.perSecond = ms > 0 ? (1_000 * (settled - first!.done)) / ms : job.perSecond;
  }

  private waits(event: EventRow, id: string): void {
    const job = this.active.get(id);
    const reason = String(event.data?.reason ?? "");
    if (job !== undefined) job.waiting = reason;
  }

  private retries(event: EventRow, id: string): void {
    this.errors.retries += 1;
    const job = this.active.get(id);
    if (job !== undefined)
      Object.assign(job, { waiting: "retry", since: event.at, done: 0, total: null, message: null });
  }

  private finished(event: EventRow, id: string): void {
    const job = this.active.get(id);
    if (job !== undefined && job.failed + job.skipped > 0)
      this.ended.set(id, { failed: job.failed, skipped: job.skipped });
    this.active.delete(id);
    this.jobsDone += 1;
    if (event.name === "job.failed") this.errors.jobs += 1;
  }
}
