/** A language model on loopback that speaks OpenAI's wire format and finishes with the answer that it was given. */
import { createServer } from "node:http";

export interface ModelServer {
  baseURL: string;
  /** Messages of each call. */
  asked: { role: string; content: string }[][];
  close(): Promise<void>;
}

export async function startModel(result: object): Promise<ModelServer> {
  const asked: ModelServer["asked"] = [];
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const { messages, model } = JSON.parse(Buffer.concat(chunks).toString("utf8"));
    asked.push(messages);
    const call = { id: "call_1", type: "function", function: { name: "finish", arguments: JSON.stringify(result) } };
    const message = { role: "assistant", content: null, tool_calls: [call] };
    response.setHeader("content-type", "application/json");
    response.end(
      JSON.stringify({
        id: "1",
        object: "chat.completion",
        created: 1,
        model,
        choices: [{ index: 0, finish_reason: "tool_calls", message }],
        usage: { prompt_tokens: 10, completion_tokens: 10, total_tokens: 20 },
      }),
    );
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    baseURL: `http://127.0.0.1:${(server.address() as { port: number }).port}/v1`,
    asked,
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
