/** A log of 1 GB, written by the engine's own sink, opened at its end, in its middle and by a search. */
import { statSync } from "node:fs";
import { join } from "node:path";
import type { Tenuto } from "tenuto";

export const LOG_BYTES = 1_000_000_000;

/** Gives the number of lines; what is written goes through the sink as that of a job does. */
export async function fillLog(tenuto: Tenuto, run: string, bytes: number): Promise<number> {
  const { logs } = tenuto.engine.parts;
  const padding = "nothing to report, going on with the next page of the directory";
  let lines = 0;
  for (let written = 0; written < bytes; ) {
    for (let n = 0; n < 500; n++) {
      lines += 1;
      const message = `line ${lines}: ${padding}`;
      logs.line({ at: Date.now(), run, job: "talk", attempt: 1, agent: "bench/talk", level: "INFO", message });
      written += message.length + 98;
    }
    await new Promise((next) => setImmediate(next));
  }
  await logs.flush();
  return lines;
}

export function logBytes(home: string, run: string): number {
  return statSync(join(home, "logs", run, "run.jsonl")).size;
}
