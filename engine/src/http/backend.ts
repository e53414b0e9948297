/** What the server needs from an open Tenuto, which fits as it is, and what only its wiring can give it. */
import type { Json } from "../core/model.ts";
import type { ArtifactStore } from "../ports/artifact-store.ts";
import type { ArtifactRecord } from "../ports/artifacts.ts";
import type { RunRecord } from "../ports/ledger.ts";
import type { Client, RunHandle, StartOptions } from "../runtime/client.ts";
import type { Engine } from "../runtime/engine.ts";
import type { Lineage } from "../runtime/lineage.ts";
import type { KnownPipeline } from "../runtime/parts.ts";
import type { Schedules } from "../runtime/schedules.ts";
import type { Templates } from "../runtime/templates.ts";

export interface Backend {
  readonly home: string;
  readonly client: Client;
  readonly engine: Engine;
  readonly store: ArtifactStore;
  readonly templates: Templates;
  readonly schedules: Schedules;
}

/** What is wired from outside, where this process can do it. */
export interface Features {
  /** Starts with the checks of prerequisites. */
  start?(pipeline: KnownPipeline, params: unknown, options: StartOptions): Promise<RunHandle>;
  /** `mask` takes secrets out of JSON, before texts are written in the form asked for. */
  report?(run: RunRecord, format: "json" | "md" | "html", mask: (text: string) => string): Promise<string>;
  /** Where a run stands, in the form of the associations source document. */
  checkpoint?(run: RunRecord): Promise<object>;
  lineage?(artifact: ArtifactRecord): Promise<Lineage>;
  /** Webhooks were made, changed or removed. */
  webhooksChanged?(): Promise<void>;
  /** Whether an address belongs to a private network. */
  isPrivate?(address: string): boolean;
  /** Webhooks may go to ports where no web server is expected. */
  anyPort?: boolean;
  /** Templates that come over HTTP may hold programs and paths of this machine. */
  allowCommands?: boolean;
  /** Pipelines as JSON Schema of their params, for forms. */
  paramsSchema?(pipeline: KnownPipeline): Json;
}
