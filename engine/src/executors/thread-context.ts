/**
 * The context of an agent that runs in a thread: data, and operations that travel to the attempt over the message port.
 *
 * Owner: executors. Invariants:
 * 1. A step's closure runs in the thread; only its key, the hash of its declared input and its output travel.
 * 2. A key used twice in one attempt is refused with both places, as in the main thread.
 * 3. What needs the engine itself (map, datasets, reading artifacts) is refused with a hint, not missing.
 */

import { createHash } from "node:crypto";
import type { ArtifactRef, ChildOutcome, Context, SpawnSpec, StepKey, StepOptions } from "../core/agent.ts";
import { TenutoError } from "../core/errors.ts";
import type { Json } from "../core/model.ts";
import { canonicalJson } from "../core/pipeline.ts";
import { stepKeyText } from "../core/step-key.ts";
import type { ThreadContext } from "../ports/executor.ts";
import type { LogLevel } from "../ports/log-sink.ts";
import type { CallName, NoteName } from "./thread-protocol.ts";

export interface Link {
  call(name: CallName, ...args: unknown[]): Promise<unknown>;
  note(name: NoteName, ...args: unknown[]): void;
}

/** Thrown by `ctx.skip`; not an error of the agent. */
export class Skipped extends Error {
  readonly reason: string;
  constructor(reason: string) {
    super(reason);
    this.name = "Skipped";
    this.reason = reason;
  }
}

export function createContext(data: ThreadContext, link: Link, signal: AbortSignal): Context {
  const places = new Map<string, string>();
  const claim = (key: StepKey): string => {
    const text = stepKeyText(key);
    const here = callerOf(new Error().stack);
    const before = places.get(text);
    if (before !== undefined) throw duplicateKey(text, before, here);
    places.set(text, here);
    return text;
  };
  const log = (level: LogLevel) => (message: string, fields?: Record<string, Json>) =>
    link.note("log", level, message, fields);
  return {
    ...data,
    signal,
    step: (key, work, options) => runStep(data, link, signal, claim(key), work, options),
    spawn: async <T>(key: StepKey, spec: SpawnSpec) =>
      (await link.call("spawn", claim(key), spec)) as unknown as ChildOutcome<T>,
    sleep: async (key, ms) => void (await link.call("sleep", claim(key), ms)),
    artifacts: () => unavailable("artifacts"),
    artifact: async (name, content, options) => {
      const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
      const stored = await link.call("artifact", name, bytes, options?.mediaType, options?.type);
      return reference(name, stored as { sha256: string; bytes: number }, options?.mediaType);
    },
    progress: (done, total, message) => link.note("progress", done, total, message),
    log: { info: log("INFO"), warn: log("WARNING"), error: log("ERROR") },
    limit: async (name) => {
      const colon = name.indexOf(":");
      if (colon < 0) await link.call("limit", name);
      else await link.call("limit", name.slice(0, colon), name.slice(colon + 1));
    },
    spend: async (name, amount) => void (await link.call("spend", name, amount)),
    skip: (reason) => {
      throw new Skipped(reason);
    },
    approval: () => unavailable("approval"),
    map: () => unavailable("map"),
    dataset: () => unavailable("dataset"),
    open: () => unavailable("open"),
    readArtifact: () => unavailable("readArtifact"),
    outcome: () => unavailable("outcome"),
  };
}

async function runStep<T>(
  data: ThreadContext,
  link: Link,
  signal: AbortSignal,
  key: string,
  work: (step: { idempotencyKey: string; signal: AbortSignal }) => T | Promise<T>,
  options: StepOptions | undefined,
): Promise<T> {
  const inputHash = options?.input === undefined ? null : hashJson(options.input);
  const recorded = (await link.call("step", key, inputHash)) as { found: boolean; output?: T };
  if (recorded.found) return recorded.output as T;
  const output = await work({ idempotencyKey: `${data.idempotencyKey}/${key}`, signal });
  await link.call("saveStep", key, inputHash, output ?? null);
  return output;
}

/** Parts are joined by `/`; a `/` or `\` within a part is escaped, so that no two keys become one. */
/** Hash of a value's canonical JSON: the same value has the same hash however it was built. */
function hashJson(value: Json): string {
  return createHash("sha256").update(canonicalJson(value)).digest("hex");
}

function reference(
  name: string,
  stored: { sha256: string; bytes: number },
  mediaType: string | undefined,
): ArtifactRef {
  return {
    $artifact: `sha256:${stored.sha256}`,
    name,
    bytes: stored.bytes,
    mediaType: mediaType ?? "application/octet-stream",
  };
}

function callerOf(stack: string | undefined): string {
  const frames = (stack ?? "").split("\n").slice(1);
  const own = import.meta.url;
  return frames.find((frame) => !frame.includes(own))?.trim() ?? "unknown place";
}

function duplicateKey(key: string, before: string, here: string): TenutoError {
  return new TenutoError("duplicate_step_key", `the key "${key}" is used twice in one attempt`, {
    hint: 'Put what differs into the key: ctx.step(["fetch", url], …).',
    details: { key, first: before, second: here },
  });
}

function unavailable(name: string): never {
  throw new TenutoError("agent_error", `ctx.${name} is not available in a thread`, {
    hint: 'Call it from an agent without isolation: "thread", and hand the result on as input.',
  });
}
