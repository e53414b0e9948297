/** `http_request`: the guarded client as a tool. */
import type { HttpRights } from "../../../core/llm.ts";
import { bounded, checkFields, type Fields, offerOf, type Tool, ToolProblem } from "../tool.ts";
import { guardedRequest } from "./network.ts";

const MAX_SHOWN = 60_000;
/** Headers that a model may set. */
const HEADERS = ["accept", "accept-language", "content-type", "if-none-match", "if-modified-since"];

export function httpTool(rights: HttpRights): Tool {
  const fields: Fields = {
    url: { type: "string", description: `address; hosts: ${rights.hosts.join(", ")}`, max: 8_000 },
    method: { type: "string", description: "default GET", optional: true, choices: rights.methods },
    headers: { type: "object", description: `of these: ${HEADERS.join(", ")}`, optional: true },
    ...(rights.methods.some((method) => !["GET", "HEAD"].includes(method))
      ? { body: { type: "string", description: "body of the request", optional: true, max: 1_000_000 } as const }
      : {}),
  };
  return {
    offer: offerOf("http_request", "Makes an HTTP request and gives status and text of the answer.", fields),
    check: (input) => {
      const args = checkFields(input, fields);
      for (const [name, value] of Object.entries((args["headers"] as object | undefined) ?? {})) {
        if (!HEADERS.includes(name.toLowerCase()))
          throw new ToolProblem(`the header ${name.slice(0, 60)} can't be set`);
        if (typeof value !== "string" || /[\r\n]/.test(value))
          throw new ToolProblem(`the header ${name} must be one line`);
      }
      return args;
    },
    work: async (args, _plan, place) => {
      const method = String(args["method"] ?? "GET");
      const headers = Object.fromEntries(
        Object.entries((args["headers"] as Record<string, string> | undefined) ?? {}).map(([name, value]) => [
          name.toLowerCase(),
          value,
        ]),
      );
      if (!["GET", "HEAD"].includes(method)) headers["idempotency-key"] = place.idempotencyKey;
      const answer = await guardedRequest(
        rights,
        { url: String(args["url"]), method, headers, body: args["body"] as string | undefined },
        place.signal,
      );
      const type = answer.headers["content-type"] ?? "";
      const readable = answer.body.length === 0 || !answer.body.includes(0);
      const text = readable ? answer.body.toString("utf8") : `(${answer.body.length} bytes that are no text)`;
      const cut = answer.cut ? `\n[cut at ${rights.maxBytes} bytes]` : "";
      return `HTTP ${answer.status} ${type}\n${answer.url}\n\n${bounded(text, MAX_SHOWN)}${cut}`;
    },
  };
}
