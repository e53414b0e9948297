/** Event streams of Claude Code and Codex, written by hand after their documentation, and what the readers make of them. */
import { describe, expect, test } from "vitest";
import type { EventReader } from "../harness/adapters/adapter.ts";
import { claudeCode } from "../harness/adapters/claude-code.ts";
import { codex } from "../harness/adapters/codex.ts";
import { plain } from "../harness/adapters/plain.ts";

const exit = (exitCode: number | null, tail = "", ended: string | null = null) => ({ exitCode, ended, tail });

function read(reader: EventReader, events: (object | string)[]): boolean[] {
  return events.map((event) => reader.line(typeof event === "string" ? event : JSON.stringify(event)));
}

describe("Claude Code", () => {
  const START = [
    {
      type: "system",
      subtype: "init",
      session_id: "s",
      cwd: "/w",
      model: "m",
      tools: ["Read", "Edit"],
      permissionMode: "acceptEdits",
    },
    {
      type: "assistant",
      message: {
        role: "assistant",
        content: [
          { type: "text", text: "I read the file." },
          { type: "tool_use", id: "1", name: "Read", input: {} },
        ],
      },
      session_id: "s",
    },
    {
      type: "user",
      message: { role: "user", content: [{ type: "tool_result", tool_use_id: "1", content: "text" }] },
      session_id: "s",
    },
  ];
  const RESULT = {
    type: "result",
    subtype: "success",
    is_error: false,
    result: "Done.",
    num_turns: 2,
    duration_ms: 10,
    total_cost_usd: 0.25,
    usage: { input_tokens: 10, cache_read_input_tokens: 5, output_tokens: 7 },
    session_id: "s",
  };

  test("the result is the final word, with usage and cost", () => {
    const reader = claudeCode.reader();
    expect(read(reader, [...START, RESULT])).toEqual([false, false, false, true]);
    expect(reader.outcome(exit(0))).toEqual({
      ok: true,
      text: "Done.",
      error: null,
      retryable: false,
      usage: { inputTokens: 15, outputTokens: 7, costUsd: 0.25 },
      turns: 2,
    });
  });

  test("it stays the final word when the program had to be ended after it", () => {
    const reader = claudeCode.reader();
    read(reader, [...START, RESULT]);
    expect(reader.outcome(exit(null, "", "after_final")).ok).toBe(true);
  });

  test.each([
    ["is_error beside success", { ...RESULT, is_error: true, result: "API Error: overloaded" }, true],
    [
      "an error while working",
      { ...RESULT, subtype: "error_during_execution", is_error: true, result: undefined, errors: ["it broke"] },
      true,
    ],
    ["too many turns", { ...RESULT, subtype: "error_max_turns", is_error: true }, false],
    ["too much money", { ...RESULT, subtype: "error_max_budget_usd", is_error: true }, false],
  ])("exit code 0 with %s is a failure", (_, result, retryable) => {
    const reader = claudeCode.reader();
    read(reader, [...START, result]);
    expect(reader.outcome(exit(0))).toMatchObject({
      ok: false,
      retryable,
      error: expect.stringMatching(/^Claude Code ended with/),
    });
  });

  test("exit code 0 without a result is a failure that names the last talk", () => {
    const reader = claudeCode.reader();
    read(reader, START);
    expect(reader.outcome(exit(0, "line\nInvalid API key"))).toMatchObject({
      ok: false,
      text: "I read the file.",
      error: "Claude Code: it exited with code 0 without a result: Invalid API key",
    });
  });

  test("what handed back data has it", () => {
    const reader = claudeCode.reader();
    read(reader, [{ ...RESULT, structured_output: { a: 1 } }]);
    expect(reader.outcome(exit(0)).data).toEqual({ a: 1 });
  });

  test("a reading role gets no right to edit, the prompt is no argument", () => {
    expect(claudeCode.argv({ readOnly: true, model: "x", maxTurns: 3 })).toEqual([
      "claude",
      "-p",
      "--output-format",
      "stream-json",
      "--verbose",
      "--permission-mode",
      "default",
      "--disallowedTools",
      "Edit,Write,NotebookEdit",
      "--strict-mcp-config",
      "--model",
      "x",
      "--max-turns",
      "3",
    ]);
    expect(claudeCode.argv({ readOnly: false, command: ["npx", "claude"] })).toContain("acceptEdits");
  });
});

