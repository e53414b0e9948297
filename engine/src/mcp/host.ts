/**
 * What the MCP server asks of an engine. The command line gives it what `openTenuto` gives; tests can give less.
 */
import type { Exclusion } from "../core/template.ts";
import type { TemplateRow } from "../core/templates.ts";
import type { ArtifactStore } from "../ports/artifact-store.ts";
import type { Ledger } from "../ports/ledger.ts";
import type { LogSink } from "../ports/log-sink.ts";
import type { Client, RunHandle, StartOptions } from "../runtime/client.ts";
import type { KnownPipeline } from "../runtime/parts.ts";

export interface McpHost {
  client: Client;
  ledger: Ledger;
  store: ArtifactStore;
  logs: LogSink;
  start(pipeline: string, params: unknown, options: StartOptions & { exclude?: Exclusion }): Promise<RunHandle>;
  pipelines(): KnownPipeline[];
  templates(): Promise<TemplateRow[]>;
  /** The document of a template. */
  template(name: string): Promise<KnownPipeline | null>;
  /** Whether some process, this one or another, works on what is started. */
  works(): Promise<boolean>;
  /** Calls back after each commit of this process or another one, until the returned function is called. */
  onChange(listener: () => void): () => void;
  /** Calls back after a time; cancelled with the returned function. */
  after(ms: number, callback: () => void): () => void;
}
