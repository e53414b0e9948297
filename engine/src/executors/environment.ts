/**
 * The environment of a command: an allow-list, what the command asks for, and the attempt's own variables.
 *
 * Owner: executors. Invariants:
 * 1. From the engine only PATH, HOME, LANG, LC_*, TZ, TMPDIR and the names in `passEnv` get through.
 * 2. No TENUTO_* of the engine gets through, not even by `passEnv`: the engine's own token and database stay with it.
 * 3. The attempt's variables win over everything else.
 */
import { hash } from "node:crypto";
import type { CommandSpec } from "../core/document.ts";
import { attemptSpan, traceParentOf } from "../core/trace.ts";
import { MARKER_VARIABLE } from "./procfs.ts";

export type Environment = Record<string, string | undefined>;

export interface AttemptVariables {
  runId: string;
  jobId: string;
  attempt: number;
  item: number | null;
  /** Path of the JSON file with the input. */
  input: string;
  /** Path of the JSON file with what else there is to know, or null. */
  context: string | null;
  /** Path at which the command may write its output. */
  output: string;
  workspace: string;
  artifacts: string;
  /** Plain path of the worker's Unix socket, see socket.ts. */
  url: string;
  token: string;
  marker: string;
}

const ALWAYS = new Set(["PATH", "HOME", "LANG", "TZ", "TMPDIR"]);
/** Without these Windows can't start most programs. */
const ALWAYS_ON_WINDOWS = new Set(["PATH", "PATHEXT", "SYSTEMROOT", "COMSPEC", "TEMP", "TMP", "USERPROFILE"]);
const RESERVED = "TENUTO_";

/** The engine's environment, sorted once: reading `process.env` anew for each command is a tenth of a spawn. */
export interface BaseEnvironment {
  always: Record<string, string>;
  /** Passed on by name only. */
  onRequest: ReadonlyMap<string, string>;
}

export function baseEnvironment(environment: Environment): BaseEnvironment {
  const always: Record<string, string> = {};
  const onRequest = new Map<string, string>();
  for (const [name, value] of Object.entries(environment)) {
    if (value === undefined || name.toUpperCase().startsWith(RESERVED)) continue;
    if (isAlwaysPassed(name)) always[name] = value;
    else onRequest.set(name, value);
  }
  return { always, onRequest };
}

export function commandEnvironment(
  base: BaseEnvironment,
  command: CommandSpec,
  variables: AttemptVariables,
): Record<string, string> {
  const own: Record<string, string> = {
    // First, because the sweep reads environments from the front.
    [MARKER_VARIABLE]: variables.marker,
    TENUTO_RUN_ID: variables.runId,
    TENUTO_JOB_ID: variables.jobId,
    TENUTO_ATTEMPT: String(variables.attempt),
    TENUTO_INPUT: variables.input,
    TENUTO_OUTPUT: variables.output,
    TENUTO_WORKSPACE: variables.workspace,
    TENUTO_ARTIFACTS: variables.artifacts,
    TENUTO_URL: variables.url,
    TENUTO_TOKEN: variables.token,
    TRACEPARENT: traceParent(variables),
  };
  if (variables.context !== null) own.TENUTO_CONTEXT = variables.context;
  if (variables.item !== null) own.TENUTO_ITEM = String(variables.item);
  const result: Record<string, string> = { ...own, ...base.always };
  for (const name of command.passEnv ?? []) {
    const value = base.onRequest.get(name);
    if (value !== undefined) result[name] = value;
  }
  if (command.env !== undefined) Object.assign(result, command.env, own);
  if (variables.item === null) delete result.TENUTO_ITEM;
  if (variables.context === null) delete result.TENUTO_CONTEXT;
  return result;
}

/**
 * W3C trace context of the attempt; see core/trace.ts. It wins over a TRACEPARENT of the engine, whose span is none of the
 * program's.
 */
export function traceParent({
  runId,
  jobId,
  attempt,
  item,
}: Pick<AttemptVariables, "runId" | "jobId" | "attempt" | "item">): string {
  return traceParentOf(attemptSpan(runId, jobId, attempt, item, (text) => hash("sha256", text)));
}

function isAlwaysPassed(name: string): boolean {
  if (ALWAYS.has(name) || name.startsWith("LC_")) return true;
  return process.platform === "win32" && ALWAYS_ON_WINDOWS.has(name.toUpperCase());
}
