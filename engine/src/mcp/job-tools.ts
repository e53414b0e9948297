/**
 * Tools for a program or model that is itself a job: what its attempt's socket and token allow, and nothing of the ledger. So
 * it can't start, cancel or approve anything, its own work least of all.
 */
import * as z from "zod";
import type { Json } from "../core/model.ts";
import { type Tool, tool } from "./tool.ts";

/** Calls the socket of the attempt: `/spawn`, `/artifact`, `/log`, `/progress`. */
export type JobSocketCall = (path: string, body: { [key: string]: Json }) => Promise<Json>;

export interface JobHost {
  call: JobSocketCall;
  after(ms: number, callback: () => void): () => void;
}

const MAX_WAIT_SECONDS = 600;
const NAME = z.string().min(1).max(200);

export function jobTools(host: JobHost): Tool[] {
  return [spawnJob(host), saveArtifact(host), writeLog(host), reportProgress(host)];
}

function spawnJob(host: JobHost): Tool {
  /** A key is one child for the whole attempt: asked for again it is waited for again. */
  const children = new Map<string, Promise<Json>>();
  return tool({
    name: "spawn_job",
    title: "Spawn a job",
    description:
      "Adds a job to this run, by an agent or like a declared job, as far as this job may, and waits for its end. If it has not ended in time, `state` is `running`: call again with the same key to wait on.",
    input: z.strictObject({
      key: NAME.describe("Names the child; the same key is the same child."),
      agent: NAME.optional(),
      like: NAME.optional().describe("Id of a declared job to run again."),
      input: z.json().optional(),
      stage: NAME.optional(),
      reason: z.string().max(10_000).optional().describe("Why; the child sees it."),
      allowFailure: z.boolean().optional(),
      seconds: z.number().min(0).max(MAX_WAIT_SECONDS).default(50),
    }),
    repeatable: true,
    run: async ({ seconds, ...given }) => {
      const body = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
      let child = children.get(given.key);
      if (child === undefined) {
        child = host.call("/spawn", body as { [key: string]: Json });
        children.set(given.key, child);
        // A refusal is told to whoever asked; afterwards the key is free again.
        child.catch(() => children.delete(given.key));
      }
      const reply = await withinTime(host, child, seconds * 1_000);
      return reply === null ? { key: given.key, state: "running" } : { key: given.key, ...childOf(reply) };
    },
  });
}

async function withinTime(host: JobHost, child: Promise<Json>, ms: number): Promise<Json | null> {
  let cancel = (): void => {};
  const over = new Promise<null>((resolve) => {
    cancel = host.after(ms, () => resolve(null));
  });
  try {
    return await Promise.race([child, over]);
  } finally {
    cancel();
  }
}

function childOf(reply: Json): { [key: string]: unknown } {
  const { result } = reply as { result: { [key: string]: Json } };
  return result;
}

const saveArtifact = ({ call }: JobHost) =>
  tool({
    name: "save_artifact",
    title: "Save an artifact",
    description: "Stores text or bytes as an artifact of this job.",
    input: z.strictObject({
      name: NAME,
      text: z.string().optional(),
      base64: z.string().optional(),
      mediaType: z.string().max(200).optional(),
    }),
    run: async (given) => {
      const body = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
      return { artifact: await call("/artifact", body as { [key: string]: Json }) };
    },
  });

const writeLog = ({ call }: JobHost) =>
  tool({
    name: "write_log",
    title: "Write a log line",
    description: "A line in the log of this run.",
    input: z.strictObject({
      level: z.enum(["INFO", "WARNING", "ERROR"]).default("INFO"),
      message: z.string().max(10_000),
    }),
    run: async ({ level, message }) => {
      await call("/log", { level, message });
      return {};
    },
  });

const reportProgress = ({ call }: JobHost) =>
  tool({
    name: "report_progress",
    title: "Report progress",
    description: "Says how far this job is.",
    input: z.strictObject({
      done: z.number().min(0),
      total: z.number().min(0).optional(),
      message: z.string().max(1_000).optional(),
    }),
    repeatable: true,
    run: async (given) => {
      const body = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
      await call("/progress", body as { [key: string]: Json });
      return {};
    },
  });