describe("Codex", () => {
  const START = [{ type: "thread.started", thread_id: "t" }, { type: "turn.started" }];
  const item = (type: string, more: object) => ({ type: "item.completed", item: { id: "item_1", type, ...more } });
  const DONE = { type: "turn.completed", usage: { input_tokens: 100, cached_input_tokens: 60, output_tokens: 9 } };

  test("the last message of a completed turn is the answer", () => {
    const reader = codex.reader();
    const events = [
      ...START,
      {
        type: "item.started",
        item: {
          id: "item_0",
          type: "command_execution",
          command: "ls",
          aggregated_output: "",
          exit_code: null,
          status: "in_progress",
        },
      },
      item("command_execution", { command: "ls", aggregated_output: "a", exit_code: 0, status: "completed" }),
      item("file_change", { changes: [{ path: "a", kind: "update" }], status: "completed" }),
      item("agent_message", { text: "first" }),
      item("agent_message", { text: "Done." }),
      DONE,
    ];
    expect(read(reader, events).at(-1)).toBe(true);
    expect(reader.outcome(exit(0))).toEqual({
      ok: true,
      text: "Done.",
      error: null,
      retryable: false,
      usage: { inputTokens: 100, outputTokens: 9, costUsd: null },
      turns: 1,
    });
  });

  test("a lost connection that was mended is no failure", () => {
    const reader = codex.reader();
    read(reader, [
      ...START,
      { type: "error", message: "Reconnecting... 1/5" },
      item("agent_message", { text: "ok" }),
      DONE,
    ]);
    expect(reader.outcome(exit(0)).ok).toBe(true);
  });

  test.each([
    [
      "a failed turn",
      [{ type: "turn.failed", error: { message: "model at capacity" } }],
      true,
      "Codex: model at capacity",
    ],
    [
      "an error and nothing after it",
      [{ type: "error", message: "stream disconnected" }],
      true,
      "Codex: it exited with code 0 without a result (stream disconnected)",
    ],
    [
      "no login",
      [
        { type: "error", message: "401 Unauthorized" },
        { type: "turn.failed", error: { message: "401 Unauthorized" } },
      ],
      false,
      "Codex: 401 Unauthorized",
    ],
    [
      "a turn that never ended",
      [item("agent_message", { text: "half" })],
      true,
      "Codex: it exited with code 0 without a result",
    ],
  ])("exit code 0 with %s is a failure", (_, events, retryable, error) => {
    const reader = codex.reader();
    read(reader, [...START, ...events]);
    expect(reader.outcome(exit(0))).toMatchObject({ ok: false, retryable, error });
  });

  test("a second turn that fails counts, although the first completed", () => {
    const reader = codex.reader();
    read(reader, [...START, DONE, { type: "turn.started" }, { type: "turn.failed", error: { message: "no" } }]);
    expect(reader.outcome(exit(0)).ok).toBe(false);
  });

  test("the prompt comes from standard input, the sandbox fits the role", () => {
    expect(codex.argv({ readOnly: true })).toEqual(["codex", "exec", "--json", "--sandbox", "read-only", "-"]);
    expect(codex.argv({ readOnly: false, model: "m" })).toEqual([
      "codex",
      "exec",
      "--json",
      "--sandbox",
      "workspace-write",
      "--model",
      "m",
      "-",
    ]);
  });
});

describe("any program", () => {
  test("its exit code is its word, its last lines its message", () => {
    const reader = plain.reader();
    read(reader, ["\u001b[31mred\u001b[0m", "the end"]);
    expect(reader.outcome(exit(0))).toMatchObject({ ok: true, text: "red\nthe end" });
    expect(reader.outcome(exit(75)).retryable).toBe(true);
    expect(reader.outcome(exit(2, "oops"))).toMatchObject({
      ok: false,
      retryable: false,
      error: "the agent: it exited with code 2 without a result: oops",
    });
  });
});

test("no line makes a reader throw", () => {
  const lines = [
    "",
    "{",
    "{}",
    "[]",
    "null",
    '{"type":5}',
    '{"type":"result"}',
    '{"type":"assistant","message":{"content":5}}',
    '{"type":"item.completed"}',
    '{"type":"turn.failed"}',
    '{"type":"error"}',
    '{"__proto__":{"type":"result"}}',
  ];
  for (const adapter of [claudeCode, codex, plain]) {
    const reader = adapter.reader();
    read(reader, lines);
    expect(typeof reader.outcome(exit(0)).ok).toBe("boolean");
  }
});
