/** Port: messages about runs to people and other systems, and how they are configured. */
import type { Occasion } from "../core/delivery.ts";
import type { Json } from "../core/model.ts";

/** What is sent. The same for every attempt of a delivery; `id` names it, so that a receiver can drop repetitions. */
export interface Message {
  id: string;
  notifier: string;
  occasion: Occasion;
  /** ISO 8601. */
  at: string;
  /** One line. */
  title: string;
  /** The title and what to know or do beside it. */
  text: string;
  run: {
    id: string;
    pipeline: string;
    state: string;
    startedAt: string | null;
    endedAt: string | null;
    seconds: number;
    jobs: { total: number; ended: number; failed: number };
    stage: string | null;
  };
  /** Why a run failed; null otherwise. */
  failure: { job: string | null; code: string; message: string } | null;
  /** What a person is asked; null otherwise. */
  approval: { id: string; title: string; hash: string; expiresAt: string | null } | null;
}

/** One entry of `notifiers` in the configuration: when, and by exactly one of command, webhook and log. */
export interface NotifierSpec {
  name: string;
  /** Default: completed, failed, approval, progress. */
  on?: readonly Occasion[];
  /** Only runs of these pipelines. Default: all. */
  pipelines?: readonly string[];
  /** Time between progress reports of one run. Default 900. */
  everySeconds?: number;
  /** Limit of one attempt. Default 30, at most 60. */
  timeoutSeconds?: number;
  /** Program and arguments; it gets the message as JSON on standard input. */
  command?: readonly string[];
  webhook?: WebhookSpec;
  /** A line on standard error. */
  log?: true;
}

export interface WebhookSpec {
  url: string;
  /** Default POST. */
  method?: "POST" | "PUT";
  headers?: { readonly [name: string]: string };
  /** Any JSON, with placeholders such as `{{ run.id }}` in strings. Default: the whole message. */
  body?: Json;
  /** Signs the body as Standard Webhooks do; two of them while they are being changed. */
  secret?: string | readonly string[];
  /** Addresses of private networks are refused unless this says otherwise. */
  allowPrivate?: boolean;
}

/** A notifier ready to send. */
export interface Notifier {
  name: string;
  on: ReadonlySet<Occasion>;
  pipelines: ReadonlySet<string> | null;
  everyMs: number;
  timeoutMs: number;
  /** Rejects if the message was not taken. A TenutoError that is `permanent` means that trying again is of no use. */
  send(message: Message, signal: AbortSignal): Promise<void>;
}
