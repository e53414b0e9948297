/** A program that is a job: starts `tenuto mcp` with what its attempt gave it, and acts through it as an agent would. */
import { writeFileSync } from "node:fs";
import { optional } from "../../../src/executors/llm/packages.ts";

const { Client } = await optional("client", () => import("@modelcontextprotocol/client"));
const { StdioClientTransport } = await optional("client", () => import("@modelcontextprotocol/client/stdio"));
const [launcher] = process.argv.slice(2);
const env = Object.fromEntries(
  Object.entries(process.env).filter((entry): entry is [string, string] => entry[1] !== undefined),
);
const client = new Client({ name: "job", version: "1" });
await client.connect(new StdioClientTransport({ command: process.execPath, args: [launcher!, "mcp"], env }));
const { tools } = await client.listTools();
const call = async (name: string, args: Record<string, unknown>) => {
  const { isError, structuredContent } = await client.callTool({ name, arguments: args });
  return { isError: isError === true, ...(structuredContent as object) };
};
const first = await call("spawn_job", { key: "fix", like: "dev", reason: "there is a gap", seconds: 60 });
const again = await call("spawn_job", { key: "fix", like: "dev", reason: "there is a gap", seconds: 60 });
const refused = await call("spawn_job", { key: "other", agent: "test/other", seconds: 60 });
const saved = await call("save_artifact", { name: "note.txt", text: "from the job" });
await call("write_log", { level: "WARNING", message: "seen through MCP" });
await call("report_progress", { done: 1, total: 2 });
const unknown = await call("cancel_run", { run: "latest" }).catch((error: Error) => ({ message: error.message }));
await client.close();
writeFileSync(
  process.env["TENUTO_OUTPUT"]!,
  JSON.stringify({ tools: tools.map((tool) => tool.name), first, again, refused, saved, unknown }),
);
