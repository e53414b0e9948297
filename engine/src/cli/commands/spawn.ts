/**
 * `tenuto spawn`: for programs that run as jobs. Adds a child to the job's run through the socket of its attempt, waits for
 * its end, and prints how it ended.
 */
import { request } from "node:http";
import { TenutoError } from "../../core/errors.ts";
import type { Json } from "../../core/model.ts";
import { EXIT, usage } from "../failure.ts";
import type { Cli } from "../main.ts";

export interface SpawnOptions {
  key?: string;
  like?: string;
  input?: string;
  stage?: string;
  reason?: string;
  /** False with `--no-allow-failure`. */
  allowFailure: boolean;
}

export async function spawnChild(cli: Cli, agent: string | undefined, options: SpawnOptions): Promise<number> {
  const { TENUTO_URL: url, TENUTO_TOKEN: token } = cli.io.env;
  if (url === undefined || token === undefined)
    throw usage("there is no job to spawn for", "This command is for programs that Tenuto runs as jobs.");
  if ((agent === undefined) === (options.like === undefined))
    throw usage("say what to spawn: an agent, or --like with a declared job", "tenuto spawn --like dev --reason …");
  const { input, key, allowFailure, ...rest } = options;
  const body = {
    ...rest,
    key: key ?? agent ?? options.like,
    ...(agent === undefined ? {} : { agent }),
    ...(input === undefined ? {} : { input: parsed(input) }),
    allowFailure,
  };
  const reply = await post(url, token, "/spawn", JSON.stringify(body));
  const { result } = reply as { result: { id: string; state: string; output: Json } };
  cli.out.document("child", { child: result as unknown as Json });
  cli.out.data(`${result.id}  ${result.state}`);
  return result.state === "completed" ? EXIT.ok : EXIT.runFailed;
}

function parsed(text: string): Json {
  try {
    return JSON.parse(text) as Json;
  } catch (error) {
    throw usage(`--input is no JSON: ${(error as Error).message}`, 'Write --input \'{"file": "a.ts"}\'.');
  }
}

export function post(socketPath: string, token: string, path: string, body: string): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const call = request(
      {
        socketPath,
        path,
        method: "POST",
        headers: {
          authorization: `Bearer ${token}`,
          "content-type": "application/json",
          "content-length": Buffer.byteLength(body),
        },
      },
      (response) => {
        let text = "";
        response.setEncoding("utf8");
        response.on("data", (chunk: string) => {
          text += chunk;
        });
        response.on("end", () => {
          try {
            const value = JSON.parse(text) as { message?: string; hint?: string };
            if (response.statusCode === 200) return resolve(value);
            const { message = text, hint } = value;
            reject(new TenutoError("conflict", message, hint === undefined ? {} : { hint }));
          } catch {
            reject(new TenutoError("conflict", `the worker answered ${response.statusCode}: ${text.slice(0, 200)}`));
          }
        });
      },
    );
    call.on("error", (error) =>
      reject(
        new TenutoError("conflict", `the worker of this job can't be reached: ${error.message}`, {
          hint: "The attempt may be over.",
          cause: error,
        }),
      ),
    );
    call.end(body);
  });
}
