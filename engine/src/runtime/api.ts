/** What programs and threads may ask of their attempt while it runs; the same operations as the context, in wire form. */
import type { SpawnSpec } from "../core/agent.ts";
import { TenutoError } from "../core/errors.ts";
import type { Json } from "../core/model.ts";
import { checkPayload } from "../core/payload.ts";
import type { AttemptApi } from "../ports/executor.ts";
import { Execution } from "./execution.ts";
import type { AttemptScope } from "./scope.ts";
import type { Worker } from "./worker.ts";

export function apiOf(worker: Worker, scope: AttemptScope): AttemptApi {
  return {
    log: (level, message, fields) => scope.log(level, message, fields),
    progress: (done, total, message) => worker.operations.progress(scope, done, total, message),
    step: async (key, inputHash) => {
      const output = await scope.recorded(key, inputHash);
      return output === undefined ? { found: false } : { found: true, output };
    },
    saveStep: async (key, inputHash, output) => {
      const payload = checkPayload(output, `result of step ${JSON.stringify(key)}`);
      await scope.record(key, inputHash, payload.json, worker.parts.clock.now());
    },
    artifact: async (name, content, mediaType, type) => {
      const ref = await scope.artifact(name, content, {
        ...(mediaType === undefined ? {} : { mediaType }),
        ...(type === undefined ? {} : { type }),
      });
      return { sha256: ref.$artifact.replace(/^sha256:/, ""), bytes: ref.bytes };
    },
    limit: (name, key) => scope.limit(key === undefined ? name : `${name}:${key}`),
    spend: (name, amount) => scope.spend(name, amount),
    spawn: (key, spec) => spawnInPlace(worker, scope, key, spec),
    sleep: (key, ms) => scope.pauseInPlace(key, ms),
  };
}

/** A program can't be parked: it waits where it is, but its slot is lent to others meanwhile. */
async function spawnInPlace(worker: Worker, scope: AttemptScope, key: string, spec: SpawnSpec): Promise<Json> {
  if (!(scope instanceof Execution))
    throw new TenutoError("invalid_input", "spawn is not possible inside an item of a fan-out", {
      hint: "Spawn from a job.",
    });
  const { ledger } = worker.parts;
  const child = await scope.spawnOnly(key, spec);
  const giveBack = worker.lendSlot();
  try {
    for (;;) {
      const record = await ledger.job(child);
      if (record !== null && record.endedAt !== null) {
        const error = record.error === null ? null : (JSON.parse(record.error) as Json);
        return {
          id: record.id,
          state: record.state,
          output: record.output === null ? null : (JSON.parse(record.output) as Json),
          error,
        };
      }
      await jobEnd(worker, child, scope.signal);
    }
  } finally {
    giveBack();
  }
}

/** Resolves when the job may have ended; throws when the attempt is aborted. */
function jobEnd(worker: Worker, child: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const { ledger, clock } = worker.parts;
    const timer = clock.after(1_000, () => finish(resolve));
    const off = ledger.onCommit((hints) => {
      if (hints.endedJobs.some((ended) => ended.job === child)) finish(resolve);
    });
    const onAbort = () =>
      finish(() => reject(new TenutoError("stopped", "the attempt was stopped", { category: "retryable" })));
    const finish = (settle: () => void) => {
      timer.cancel();
      off();
      signal.removeEventListener("abort", onAbort);
      settle();
    };
    if (signal.aborted) return onAbort();
    signal.addEventListener("abort", onAbort, { once: true });
  });
}
