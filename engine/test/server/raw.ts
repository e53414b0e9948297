/** Requests with exactly the headers that are given, which fetch would not send; and a value for each param of a path. */
import { request as rawRequest } from "node:http";
import { addressOf } from "../../src/contract/index.ts";

export interface Raw {
  status: number;
  text: string;
  headers: Record<string, string | string[] | undefined>;
}

export function raw(
  method: string,
  path: string,
  headers: Record<string, string>,
  body: string | undefined,
  to: number,
): Promise<Raw> {
  return new Promise((resolve, reject) => {
    const asked = rawRequest(
      { host: "127.0.0.1", port: to, method, path, headers: { host: `127.0.0.1:${to}`, ...headers }, setHost: false },
      (answer) => {
        let text = "";
        answer.on("data", (piece) => {
          text += piece;
        });
        answer.on("end", () => resolve({ status: answer.statusCode ?? 0, text, headers: answer.headers }));
      },
    );
    asked.on("error", reject);
    asked.end(body);
  });
}

export const SAMPLE: Record<string, string | number> = {
  run: "no-run",
  job: "no-job",
  sha256: "0".repeat(64),
  name: "none",
  token: "none",
  webhook: "none",
  hook: "none",
  pipeline: "none",
  approval: "none:a",
  delivery: "none",
  ordinal: 0,
};
export const sample = (path: string) => addressOf(path, SAMPLE);
