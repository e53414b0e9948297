/** A conversation with everything that can be interrupted: files, a tool with an effect outside, a spawned model, a result. */

import { fileURLToPath } from "node:url";
import { type ChildOutcome, defineAgent, definePipeline, defineTool, type Pipeline } from "tenuto";
import { z } from "zod";
import { begin, effect } from "../journal.ts";

const SERVER = process.env["LLM_SERVER"] ?? "";
const model = { id: "openai-compatible/scripted", baseURL: SERVER, keyEnv: null };
const policy = { maxCrashes: 1_000, retry: { maxRetries: 100, baseSeconds: 0.01, factor: 1 } };

const remark = defineTool({
  name: "remark",
  description: "Leaves a mark outside.",
  input: z.object({ text: z.string() }),
  run: ({ text }, { idempotencyKey }) => {
    effect(idempotencyKey, 1, begin(idempotencyKey, 1));
    return `marked ${text}`;
  },
});

const helper = defineAgent({
  kind: "llm",
  name: "llm/helper",
  skill: "Help.",
  model,
  tools: ["todo"],
  ...policy,
});

const SMALL = fileURLToPath(new URL("../../../src/executors/llm/fixtures/mcp-server.ts", import.meta.url));

const worker = defineAgent({
  kind: "llm",
  name: "llm/worker",
  skill: "Work.",
  model,
  tools: ["files", "artifacts", "spawn_job", "todo", remark],
  spawns: { agents: ["llm/helper"] },
  // It does not go by itself: the guard has to end it, and its child, when the engine is killed.
  mcp: { small: { command: [process.execPath, "--no-warnings", SMALL, "--stubborn"], tools: ["add"] } },
  output: z.object({ text: z.string(), helped: z.string() }),
  ...policy,
});

/** What the job's workspace and result must be in the end, however often it was interrupted. */
const check = defineAgent({
  name: "llm/check",
  run: (input: { work: { text: string; helped: string } }): ChildOutcome["state"] => {
    if (input.work.text !== "one two three") throw new Error(`the result is ${JSON.stringify(input.work)}`);
    return "completed";
  },
});

export function pipelines(): Pipeline<any>[] {
  return [
    definePipeline({
      name: "talk",
      params: z.object({ number: z.number() }),
      jobs: [
        { id: "work", agent: worker, input: "worker {{ params.number }}" },
        { id: "check", agent: check, needs: ["work"], input: { work: "{{ jobs.work.output }}" } },
      ],
      agents: [helper],
    }),
  ];
}
