/**
 * Spans of runs and attempts for OpenTelemetry: sent as OTLP over HTTP, in JSON, to the collector that was named.
 *
 * Invariants: (1) without a collector nothing is read and nothing is sent; (2) spans are made of what is committed, after the
 * commit, so that no job waits for them and a run that nobody saw end has none; (3) what waits is bounded: what is too much is
 * left out and counted; (4) texts pass the mask for secrets; params, inputs and outputs are in no span.
 */
import { request as httpRequest } from "node:http";
import { request as httpsRequest } from "node:https";
import type { UsageRow } from "../core/budget.ts";
import type { AttemptRow } from "../core/decision.ts";
import { TenutoError } from "../core/errors.ts";
import type { JobSeq, RunRow } from "../core/model.ts";
import { attemptSpan, childSpan, runSpan, type SpanIds } from "../core/trace.ts";
import type { JobRecord, Ledger } from "../ports/ledger.ts";

export interface TracesOptions {
  /** The collector's address, as `http://127.0.0.1:4318`; `/v1/traces` is added where there is no path. */
  url: string;
  headers?: Readonly<Record<string, string>>;
  /** Default `tenuto`. */
  service?: string;
}

export interface TracesParts {
  ledger: Ledger;
  hash(text: string): string;
  /** Takes secrets out of texts. */
  mask(text: string): string;
}

const MOST_WAITING = 10_000;
const BATCH = 200;
const TIMEOUT_MS = 10_000;
const TRIES = 3;

type Value = string | number | boolean | null;
type Attributes = Record<string, Value | undefined>;

interface Span {
  ids: SpanIds;
  parent?: string;
  name: string;
  kind: "internal" | "client";
  startedAt: number;
  endedAt: number;
  attributes: Attributes;
  links?: readonly SpanIds[];
  error?: string | undefined;
}

const KIND = { internal: 1, client: 3 };

/** Follows a ledger and sends spans; a service of the engine. */
export class Traces {
  readonly startsRuns = false;
  onFault: (error: unknown) => void = () => {};
  /** Jobs and runs whose spans were left out. */
  dropped = 0;
  private readonly url: URL;
  private readonly options: TracesOptions;
  private readonly parts: TracesParts;
  private jobs = new Map<JobSeq, number>();
  private runs: RunRow[] = [];
  /** Attempts that were told of already, of jobs that were reopened. */
  private readonly told = new Map<JobSeq, number>();
  private working: Promise<void> | null = null;
  private off: (() => void) | null = null;
  private failing = false;

  constructor(parts: TracesParts, options: TracesOptions) {
    this.parts = parts;
    this.options = options;
    this.url = collectorOf(options.url);
  }

  async start(): Promise<void> {
    this.off = this.parts.ledger.onCommit(({ endedJobs, endedRuns }) => {
      for (const { job, run } of endedJobs) this.jobs.set(job, run);
      this.runs.push(...endedRuns);
      this.limit();
      if (this.jobs.size > 0 || this.runs.length > 0) this.work();
    });
  }

  /** Sends what waits, then stops. */
  async stop(): Promise<void> {
    this.off?.();
    this.off = null;
    while (this.working !== null) await this.working;
  }

  private limit(): void {
    for (const job of this.jobs.keys()) {
      if (this.jobs.size <= MOST_WAITING) break;
      this.jobs.delete(job);
      this.dropped += 1;
    }
    while (this.runs.length > MOST_WAITING && this.runs.shift() !== undefined) this.dropped += 1;
  }

  private work(): void {
    this.working ??= this.sendAll()
      .catch((error) => this.onFault(error))
      .finally(() => {
        this.working = null;
        if (this.jobs.size > 0 || this.runs.length > 0) this.work();
      });
  }

  private async sendAll(): Promise<void> {
    while (this.jobs.size > 0 || this.runs.length > 0) {
      const spans: Span[] = this.runs.splice(0, BATCH).map((run) => this.spanOfRun(run));
      for (const job of [...this.jobs.keys()].slice(0, BATCH)) {
        this.jobs.delete(job);
        spans.push(...(await this.spansOf(job)));
        if (spans.length >= BATCH) break;
      }
      if (spans.length > 0) await this.send(spans);
    }
  }

  private spanOfRun(run: RunRow): Span {
    return {
      ids: runSpan(run.id, this.parts.hash),
      name: `run ${run.pipeline}`,
      kind: "internal",
      startedAt: run.createdAt,
      endedAt: run.endedAt ?? run.createdAt,
      attributes: {
        "tenuto.run.id": run.id,
        "tenuto.pipeline": run.pipeline,
        "tenuto.run.state": run.state,
        "tenuto.run.jobs": run.jobCount,
        "tenuto.run.jobs_failed": run.failedJobs,
      },
      error: run.state === "failed" ? "the run failed" : undefined,
    };
  }

  private async spansOf(seq: JobSeq): Promise<Span[]> {
    const { ledger } = this.parts;
    const job = await ledger.job(seq);
    const run = job === null ? null : await ledger.run(job.run);
    if (job === null || run === null) return [];
    const before = this.told.get(seq) ?? 0;
    const attempts = (await ledger.attempts(seq)).filter((one) => one.number > before && one.endedAt !== null);
    this.told.delete(seq);
    this.told.set(seq, attempts.at(-1)?.number ?? before);
    if (this.told.size > MOST_WAITING) this.told.delete(this.told.keys().next().value as JobSeq);
    const calls = attempts.length === 0 ? [] : await ledger.usage(run.seq, seq);
    return attempts.flatMap((attempt) => this.spansOfAttempt(run, job, attempt, calls));
  }

