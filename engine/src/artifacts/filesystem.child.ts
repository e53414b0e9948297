/**
 * Program of the store's kill and disk-full tests: writes seeded objects into the store at argv[2] until it is killed.
 *
 * Owner: artifacts, tests. Prints the hash of each object once `put` has answered, or the error that ended it.
 */
import { writeSync } from "node:fs";
import { openFileStore } from "./filesystem.ts";

const [root, seed, largest] = [process.argv[2]!, Number(process.argv[3]), Number(process.argv[4])];

let state = (seed + 1) * 2_654_435_761;
function random(below: number): number {
  state = (Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x9e3779b9) >>> 0;
  return ((state ^ (state >>> 13)) >>> 0) % below;
}

async function* inPieces(content: Buffer): AsyncIterable<Uint8Array> {
  for (let at = 0; at < content.length; at += 70_000) yield content.subarray(at, at + 70_000);
}

const store = await openFileStore(root);
async function writer(): Promise<void> {
  for (;;) {
    const content = Buffer.alloc(1 + random(random(4) === 0 ? largest : 20_000), `${seed} ${random(1_000_000)}`);
    const { sha256 } = await store.put(random(2) === 0 ? content : inPieces(content));
    writeSync(1, `${sha256}\n`);
  }
}

for (const outcome of await Promise.allSettled([writer(), writer(), writer(), writer()])) {
  if (outcome.status !== "rejected") continue;
  const { code, category, message } = outcome.reason as { code: string; category: string; message: string };
  writeSync(1, `${JSON.stringify({ code, category, message })}\n`);
}
