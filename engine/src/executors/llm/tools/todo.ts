/** A list of what is to be done. It lives in the conversation, and so survives whatever the conversation survives. */
import { checkFields, type Fields, offerOf, type Tool, ToolProblem } from "../tool.ts";

const STATES = ["open", "doing", "done"] as const;
const FIELDS: Fields = {
  items: {
    type: "array",
    description: "the whole list, in order",
    items: {
      type: "object",
      properties: { text: { type: "string" }, state: { type: "string", enum: [...STATES] } },
      required: ["text", "state"],
      additionalProperties: false,
    },
  },
};

export const todoTool: Tool = {
  offer: offerOf("todo", "Notes what is to be done and what has been done. Give the whole list each time.", FIELDS),
  check: (input) => {
    const args = checkFields(input, FIELDS);
    const items = args["items"] as unknown[];
    if (items.length > 100) throw new ToolProblem(`the list has ${items.length} items; 100 are allowed`);
    for (const [index, item] of items.entries()) {
      const { text, state } = (item ?? {}) as { text?: unknown; state?: unknown };
      if (typeof text !== "string" || !STATES.includes(state as "open"))
        throw new ToolProblem(`items[${index}] needs text, and state ${STATES.join(", ")}`);
    }
    return args;
  },
  trusted: true,
  work: async (args) => {
    const items = args["items"] as { text: string; state: string }[];
    const done = items.filter(({ state }) => state === "done").length;
    return `noted: ${done} of ${items.length} done`;
  },
};
