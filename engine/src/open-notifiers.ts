/** Wires notifiers to an engine. For open.ts. */
import { isPrivate } from "./executors/llm/tools/network.ts";
import { createNotifiers } from "./notify/create.ts";
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
