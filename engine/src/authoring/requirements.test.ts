import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { PipelineDocument, Requirement } from "../core/document.ts";
import type { TenutoError } from "../core/errors.ts";
import { assertRequirements, checkRequirements } from "./requirements.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "tenuto-requires-"));
  writeFileSync(join(folder, "there.csv"), "a");
  mkdirSync(join(folder, "bin"));
  for (const [name, mode] of [
    ["tool", 0o755],
    ["plain", 0o644],
  ] as const) {
    writeFileSync(join(folder, "bin", name), "#!/bin/sh\n");
    chmodSync(join(folder, "bin", name), mode);
  }
  mkdirSync(join(folder, "bin", "folder"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const document = (...requires: Requirement[]): PipelineDocument => ({
  name: "demo",
  kind: "graph",
  requires,
  stages: [],
});

function context() {
  return { cwd: folder, agents: new Set(["extraction/html"]), params: { file: "there.csv", n: 1 } };
}
const env = () => ({ PATH: `/nowhere:${join(folder, "bin")}`, KEY: "secret", EMPTY: "" });

test("what is there is not listed", () => {
  const sound = document(
    { file: "there.csv" },
    { file: "{{ params.file }}" },
    { file: "bin" },
    { env: "KEY" },
    { command: "tool" },
    { command: "./bin/tool" },
    { agent: "extraction/html" },
  );
  expect(checkRequirements(sound, env(), context())).toEqual([]);
  expect(() => assertRequirements(document(), {}, context())).not.toThrow();
});

test("all that is missing is listed at once, with hints, without values", () => {
  const lacking = document(
    { file: "none.csv" },
    { file: "{{ params.flie }}" },
    { env: "NO_KEY", hint: "See the README." },
    { env: "EMPTY" },
    { command: "no-such-tool" },
    { command: "plain" },
    { command: "folder" },
    { command: "./bin/none" },
    { agent: "extraction/htlm" },
    { env: "KEY" },
  );
  try {
    assertRequirements(lacking, env(), context());
    expect.unreachable();
  } catch (error) {
    const { code, message, details } = error as TenutoError;
    expect(`${code}: ${message}`.replaceAll(folder, "<folder>")).toMatchInlineSnapshot(`
      "missing_prerequisites: 9 prerequisites are missing for "demo":
        file <folder>/none.csv is not there. Create it, or correct the path; relative paths begin beside the pipeline's file.
        file {{ params.flie }}: requires: {{ params.flie }} leads nowhere: no "flie", params has "file", "n". Did you mean "file"?
        environment variable NO_KEY is not set. See the README.
        environment variable EMPTY is empty. Set it: export EMPTY=…
        command no-such-tool is not on the PATH. Install it, or add its folder to PATH.
        command plain is not on the PATH. Install it, or add its folder to PATH.
        command folder is not on the PATH. Install it, or add its folder to PATH.
        command ./bin/none is not on the PATH. Install it, or add its folder to PATH.
        agent extraction/htlm is not registered. Did you mean "extraction/html"?"
    `);
    expect(details.missing).toHaveLength(9);
  }
});
