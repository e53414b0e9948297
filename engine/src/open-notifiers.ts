/** Wires notifiers and traces to an engine. For open.ts. */
import { isPrivate } from "./executors/llm/tools/network.ts";
import { maskerOf, secretsOf } from "./http/mask.ts";
import { createNotifiers } from "./notify/create.ts";
import { Traces, type TracesOptions } from "./notify/traces.ts";
import type { NotifierSpec } from "./ports/notifier.ts";
import type { Engine } from "./runtime/engine.ts";
import { Notifiers } from "./runtime/notifier.ts";

/** @throws invalid_config */
export function addNotifiers(
  engine: Engine,
  cwd: string,
  specs: readonly NotifierSpec[] | undefined,
  say: (text: string) => void,
): void {
  const notifiers = createNotifiers(specs, {
    env: process.env,
    cwd,
    isPrivate,
    seconds: () => Math.floor(engine.parts.clock.now() / 1_000),
    say,
  });
  if (notifiers.length > 0) engine.services.push(new Notifiers(engine.parts, notifiers));
}

/** Without options, to the collector that TENUTO_TRACES names; without that, nothing. @throws invalid_config */
export function addTraces(engine: Engine, options: TracesOptions | undefined): void {
  const named = process.env["TENUTO_TRACES"] ?? "";
  const where = options ?? (named === "" ? null : { url: named });
  if (where === null) return;
  const { ledger, hash } = engine.parts;
  const mask = maskerOf(secretsOf(process.env)).text;
  engine.services.push(new Traces({ ledger, hash, mask }, where));
}
