/**
 * Tools that read what runs have left behind: log lines and artifacts, a bounded piece at a time.
 */
import * as z from "zod";
import { TenutoError } from "../core/errors.ts";
import type { McpHost } from "./host.ts";
import { RUN, type Tool, tool } from "./tool.ts";

const MAX_BYTES = 262_144;
const MAX_LINES = 1_000;

export function contentTools(host: McpHost): Tool[] {
  return [readLogs(host), listArtifacts(host), readArtifact(host)];
}

const readLogs = ({ client, logs }: McpHost) =>
  tool({
    name: "read_logs",
    title: "Read log lines",
    description: "Log lines of a run or of one job. `next` goes into `after` to read on.",
    input: z.strictObject({
      run: RUN,
      job: z.string().max(500).optional(),
      level: z.enum(["INFO", "WARNING", "ERROR"]).default("INFO").describe("The least that is shown."),
      after: z.int().min(0).default(0),
      limit: z.int().min(1).max(MAX_LINES).default(200),
    }),
    reads: true,
    run: async ({ run, job, level, after, limit }) => {
      const { id } = await client.run(run);
      const lines: { [key: string]: unknown }[] = [];
      let next = after;
      let more = false;
      for await (const line of logs.read(id, { level, after, ...(job === undefined ? {} : { job }) })) {
        if (lines.length === limit) {
          more = true;
          break;
        }
        next = line.number;
        const { at, job: of, agent, level: lineLevel, message } = line;
        lines.push({ at: new Date(at).toISOString(), job: of ?? null, agent, level: lineLevel, message });
      }
      return { run: id, lines, next, more };
    },
  });

const listArtifacts = ({ client, ledger }: McpHost) =>
  tool({
    name: "list_artifacts",
    title: "List artifacts",
    description: "What the jobs of a run have stored: names, types, sizes and hashes.",
    input: z.strictObject({ run: RUN }),
    reads: true,
    run: async ({ run }) => {
      const { seq, id } = await client.run(run);
      const records = await ledger.artifactsOfRun(seq);
      return {
        run: id,
        artifacts: records.map(({ name, jobId, type, mediaType, sha256, bytes, at }) => ({
          name,
          job: jobId,
          type,
          mediaType,
          sha256,
          bytes,
          at: new Date(at).toISOString(),
        })),
      };
    },
  });

const readArtifact = (host: McpHost) =>
  tool({
    name: "read_artifact",
    title: "Read an artifact",
    description: `Bytes of an artifact of a run, by its name or hash, at most ${MAX_BYTES} at once; \`next\` goes into \`offset\`. Text comes as text, anything else as base64.`,
    input: z.strictObject({
      run: RUN,
      artifact: z.string().min(1).max(500).describe("Its name, or its SHA-256."),
      offset: z.int().min(0).default(0),
      limit: z.int().min(1).max(MAX_BYTES).default(65_536),
    }),
    reads: true,
    run: async ({ run, artifact, offset, limit }) => {
      const { seq, id } = await host.client.run(run);
      const records = await host.ledger.artifactsOfRun(seq);
      const found = records.findLast((record) => record.name === artifact || record.sha256 === artifact);
      if (found === undefined)
        throw new TenutoError("not_found", `run ${id} has no artifact ${JSON.stringify(artifact)}`, {
          hint: `It has: ${
            records
              .map((record) => record.name)
              .slice(0, 20)
              .join(", ") || "none"
          }.`,
        });
      const bytes = await piece(host, found.sha256, offset, limit);
      const text = textOf(bytes);
      const end = offset + bytes.length;
      return {
        name: found.name,
        sha256: found.sha256,
        mediaType: found.mediaType,
        bytes: found.bytes,
        offset,
        next: end < found.bytes ? end : null,
        ...(text === null ? { base64: bytes.toString("base64") } : { text }),
      };
    },
  });

async function piece({ store }: McpHost, sha256: string, offset: number, limit: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let at = 0;
  let taken = 0;
  for await (const chunk of store.get(sha256)) {
    const from = Math.max(0, offset - at);
    at += chunk.length;
    if (from >= chunk.length) continue;
    const part = Buffer.from(chunk).subarray(from, from + limit - taken);
    chunks.push(part);
    taken += part.length;
    if (taken >= limit) break;
  }
  return Buffer.concat(chunks);
}

/** The bytes as text, if they are UTF-8 and no binary; a character cut at either end does not count against them. */
function textOf(bytes: Buffer): string | null {
  if (bytes.includes(0)) return null;
  const text = bytes.toString("utf8");
  return text.slice(3, -3).includes("\uFFFD") ? null : text;
}
