/**
 * A model as a program: the context as one JSON document on standard input, the answer on standard output.
 *
 * Invariant: an answer is at most 1 MB; a program that writes more, hangs or fails is ended and gives no answer.
 */
import { RESPONSE_MAX_CHARS } from "../domain/actions.ts";
import type { Model } from "./loop.ts";
import { runProgram } from "./program.ts";

export interface ModelCommand {
  argv: readonly string[];
  cwd: string;
  passEnv: readonly string[];
  signal: AbortSignal;
}

export function commandModel({ argv, cwd, passEnv, signal }: ModelCommand): Model {
  return async (context, timeoutMs) => {
    const lines: string[] = [];
    let chars = 0;
    const result = await runProgram({
      argv,
      cwd,
      passEnv,
      stdin: JSON.stringify(context),
      timeoutMs,
      signal,
      maxLineBytes: RESPONSE_MAX_CHARS + 1,
      onLine(stream, line) {
        if (stream !== "stdout") return undefined;
        chars += line.length + 1;
        if (chars <= RESPONSE_MAX_CHARS) lines.push(line);
        return undefined;
      },
    });
    if (result.startError !== null) return { kind: "error", message: result.startError, retryable: false };
    if (signal.aborted) return { kind: "stopped" };
    if (result.stdoutBytes > RESPONSE_MAX_CHARS)
      return { kind: "error", message: "the model's answer is longer than 1 MB", retryable: true };
    if (result.ended === "timeout") return { kind: "timeout" };
    if (result.exitCode !== 0) {
      const why = result.exitCode === null ? `was ended by ${result.signal}` : `exited with code ${result.exitCode}`;
      return { kind: "error", message: `the model command ${why}: ${result.tail.slice(-500)}`, retryable: true };
    }
    return { kind: "text", text: lines.join("\n") };
  };
}
