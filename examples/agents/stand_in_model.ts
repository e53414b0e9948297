/**
 * A stand-in for a model, so that the example runs without a key and without the network: a server on this machine that
 * speaks the wire format of OpenAI. It looks for one spelling mistake, and knows nothing else.
 */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

interface Message {
  role: string;
  content: string | null;
}

function answerTo(messages: readonly Message[]): { name: string; args: object } {
  const results = messages.filter(({ role }) => role === "tool").map(({ content }) => content ?? "");
  if (results.length === 0) return { name: "list_artifacts", args: {} };
  if (results.length === 1) return { name: "read_artifact", args: { name: "notes.md" } };
  const findings = [...(results[1] ?? "").matchAll(/.*\bteh\b.*/g)].map(([line]) => ({
    level: "error",
    message: `"teh" should be "the": ${line}`,
  }));
  return { name: "finish", args: { verdict: findings.length === 0 ? "PASSED" : "FAILED", findings } };
}

/** Starts it; gives its address. It does not keep the process alive. */
export async function standInModel(): Promise<string> {
  const server = createServer(async (request, response) => {
    let text = "";
    for await (const part of request) text += part;
    const { messages, model } = JSON.parse(text) as { messages: Message[]; model: string };
    const { name, args } = answerTo(messages);
    const call = {
      id: `call_${messages.length}`,
      type: "function",
      function: { name, arguments: JSON.stringify(args) },
    };
    const message = { role: "assistant", content: null, tool_calls: [call] };
    response.setHeader("content-type", "application/json");
    response.end(
      JSON.stringify({
        id: "1",
        object: "chat.completion",
        created: 1,
        model,
        choices: [{ index: 0, finish_reason: "tool_calls", message }],
        usage: { prompt_tokens: text.length >> 2, completion_tokens: 20, total_tokens: (text.length >> 2) + 20 },
      }),
    );
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  server.unref();
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`;
}
