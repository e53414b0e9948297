/**
 * Prepares a new worktree: a command such as `npm ci`, because what Git ignores is not in it.
 *
 * Invariant: it gets no login and no token, and ends within its limit.
 */
import { worktreeEnvironment } from "./git.ts";
import { runProgram } from "./program.ts";

/** Longest time that a set-up may take. */
export const SET_UP_SECONDS = 840;

export class SetUpError extends Error {}

/** A function for `ensureWorktree`. @throws SetUpError with the end of the output */
export function setUpWith(command: readonly string[], print: (line: string) => void): (tree: string) => Promise<void> {
  return async (tree) => {
    if (command.length === 0) return;
    const result = await runProgram({
      argv: command,
      cwd: tree,
      env: { ...worktreeEnvironment(tree), CI: "1", NO_COLOR: "1" },
      timeoutMs: SET_UP_SECONDS * 1_000,
      onLine(_, line) {
        print(line);
        return undefined;
      },
    });
    if (result.startError !== null) throw new SetUpError(`setupCommand: ${result.startError}`);
    if (result.exitCode === 0) return;
    const how = result.ended === "timeout" ? "did not end in time" : `exited with code ${result.exitCode}`;
    throw new SetUpError(`setupCommand ${how}: ${result.tail.slice(-500)}`);
  };
}
