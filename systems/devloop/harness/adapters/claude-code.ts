/**
 * Claude Code's headless mode: `claude -p --output-format stream-json --verbose`, one JSON event a line.
 *
 * Events: `system` (init and others), `assistant` and `user` (messages with content blocks), `result` (the last one, with
 * `subtype`, `is_error`, `result`, `num_turns`, `usage`, `total_cost_usd`). Others are passed over.
 *
 * Invariants: (1) `result` is the final word; the program may stay on after it, and its exit code does not matter then;
 * (2) `is_error` or a subtype other than `success` is a failure, whatever the exit code.
 */
import type { Json } from "tenuto";
import type { Adapter, EventReader, Outcome } from "./adapter.ts";
import { at, NO_USAGE, numberAt, objectOf, silentEnd, textAt } from "./adapter.ts";

export const claudeCode: Adapter = {
  name: "claude-code",
  passEnv: [
    "ANTHROPIC_API_KEY",
    "ANTHROPIC_AUTH_TOKEN",
    "ANTHROPIC_BASE_URL",
    "CLAUDE_CODE_OAUTH_TOKEN",
    "CLAUDE_CONFIG_DIR",
  ],
  argv: ({ command = ["claude"], model, maxTurns, readOnly }) => [
    ...command,
    "-p",
    ...["--output-format", "stream-json", "--verbose"],
    // What is not allowed is refused, as there is nobody to ask.
    ...(readOnly
      ? ["--permission-mode", "default", "--disallowedTools", "Edit,Write,NotebookEdit"]
      : ["--permission-mode", "acceptEdits"]),
    "--strict-mcp-config",
    ...(model === undefined ? [] : ["--model", model]),
    ...(maxTurns === undefined ? [] : ["--max-turns", String(maxTurns)]),
  ],
  reader: createReader,
};

/** Errors that another try does not mend. */
const FINAL_SUBTYPES = new Set(["error_max_turns", "error_max_budget_usd"]);

function createReader(): EventReader {
  let result: Record<string, unknown> | null = null;
  let lastText = "";
  let note: string | null = null;
  return {
    line(text) {
      note = null;
      const event = objectOf(text);
      if (event === null) return false;
      if (event["type"] === "assistant") {
        const { texts, notes } = blocksOf(event);
        if (texts.length > 0) lastText = texts.join("\n");
        note = notes.join("; ") || null;
      } else if (event["type"] === "result" && textAt(event, "subtype") !== null) {
        result = event;
        note = `result: ${textAt(event, "subtype")}`;
        return true;
      }
      return false;
    },
    note: () => note,
    outcome: (exit) => (result === null ? unfinished(lastText, exit) : finished(result, lastText)),
  };
}

function blocksOf(event: Record<string, unknown>): { texts: string[]; notes: string[] } {
  const content = at(event, ["message", "content"]);
  const texts: string[] = [];
  const notes: string[] = [];
  for (const block of Array.isArray(content) ? content : []) {
    const text = textAt(block, "type") === "text" ? textAt(block, "text") : null;
    if (text !== null) {
      texts.push(text);
      notes.push(text.slice(0, 200));
    }
    if (textAt(block, "type") === "tool_use") notes.push(`tool ${textAt(block, "name") ?? "?"}`);
  }
  return { texts, notes };
}

function finished(result: Record<string, unknown>, lastText: string): Outcome {
  const subtype = textAt(result, "subtype") ?? "";
  const ok = subtype === "success" && result["is_error"] !== true;
  const text = textAt(result, "result") ?? lastText;
  const data = result["structured_output"];
  return {
    ok,
    text,
    ...(data === undefined || data === null ? {} : { data: data as Json }),
    error: ok
      ? null
      : `Claude Code ended with ${subtype === "success" ? "an error" : subtype}: ${errorText(result, text)}`,
    retryable: !ok && !FINAL_SUBTYPES.has(subtype),
    usage: {
      inputTokens:
        numberAt(result, "usage", "input_tokens") +
        numberAt(result, "usage", "cache_read_input_tokens") +
        numberAt(result, "usage", "cache_creation_input_tokens"),
      outputTokens: numberAt(result, "usage", "output_tokens"),
      costUsd: typeof result["total_cost_usd"] === "number" ? result["total_cost_usd"] : null,
    },
    turns: numberAt(result, "num_turns"),
  };
}

function errorText(result: Record<string, unknown>, text: string): string {
  const errors = result["errors"];
  const listed = Array.isArray(errors) ? errors.filter((entry) => typeof entry === "string").join("; ") : "";
  return (listed || text || "no message").slice(0, 500);
}

function unfinished(text: string, exit: { exitCode: number | null; ended: string | null; tail: string }): Outcome {
  return { ok: false, text, error: `Claude Code: ${silentEnd(exit)}`, retryable: true, usage: NO_USAGE, turns: 0 };
}
