/** What `ctx` can do that needs the worker: waiting for others, mapping, progress. */
import type {
  ApprovalOptions,
  ApprovalOutcome,
  ChildOutcome,
  MapOptions,
  MapResult,
  MapSource,
  SpawnSpec,
} from "../core/agent.ts";
import { TenutoError } from "../core/errors.ts";
import { askApproval } from "./approvals.ts";
import type { ContextHost } from "./context.ts";
import { Execution } from "./execution.ts";
import { type MapClosure, mapByAgent, mapInProcess } from "./map.ts";
import type { AttemptScope } from "./scope.ts";
import type { Worker } from "./worker.ts";

export class Operations implements ContextHost {
  private readonly worker: Worker;

  constructor(worker: Worker) {
    this.worker = worker;
  }

  async spawn<T>(scope: AttemptScope, key: string, spec: SpawnSpec): Promise<ChildOutcome<T>> {
    if (!(scope instanceof Execution)) throw notInItem("spawn");
    return await scope.spawnAndWait<T>(key, spec);
  }

  async approval<T>(scope: AttemptScope, key: string, options: ApprovalOptions): Promise<ApprovalOutcome<T>> {
    if (!(scope instanceof Execution)) throw notInItem("approval");
    return await askApproval<T>(scope, key, options);
  }

  async sleep(scope: AttemptScope, key: string, ms: number): Promise<void> {
    if (scope instanceof Execution) await scope.sleepUntilDone(key, ms);
    else await scope.pauseInPlace(key, ms);
  }

  async map(
    scope: AttemptScope,
    key: string,
    source: MapSource,
    work: unknown,
    options: MapOptions,
  ): Promise<MapResult<any>> {
    if (!(scope instanceof Execution)) throw notInItem("map");
    if (typeof work === "string") return await mapByAgent(scope, key, source, work, options);
    const mapping = scope.working(() => mapInProcess(this.worker, scope, key, source, work as MapClosure, options));
    scope.maps.add(mapping);
    try {
      return await mapping;
    } finally {
      scope.maps.delete(mapping);
    }
  }

  progress(scope: AttemptScope, done: number, total?: number, message?: string): void {
    this.worker.fanouts.progress.publish(scope, done, total, message);
  }
}

function notInItem(what: string): TenutoError {
  return new TenutoError("invalid_input", `ctx.${what} is not possible inside an item of a fan-out`, {
    hint: `Call ctx.${what} in a job; the items of a fan-out share one job.`,
  });
}
