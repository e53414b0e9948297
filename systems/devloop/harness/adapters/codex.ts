/**
 * Codex' headless mode: `codex exec --json -`, one JSON event a line, the prompt on standard input.
 *
 * Events: `thread.started`, `turn.started`, `item.started|updated|completed` (an `item` with `type` agent_message, reasoning,
 * command_execution, file_change, …), `turn.completed` (with `usage`), `turn.failed` (with `error.message`), `error`.
 *
 * Invariants: (1) the last `turn.completed` or `turn.failed` is the final word; (2) `error` is no end of itself, since lost
 * connections are reported so and then mended; without a completed turn after it, it is a failure even with exit code 0.
 */
import type { Adapter, EventReader, Usage } from "./adapter.ts";
import { NO_USAGE, numberAt, objectOf, silentEnd, textAt } from "./adapter.ts";

export const codex: Adapter = {
  name: "codex",
  passEnv: ["OPENAI_API_KEY", "CODEX_API_KEY", "CODEX_HOME", "OPENAI_BASE_URL"],
  argv: ({ command = ["codex"], model, readOnly }) => [
    ...command,
    "exec",
    "--json",
    ...["--sandbox", readOnly ? "read-only" : "workspace-write"],
    ...(model === undefined ? [] : ["--model", model]),
    "-",
  ],
  reader: createReader,
};

/** Errors that another try does not mend: there is no login, or no such model. */
const FOR_GOOD =
  /\b(401|403|unauthori[sz]ed|invalid api key|not logged in|usage limit|model .* (?:not found|does not exist))\b/i;

function createReader(): EventReader {
  let end: "completed" | "failed" | null = null;
  let error: string | null = null;
  let text = "";
  let turns = 0;
  let usage: Usage = NO_USAGE;
  let note: string | null = null;
  return {
    line(line) {
      note = null;
      const event = objectOf(line);
      const type = event === null ? null : textAt(event, "type");
      if (type === "turn.started") end = null;
      if (type === "item.completed") {
        const kind = textAt(event, "item", "type");
        note = noteOf(event!, kind);
        if (kind === "agent_message" || kind === "assistant_message") text = textAt(event, "item", "text") ?? text;
      } else if (type === "error") {
        error = textAt(event, "message") ?? "an error without a message";
        note = `error: ${error.slice(0, 200)}`;
      } else if (type === "turn.failed") {
        end = "failed";
        error = textAt(event, "error", "message") ?? error ?? "the turn failed";
      } else if (type === "turn.completed") {
        end = "completed";
        turns += 1;
        usage = {
          inputTokens: usage.inputTokens + numberAt(event, "usage", "input_tokens"),
          outputTokens: usage.outputTokens + numberAt(event, "usage", "output_tokens"),
          costUsd: null,
        };
      }
      return type === "turn.completed" || type === "turn.failed";
    },
    note: () => note,
    outcome(exit) {
      const ok = end === "completed";
      const why = end === "failed" ? error : `${silentEnd(exit)}${error === null ? "" : ` (${error})`}`;
      return {
        ok,
        text,
        error: ok ? null : `Codex: ${(why ?? "").slice(0, 500)}`,
        retryable: !ok && !FOR_GOOD.test(error ?? ""),
        usage,
        turns,
      };
    },
  };
}

function noteOf(event: Record<string, unknown>, kind: string | null): string | null {
  if (kind === "agent_message") return (textAt(event, "item", "text") ?? "").slice(0, 200) || null;
  if (kind === "command_execution") return `ran ${(textAt(event, "item", "command") ?? "").slice(0, 200)}`;
  if (kind === "file_change") return "changed files";
  return null;
}
