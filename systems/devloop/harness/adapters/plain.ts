/**
 * Any program as an agent: the prompt on standard input, its last lines of output as its message, its exit code as its word.
 *
 * Invariants: (1) exit code 0 is success, 75 a failure that another try may mend, any other a failure; (2) of the output only
 * the last 64 KB are kept, whatever it prints.
 */
import { plainText, Tail } from "../lines.ts";
import type { Adapter, EventReader } from "./adapter.ts";
import { NO_USAGE, silentEnd } from "./adapter.ts";

const KEPT_CHARS = 64 * 1024;

export const plain: Adapter = {
  name: "command",
  passEnv: [],
  argv: ({ command = [] }) => [...command],
  reader: createReader,
};

function createReader(): EventReader {
  const tail = new Tail(KEPT_CHARS);
  let last = "";
  return {
    line(text) {
      last = plainText(text);
      tail.add(last);
      return false;
    },
    note: () => last,
    outcome(exit) {
      const ok = exit.exitCode === 0;
      return {
        ok,
        text: tail.text().trim(),
        error: ok ? null : `the agent: ${silentEnd(exit)}`,
        retryable: exit.exitCode === 75 || exit.exitCode === null,
        usage: NO_USAGE,
        turns: 1,
      };
    },
  };
}
