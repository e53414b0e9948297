/**
 * Notices a model that goes round in circles: the same call of a tool, the same set of calls, or the same text, four times
 * in a row. The fourth is not carried out.
 */
import { TenutoError } from "../../core/errors.ts";
import { canonicalJson } from "../../core/pipeline.ts";
import type { Reply } from "./models.ts";

export const STUCK_AFTER = 4;
const QUOTE = 300;

export class Circles {
  private readonly runs = new Map<string, { what: string; count: number }>();

  /** @throws stuck, with the evidence */
  look(reply: Reply): void {
    const calls = reply.calls.map((call) => `${call.name} ${canonicalJson(call.input)}`);
    for (const call of calls) this.count("call", call);
    if (calls.length > 1) this.count("turn", calls.join("\n"));
    if (reply.text.trim() !== "") this.count("text", reply.text.trim());
  }

  private count(kind: string, what: string): void {
    const before = this.runs.get(kind);
    const count = before?.what === what ? before.count + 1 : 1;
    this.runs.set(kind, { what, count });
    if (count < STUCK_AFTER) return;
    const shown = what.length > QUOTE ? `${what.slice(0, QUOTE)}…` : what;
    throw new TenutoError(
      "stuck",
      kind === "text"
        ? `the model gave the same text ${count} times in a row: ${shown}`
        : `the model made the same call${kind === "turn" ? "s" : ""} ${count} times in a row: ${shown}`,
      {
        hint: "Look at the transcript; mend the instructions, the tool or the model. A retry begins the conversation anew.",
        details: { repeated: shown, times: count, kind },
      },
    );
  }
}
