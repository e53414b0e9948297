/**
 * A program that speaks MCP over its standard input and output, run by the executor of commands: so it has a session of its
 * own, an environment by allow-list and a marker, and its tree is ended and verified like any other.
 */
import { TenutoError } from "../../../core/errors.ts";
import type { McpServerSpec } from "../../../core/llm.ts";
import type { CommandExecutor } from "../../../ports/executor.ts";
import type { LlmAttempt } from "../../../ports/llm.ts";

/** A message longer than this is no message. */
const MAX_LINE = 10 * 1024 * 1024;
const GRACE_SECONDS = 2;

interface ProgramTransport {
  start(): Promise<void>;
  send(message: unknown): Promise<void>;
  close(): Promise<void>;
  onmessage?: (message: any) => void;
  onclose?: () => void;
  onerror?: (error: Error) => void;
}

interface Pipe {
  write(text: string): unknown;
}

export async function programTransport(
  attempt: LlmAttempt,
  commands: CommandExecutor,
  spec: McpServerSpec,
  server: string,
): Promise<ProgramTransport> {
  const { context } = attempt;
  const scratch = await attempt.scratch(server);
  const ended = new AbortController();
  let begun: (pipe: Pipe) => void = () => {};
  const started = new Promise<Pipe>((resolve) => {
    begun = resolve;
  });
  let finished: Promise<void> = Promise.resolve();
  const transport: ProgramTransport = {
    start: async () => {
      const lines = lineReader((line) => {
        try {
          transport.onmessage?.(JSON.parse(line));
        } catch (error) {
          transport.onerror?.(error as Error);
        }
      });
      const run = commands.run({
        runId: context.runId,
        jobId: context.jobId,
        owner: attempt.owner,
        item: attempt.item,
        attempt: context.attempt,
        epoch: context.epoch,
        command: {
          argv: spec.command ?? [],
          graceSeconds: GRACE_SECONDS,
          ...(spec.env === undefined ? {} : { env: spec.env }),
          ...(spec.passEnv === undefined ? {} : { passEnv: spec.passEnv }),
        },
        input: null,
        workspace: context.workspace,
        scratch,
        artifacts: scratch,
        context: null,
        output: (stream, chunk) => {
          if (stream === "stdout") lines(chunk);
        },
        converse: begun,
        timeoutMs: 2_147_483_647,
        api: NO_API,
        signal: AbortSignal.any([ended.signal, context.signal]),
      });
      finished = run.then(
        async (outcome) => {
          await attempt.discard(scratch);
          if (outcome.kind === "failed") transport.onerror?.(new Error(outcome.error.message));
          transport.onclose?.();
        },
        (error) => {
          transport.onerror?.(error as Error);
          transport.onclose?.();
        },
      );
    },
    send: async (message) => {
      const pipe = await Promise.race([started, finished]);
      if (pipe === undefined) throw new Error(`the program of ${server} has ended`);
      pipe.write(`${JSON.stringify(message)}\n`);
    },
    close: async () => {
      ended.abort("stop");
      await finished;
    },
  };
  return transport;
}

/** Cuts a stream of bytes into lines. @throws if a line has no end */
function lineReader(take: (line: string) => void): (chunk: Uint8Array) => void {
  let parts: Buffer[] = [];
  let size = 0;
  return (chunk) => {
    let rest = Buffer.from(chunk);
    for (let end = rest.indexOf(10); end >= 0; end = rest.indexOf(10)) {
      const line = Buffer.concat([...parts, rest.subarray(0, end)])
        .toString("utf8")
        .trim();
      parts = [];
      size = 0;
      rest = rest.subarray(end + 1);
      if (line !== "") take(line);
    }
    parts.push(rest);
    size += rest.length;
    if (size > MAX_LINE) throw new Error(`a line of more than ${MAX_LINE} bytes`);
  };
}

/** A server is not the job: over the job's socket it may do nothing. */
const refuse = (): never => {
  throw new TenutoError("invalid_input", "an MCP server can't use the socket of the job");
};
const NO_API = new Proxy({} as LlmAttempt["api"], { get: () => refuse });