  private spansOfAttempt(run: RunRow, job: JobRecord, attempt: AttemptRow, calls: readonly UsageRow[]): Span[] {
    const { hash } = this.parts;
    const ids = attemptSpan(run.id, job.id, attempt.number, null, hash);
    const endedAt = attempt.endedAt ?? attempt.startedAt;
    const error = attempt.error === null ? null : (JSON.parse(attempt.error) as { code: string; message: string });
    const span: Span = {
      ids,
      name: `job ${job.agent}`,
      kind: "internal",
      startedAt: attempt.startedAt,
      endedAt,
      attributes: {
        "tenuto.run.id": run.id,
        "tenuto.pipeline": run.pipeline,
        "tenuto.job.id": job.id,
        "tenuto.job.agent": job.agent,
        "tenuto.job.attempt": attempt.number,
        "tenuto.attempt.state": attempt.state,
        "error.type": error?.code,
      },
      links: [runSpan(run.id, hash)],
      error: error === null ? undefined : error.message,
    };
    const own = calls.filter((call) => call.startedAt >= attempt.startedAt && call.startedAt <= endedAt);
    return [span, ...own.map((call) => this.spanOfCall(ids, call))];
  }

  private spanOfCall(above: SpanIds, call: UsageRow): Span {
    const [provider, ...model] = call.model.split("/");
    return {
      ids: childSpan(above, call.id, this.parts.hash),
      parent: above.spanId,
      name: `chat ${model.join("/")}`,
      kind: "client",
      startedAt: call.startedAt,
      endedAt: call.endedAt ?? call.startedAt,
      attributes: {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": provider,
        "gen_ai.request.model": model.join("/"),
        "gen_ai.usage.input_tokens": call.inputTokens,
        "gen_ai.usage.output_tokens": call.outputTokens,
      },
      error: call.state === "answered" ? undefined : call.state,
    };
  }

  private async send(spans: readonly Span[]): Promise<void> {
    const { service = "tenuto" } = this.options;
    const resource = { attributes: attributesOf({ "service.name": service }) };
    const scope = { name: "tenuto" };
    const body = JSON.stringify({
      resourceSpans: [{ resource, scopeSpans: [{ scope, spans: spans.map((span) => this.written(span)) }] }],
    });
    for (let attempt = 1; ; attempt++) {
      const fault = await post(this.url, this.options.headers ?? {}, body);
      if (fault === null) {
        this.failing = false;
        return;
      }
      if (attempt < TRIES && fault.again) continue;
      this.dropped += spans.length;
      // Told once, until it works again.
      if (!this.failing)
        this.onFault(new TenutoError("agent_error", `spans can't be sent to ${this.url.host}: ${fault.text}`));
      this.failing = true;
      return;
    }
  }

  private written({ ids, parent, name, kind, startedAt, endedAt, attributes, links, error }: Span): object {
    return {
      ...ids,
      ...(parent === undefined ? {} : { parentSpanId: parent }),
      name,
      kind: KIND[kind],
      startTimeUnixNano: `${startedAt}000000`,
      endTimeUnixNano: `${endedAt}000000`,
      attributes: attributesOf(attributes),
      ...(links === undefined ? {} : { links }),
      status: error === undefined ? { code: 1 } : { code: 2, message: this.parts.mask(error).slice(0, 1_000) },
    };
  }
}

function attributesOf(attributes: Attributes): object[] {
  return Object.entries(attributes)
    .filter(([, value]) => value !== undefined && value !== null)
    .map(([key, value]) => ({
      key,
      value:
        typeof value === "number"
          ? { intValue: String(value) }
          : typeof value === "boolean"
            ? { boolValue: value }
            : { stringValue: value },
    }));
}

/** @throws invalid_config */
function collectorOf(text: string): URL {
  const url = URL.parse(text);
  if (url === null || !/^https?:$/.test(url.protocol))
    throw new TenutoError("invalid_config", `${JSON.stringify(text)} is no address of a collector of spans`, {
      hint: "Write it as http://127.0.0.1:4318.",
    });
  if (url.pathname === "/") url.pathname = "/v1/traces";
  return url;
}

/** Null if it was taken; otherwise what went wrong, and whether another try may help. */
function post(
  url: URL,
  headers: Readonly<Record<string, string>>,
  body: string,
): Promise<{ text: string; again: boolean } | null> {
  const send = url.protocol === "https:" ? httpsRequest : httpRequest;
  return new Promise((resolve) => {
    const fail = (error: Error) =>
      resolve({ text: (error as NodeJS.ErrnoException).code ?? error.message, again: true });
    const asked = send(
      url,
      {
        method: "POST",
        agent: false,
        timeout: TIMEOUT_MS,
        headers: { ...headers, "content-type": "application/json", "content-length": String(Buffer.byteLength(body)) },
      },
      (answer) => {
        answer.resume();
        const { statusCode = 0 } = answer;
        if (statusCode >= 200 && statusCode < 300) return resolve(null);
        resolve({ text: `it answered ${statusCode}`, again: statusCode === 429 || statusCode >= 500 });
      },
    );
    asked.on("timeout", () => asked.destroy(new Error("no answer")));
    asked.on("error", fail);
    asked.end(body);
  });
}
