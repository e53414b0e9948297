/**
 * The guard process, see guard.ts. Started with its orders as the only argument and the worker's pipe as standard input.
 *
 * Owner: executors. Imports nothing but its neighbours, so that it starts fast, from source and from the build alike.
 */
import { rmSync } from "node:fs";
import { createInterface } from "node:readline";
import { endTree, systemTimers } from "./ending.ts";
import type { GuardLine, GuardOrders } from "./guard.ts";
import { endMarked } from "./marked.ts";
import { createScanner } from "./procfs.ts";
import type { Tree } from "./tree.ts";
import { createTree } from "./tree.ts";

/** A guard that can't finish (a process in uninterruptible sleep) goes away after this. */
const GIVE_UP_MS = 120_000;

const orders = JSON.parse(process.argv[2] ?? "{}") as GuardOrders;
const trees = new Map<string, Tree>();

// Ctrl-C and a closed terminal are the worker's to handle; this process ends when the worker has.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGPIPE"] as const) process.on(signal, () => {});

const lines = createInterface({ input: process.stdin });
lines.on("line", (text) => {
  const line = JSON.parse(text) as GuardLine;
  if ("farewell" in line) process.exit(0);
  if ("add" in line) trees.set(line.add.marker, createTree(line.add, true));
  else trees.delete(line.remove);
});
// A broken pipe is an end as well; readline closes on both.
process.stdin.on("error", () => lines.close());
lines.on("close", () => {
  setTimeout(() => process.exit(1), GIVE_UP_MS).unref();
  void endAll().finally(() => process.exit(0));
});

async function endAll(): Promise<void> {
  const options = { graceMs: orders.graceMs, scanner: createScanner(), timers: systemTimers };
  await Promise.all([...trees.values()].map((tree) => endTree(tree, options)));
  await endMarked(orders.prefix, options);
  for (const folder of orders.folders) rmSync(folder, { recursive: true, force: true });
}
