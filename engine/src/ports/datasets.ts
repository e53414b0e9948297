/** Port: datasets in the artifact store, as the runtime uses them. Records travel as raw JSON texts where nobody looks inside. */
import type { Dataset, DatasetRef } from "../core/agent.ts";
import type { DatasetInfo } from "./artifact-store.ts";

export interface Datasets {
  /** `batched`: each entry is a list of records. `raw`: records are JSON texts already. */
  write(
    records: Iterable<unknown> | AsyncIterable<unknown>,
    options?: { raw?: boolean; batched?: boolean },
  ): Promise<DatasetInfo>;
  importJsonl(path: string): Promise<DatasetInfo>;
  /** Raw JSON texts of records [start, end). */
  read(info: DatasetInfo, start: number, end: number): Promise<string[]>;
  iterate(info: DatasetInfo): AsyncIterable<string>;
  open<T>(loadInfo: (sha256: string) => Promise<DatasetInfo>, ref: DatasetRef): Dataset<T>;
  encodeOffsets(info: DatasetInfo): Uint8Array;
  decodeOffsets(bytes: Uint8Array): { offsets: number[]; stride: number };
}
