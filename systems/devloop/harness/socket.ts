/**
 * The job's socket: results that survive a crash, artifacts and log lines. Outside of a job it keeps results in memory.
 *
 * Invariants:
 * 1. `step` runs its work once per job, whatever happens to the process; a result that is too large to keep is worked out anew.
 * 2. What the socket refuses because the attempt is over ends the harness: nobody would take its result.
 */
import { request } from "node:http";
import type { Json } from "tenuto";

/** Results above this are not kept; the socket takes bodies of up to 1 MB. */
const KEPT_MAX_BYTES = 900_000;

export interface Job {
  step<T extends Json>(key: string, work: () => Promise<T>): Promise<T>;
  artifact(name: string, type: string, content: { text: string } | { path: string }, mediaType: string): Promise<void>;
  log(level: "INFO" | "WARNING" | "ERROR", message: string): Promise<void>;
  progress(done: number, total: number, message: string): Promise<void>;
}

export class SocketError extends Error {
  readonly status: number;
  readonly code: string;

  constructor(status: number, code: string, message: string) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

/** The job that this process works on, by its environment. */
export function jobFromEnvironment(env: NodeJS.ProcessEnv = process.env): Job {
  const socket = env["TENUTO_URL"];
  const token = env["TENUTO_TOKEN"];
  return socket === undefined || token === undefined ? memoryJob() : socketJob(socket, token);
}

function socketJob(socket: string, token: string): Job {
  const call = (route: string, body: object) => post(socket, token, route, body);
  return {
    async step(key, work) {
      const before = (await call("/step", { key })) as { found: boolean; output?: Json };
      if (before.found) return before.output as Awaited<ReturnType<typeof work>>;
      const output = await work();
      if (Buffer.byteLength(JSON.stringify(output)) <= KEPT_MAX_BYTES) await call("/step/save", { key, output });
      return output;
    },
    async artifact(name, type, content, mediaType) {
      const body = { name, ...content, mediaType };
      try {
        await call("/artifact", { ...body, type });
      } catch (error) {
        if (!(error instanceof SocketError) || error.status !== 400) throw error;
        await call("/artifact", body);
      }
    },
    log: async (level, message) => void (await call("/log", { level, message })),
    progress: async (done, total, message) => void (await call("/progress", { done, total, message })),
  };
}

export function memoryJob(steps: Map<string, Json> = new Map()): Job {
  return {
    async step(key, work) {
      if (!steps.has(key)) steps.set(key, await work());
      return steps.get(key) as Awaited<ReturnType<typeof work>>;
    },
    artifact: async () => {},
    log: async () => {},
    progress: async () => {},
  };
}

function post(socket: string, token: string, route: string, body: object): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const sent = request(
      {
        socketPath: socket,
        path: route,
        method: "POST",
        headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
      },
      (response) => {
        const chunks: Buffer[] = [];
        response.on("data", (chunk: Buffer) => chunks.push(chunk));
        response.on("error", reject);
        response.on("end", () => {
          const answer = parsed(Buffer.concat(chunks).toString("utf8"));
          if (response.statusCode === 200) return resolve(answer);
          const { code = "unknown", message = "no message" } = answer as { code?: string; message?: string };
          reject(new SocketError(response.statusCode ?? 0, code, `${route}: ${message}`));
        });
      },
    );
    sent.on("error", reject);
    sent.end(JSON.stringify(body));
  });
}

function parsed(text: string): object {
  try {
    return JSON.parse(text) as object;
  } catch {
    return {};
  }
}
