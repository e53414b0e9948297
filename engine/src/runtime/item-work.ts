/** What the driver of a fan-out's items is given and gives: windows, tasks and how they end. */
import type { StoredError } from "../core/errors.ts";
import type { BootSeq, JobRow, Json, RunRow } from "../core/model.ts";
import type { DatasetInfo } from "../ports/artifact-store.ts";
import type { Change, SliceOf } from "../ports/ledger.ts";
import type { ResolvedJob } from "./definitions.ts";
import type { Parts } from "./parts.ts";

export interface GrantedWindow {
  start: number;
  stop: number;
  epoch: number;
  slots: number;
  hasRows: boolean;
}

/** How one item ends, as the code that runs it says. */
export type ItemOutcome =
  | { kind: "completed"; json: string }
  | { kind: "skipped"; reason: string }
  | { kind: "failed"; error: StoredError }
  | { kind: "stopped" };

export interface ItemTask {
  ordinal: number;
  attempt: number;
  /** The record, or the list of records with `batch`. */
  value: Json;
  window: { start: number; epoch: number };
  /** Somebody has worked on its window before, and may have recorded steps of it. */
  again: boolean;
  /** Ticks of the driver when it started, for the timeout; a clock that jumps must not end it. */
  startedTick: number;
  /** The time of this item stands still, or begins anew. */
  hold(): void;
  start(): void;
  abort: ((reason: "cancel" | "stop" | "timeout" | "lease") => void) | null;
}

export interface ItemsHost {
  parts: Parts;
  boot: BootSeq;
  run: RunRow;
  job: JobRow;
  resolved: ResolvedJob;
  source: DatasetInfo;
  total: number;
  batch: number | null;
  /** Hands a change in until the ledger can write. */
  insist<K extends keyof SliceOf, R>(change: Change<K, R>): Promise<R>;
  /** Works on one item; never throws. */
  work(task: ItemTask): Promise<ItemOutcome>;
  /** A critical error of an item stops the run. */
  halt(error: StoredError): Promise<void>;
}
