/**
 * The conversation as an artifact, kept on success and on failure: what was sent, what came back, what tools gave, what it
 * cost. Secrets are masked before.
 */
import type { Context } from "../../core/agent.ts";
import type { UsageTotals } from "../../core/budget.ts";
import type { Json } from "../../core/model.ts";
import type { Message } from "./models.ts";
import type { Mask } from "./secrets.ts";

export const TRANSCRIPT = "transcript.json";

export interface Transcript {
  agent: string;
  model: string;
  system: string;
  tools: string[];
  messages: readonly Message[];
  result: Json | undefined;
  error: { code: string; message: string } | null;
  usage: UsageTotals;
}

export async function keepTranscript(context: Context, transcript: Transcript, mask: Mask): Promise<void> {
  const text = JSON.stringify(mask({ ...transcript, result: transcript.result ?? null }), null, 1);
  await context.artifact(TRANSCRIPT, text, { type: "model_output", mediaType: "application/json" });
}
