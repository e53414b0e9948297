/**
 * An agent that does nothing: for trying out templates, limits and screens.
 *
 *   mock.ts --agent-type dev --failure-rate 0.1 --duration 2 --prompt TEXT [--command JSON-ARGV | --python CODE]
 *
 * What is not given there is read from the job's input: agentType, failureRate, duration, prompt.
 *
 * Invariant: whether it fails depends on run, job and attempt alone, so that a run can be looked at again.
 */
import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";
import { parseArgs } from "node:util";
import { z } from "zod";
import { runProgram } from "../harness/program.ts";

const { values } = parseArgs({
  options: {
    "agent-type": { type: "string" },
    "failure-rate": { type: "string" },
    duration: { type: "string" },
    command: { type: "string", default: "" },
    python: { type: "string", default: "" },
    prompt: { type: "string" },
  },
});

const SETTINGS = z.object({
  agentType: z.string().default("mock"),
  failureRate: z.coerce.number().min(0).max(1).default(0.1),
  duration: z.coerce.number().min(0).max(86_400).default(0),
  prompt: z.string().default(""),
});

function settings(): z.infer<typeof SETTINGS> {
  const file = process.env["TENUTO_INPUT"];
  const input = file === undefined ? null : (JSON.parse(readFileSync(file, "utf8")) as object | null);
  const given = {
    agentType: values["agent-type"],
    failureRate: values["failure-rate"],
    duration: values.duration,
    prompt: values.prompt,
  };
  return SETTINGS.parse({
    ...input,
    ...Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)),
  });
}

async function main(): Promise<number> {
  const { env } = process;
  const { agentType: agent, failureRate: rate, duration: seconds, prompt } = settings();
  process.stdout.write(`[${agent}] attempt ${env["TENUTO_ATTEMPT"] ?? 1}: ${prompt.slice(0, 200)}\n`);
  await pause(seconds * 1_000);
  const argv = values.command === "" ? [] : z.array(z.string()).min(1).parse(JSON.parse(values.command));
  if (values.python !== "") argv.push("python3", "-c", values.python);
  if (argv.length > 0) {
    const result = await runProgram({
      argv,
      cwd: process.cwd(),
      timeoutMs: 86_400_000,
      onLine(_, line) {
        process.stdout.write(`${line}\n`);
        return undefined;
      },
    });
    if (result.startError !== null) throw new Error(result.startError);
    if (result.exitCode !== 0) return result.exitCode ?? 75;
  }
  if (chance() < rate) {
    process.stderr.write(`[${agent}] failed by chance, at a rate of ${rate}\n`);
    return 75;
  }
  if (env["TENUTO_OUTPUT"] !== undefined) writeFileSync(env["TENUTO_OUTPUT"], JSON.stringify({ agent, done: true }));
  return 0;
}

/** A number from 0 to 1 that is the same for the same attempt. */
function chance(): number {
  const { env } = process;
  const text = [env["TENUTO_RUN_ID"], env["TENUTO_JOB_ID"], env["TENUTO_ATTEMPT"]].join("/");
  return createHash("sha256").update(text).digest().readUInt32BE(0) / 2 ** 32;
}

try {
  process.exitCode = await main();
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
