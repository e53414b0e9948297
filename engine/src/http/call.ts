/** One call of an operation: what a handler is given and what it gives. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { TenutoError } from "../core/errors.ts";
import type { Ledger, RunRecord } from "../ports/ledger.ts";
import type { Backend, Features } from "./backend.ts";
import type { ServerLimits } from "./limits.ts";
import type { Hub } from "./live/hub.ts";
import type { Masker } from "./mask.ts";
import type { Metrics } from "./metrics.ts";
import type { Access, Principal } from "./tokens.ts";
import type { Secrets } from "./webhooks/secrets.ts";

/** Everything that handlers work with. */
export interface Services {
  backend: Backend;
  features: Features;
  ledger: Ledger;
  access: Access;
  hub: Hub;
  masker: Masker;
  metrics: Metrics;
  secrets: Secrets;
  limits: ServerLimits;
  secure: boolean;
  version: string;
  now(): number;
}

export interface Call {
  services: Services;
  /** Checked by the contract. */
  params: Record<string, any>;
  query: Record<string, any>;
  body: any;
  /** The bytes of the body, for what is signed. */
  bytes: Buffer;
  /** Only the head of the answer is sent. */
  head: boolean;
  principal: Principal;
  header(name: string): string | undefined;
  incoming: IncomingMessage;
  outgoing: ServerResponse;
}

export type Answer =
  | { json: unknown; status?: number; headers?: Record<string, string> }
  | { empty: true; headers?: Record<string, string> }
  | { body: string | AsyncIterable<Uint8Array>; type: string; status?: number; headers?: Record<string, string> }
  /** The handler writes to the response itself. */
  | { taken: true };

export type Handler = (call: Call) => Promise<Answer>;
export type Handlers = Record<string, Handler>;

/** The run of the path, by its whole id. @throws not_found */
export async function runOf({ services, params }: Pick<Call, "services" | "params">): Promise<RunRecord> {
  return await runNamed(services, params["run"] as string);
}

export async function runNamed({ ledger }: Services, id: string): Promise<RunRecord> {
  const run = await ledger.runById(id);
  if (run !== null) return run;
  throw new TenutoError("not_found", `there is no run ${JSON.stringify(id)}`, { hint: "List them: GET /api/runs." });
}
