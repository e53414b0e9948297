/** kill -9 at half of a 10,000-item fan-out: how long after the restart it is finished, and what ran twice. */
import { type ChildProcess, fork } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { inFolder } from "../place.ts";
import { type Figure, median } from "../report.ts";

const ITEMS = 10_000;
const CONCURRENCY = 100;
const ROUNDS = 5;
const CHILD = fileURLToPath(new URL("./kill.child.ts", import.meta.url));

export async function kill(): Promise<Figure[]> {
  const seconds: number[] = [];
  let repeated = 0;
  let lost = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const result = await inFolder(once);
    seconds.push(result.seconds);
    repeated = Math.max(repeated, result.repeated);
    lost += result.lost;
  }
  return [
    {
      workload: "kill",
      what: "finished after the restart",
      value: median(seconds),
      unit: "s",
      target: { text: "within 1.5 s, process start included", met: median(seconds) <= 1.5 },
    },
    {
      workload: "kill",
      what: "items that ran twice, at most",
      value: repeated,
      unit: "items",
      target: { text: `at most ${CONCURRENCY}`, met: repeated <= CONCURRENCY },
    },
    { workload: "kill", what: "items lost", value: lost, unit: "items", target: { text: "none", met: lost === 0 } },
  ];
}

async function once(folder: string): Promise<{ seconds: number; repeated: number; lost: number }> {
  const first = start(folder, "start");
  await message(first, "half");
  first.kill("SIGKILL");
  await new Promise((resolve) => first.once("exit", resolve));
  const restartedAt = performance.now();
  const second = start(folder, "resume");
  await message(second, "finished");
  const seconds = (performance.now() - restartedAt) / 1_000;
  await new Promise((resolve) => second.once("exit", resolve));
  const journal = readFileSync(join(folder, "journal"), "utf8")
    .split("\n")
    .filter((line) => line !== "");
  const seen = new Set(journal);
  return { seconds, repeated: journal.length - seen.size, lost: ITEMS - seen.size };
}

function start(folder: string, mode: string): ChildProcess {
  return fork(CHILD, [folder, mode, String(ITEMS), String(CONCURRENCY)], { execArgv: ["--conditions=source"] });
}

function message(child: ChildProcess, text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    child.on("message", (received) => {
      if (received === text) resolve();
    });
    child.once("exit", (code, signal) =>
      reject(new Error(`the engine ended with ${code ?? signal} before it said ${text}`)),
    );
  });
}
