/**
 * Remembers which file a pipeline was run from, so that `tenuto resume` finds its code without a configuration.
 *
 * One small file per version in the home. It is a hint only: the definition itself is in the ledger, and a configuration
 * that names the pipeline goes first.
 */
import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Pipeline } from "../authoring/define.ts";

interface Source {
  pipeline: string;
  file: string;
}

export function rememberSource(home: string, pipeline: Pipeline): void {
  if (pipeline.file === undefined) return;
  const source: Source = { pipeline: pipeline.document.name, file: pipeline.file };
  if (recallSource(home, pipeline.version)?.file === source.file) return;
  remember(home, pipeline.version, source);
}

function remember(home: string, version: string, source: Source): void {
  const folder = join(home, "sources");
  const path = join(folder, `${version}.json`);
  mkdirSync(folder, { recursive: true });
  writeFileSync(`${path}.${process.pid}`, `${JSON.stringify(source)}\n`);
  renameSync(`${path}.${process.pid}`, path);
}

/** Code of one version is where that of another one is. */
export function inheritSource(home: string, from: string, to: string): void {
  const source = recallSource(home, from);
  if (source !== null) remember(home, to, source);
}

/** The file of that version as it was last run from; null if nobody knows. */
export function recallSource(home: string, version: string): Source | null {
  try {
    const source = JSON.parse(readFileSync(join(home, "sources", `${version}.json`), "utf8")) as Source;
    return typeof source.file === "string" ? source : null;
  } catch {
    return null;
  }
}
