/**
 * Errors that nobody awaits: a throw in a timer or an event, a rejection without a handler. In a process of its own the command
 * line tells whose they are, lets the job fail with them, and ends in order instead of falling over.
 *
 * Invariants: (1) after the first one nothing new is begun, as what such an error leaves behind is unknown; (2) what it belongs
 * to is known by the asynchronous context alone, never guessed.
 */
import { AsyncLocalStorage } from "node:async_hooks";
import { TenutoError } from "../core/errors.ts";
import type { Tenuto } from "../open.ts";
import type { Origin } from "../runtime/parts.ts";
import { EXIT, tellFailure } from "./failure.ts";
import type { Cli } from "./main.ts";

export interface Stray {
  error: unknown;
  /** The job whose code threw; null if it was none's, or that is not known. */
  origin: Origin | null;
  /** The job had ended before. */
  late: boolean;
}

interface Entry {
  origin: Origin;
  over: boolean;
  fail: (error: unknown) => void;
}

/** How long what is under way may go on before it is stopped. */
const DRAIN_MS = 2_000;
/** An engine that does not close any more is left to the next start. */
const CLOSE_MS = 15_000;
const HINT =
  "It was thrown in a timer, an event or a promise that nobody awaits: await it, or catch it there. Only isolation: thread or a command keeps such errors from the engine.";

/** Whoever attends to work in this process; `found` resolves with the first such error. */
export function watchStrays(cli: Cli, tenuto: Tenuto): { found: Promise<Stray>; stop: () => void } {
  const storage = new AsyncLocalStorage<Entry>();
  tenuto.engine.parts.strays = {
    run: <T>(origin: Origin, work: () => T | Promise<T>) => {
      const own = Promise.withResolvers<never>();
      const entry: Entry = { origin, over: false, fail: own.reject };
      const result = storage.run(entry, work);
      if (!(result instanceof Promise)) {
        entry.over = true;
        return result;
      }
      own.promise.catch(() => {});
      return Promise.race([result, own.promise]).finally(() => {
        entry.over = true;
      });
    },
  };
  const { promise: found, resolve } = Promise.withResolvers<Stray>();
  const off = cli.io.onStray((error) => {
    const entry = storage.getStore();
    const late = entry?.over !== false;
    if (entry !== undefined && !late) entry.fail(withHint(error));
    resolve({ error, origin: entry?.origin ?? null, late });
  });
  const stop = () => {
    off();
    delete tenuto.engine.parts.strays;
  };
  return { found, stop };
}

function withHint(error: unknown): unknown {
  if (error instanceof Error && Object.isExtensible(error) && !("hint" in error)) Object.assign(error, { hint: HINT });
  return error;
}

/** Says whose it was, lets the job's failure be recorded, and closes the engine. Gives the exit code. */
export async function endWithStray(cli: Cli, tenuto: Tenuto, stray: Stray): Promise<number> {
  const { error, origin, late } = stray;
  const what = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  const whose =
    origin === null
      ? "code in this process threw outside of any job"
      : `job ${origin.job} of run ${origin.run} threw ${late ? "after it had ended" : "outside of what it awaits"}`;
  const place = /\n(\s+at [^\n]*(?:file:|[\\/])(?!.*node:)[^\n]*)/.exec(
    error instanceof Error ? (error.stack ?? "") : "",
  );
  tellFailure(
    cli.out,
    new TenutoError("uncaught", `${whose}: ${what}${place === null ? "" : ` (${place[1]!.trim()})`}`, {
      hint: HINT,
      details: origin === null ? {} : { ...origin },
      cause: error,
    }),
    cli.io.env,
  );
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, CLOSE_MS);
  await Promise.race([tenuto.close({ drainMs: DRAIN_MS }).catch(() => {}), promise]);
  clearTimeout(timer);
  return EXIT.uncaught;
}
