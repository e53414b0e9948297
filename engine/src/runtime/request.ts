/**
 * What two starts under one idempotency key must have in common.
 *
 * Invariants: (1) one form, whatever the order in which it was said; (2) what was not said adds nothing, so that keys of
 * earlier versions go on counting.
 */

import type { Json } from "../core/model.ts";
import { canonicalJson } from "../core/pipeline.ts";
import type { StartOptions } from "./client.ts";

export function requestText(name: string, values: Json, options: StartOptions): string {
  const { exclude, labels, priority, dryRun, rerun } = options;
  const parts = [name, canonicalJson(values)];
  const [stages, jobs] = [[...(exclude?.stages ?? [])].sort(), [...(exclude?.jobs ?? [])].sort()];
  if (stages.length + jobs.length > 0) parts.push(JSON.stringify([stages, jobs]));
  if (labels !== undefined) parts.push(`labels ${canonicalJson(labels)}`);
  if (priority !== undefined) parts.push(`priority ${priority}`);
  if (dryRun === true) parts.push("dry run");
  if (rerun !== undefined) parts.push(`rerun ${canonicalJson({ ...rerun })}`);
  return parts.join("\n");
}
