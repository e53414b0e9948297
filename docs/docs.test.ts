/**
 * The documents are true to the checkout: links lead somewhere, commands exist with the options shown, snippets that are
 * marked run.
 *
 *   ```ts run          executed by Node        ```sh job   executed as a job's shell text
 *   ```yaml pipeline   loaded as a pipeline    ```sh       every `tenuto …` is a command, its options are options
 */
import { execFile } from "node:child_process";
import { existsSync, globSync } from "node:fs";
import { mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { promisify } from "node:util";
import { defineAgent, definePipeline, loadYamlPipeline, openTenuto } from "tenuto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

const ROOT = join(import.meta.dirname, "..");
const BIN = join(ROOT, "engine", "bin", "tenuto.mjs");
const FILES = [
  "README.md",
  "ARCHITECTURE.md",
  "CHANGELOG.md",
  "STYLE.md",
  "engine/README.md",
  ...globSync("docs/**/*.md", { cwd: ROOT }),
];
const execute = promisify(execFile);

interface Fence {
  file: string;
  line: number;
  info: string;
  text: string;
}

const texts = new Map(
  await Promise.all(FILES.map(async (file) => [file, await readFile(join(ROOT, file), "utf8")] as const)),
);
const fences = [...texts].flatMap(([file, text]) => fencesOf(file, text));
const withInfo = (info: string) =>
  fences.filter((fence) => fence.info === info).map((fence) => [`${fence.file}:${fence.line}`, fence] as const);

function fencesOf(file: string, text: string): Fence[] {
  return [...text.matchAll(/^```([^\n]*)\n([\s\S]*?)^```$/gm)].map((match) => ({
    file,
    line: text.slice(0, match.index).split("\n").length,
    info: match[1]!.trim(),
    text: match[2]!,
  }));
}

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "tenuto-docs-"));
  await symlink(join(ROOT, "node_modules"), join(folder, "node_modules"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe("links", () => {
  test.each(FILES)("%s", (file) => {
    const text = texts.get(file)!.replaceAll(/^```[\s\S]*?^```$/gm, "");
    const targets = [...text.matchAll(/\]\(([^)\s]+)\)/g)].map((match) => match[1]!);
    const broken = targets
      .filter((target) => !/^(https?:|mailto:|#)/.test(target))
      .filter((target) => !existsSync(resolve(ROOT, dirname(file), decodeURI(target.split("#")[0]!))));
    expect(broken).toEqual([]);
  });
});

describe("commands", () => {
  const helps = new Map<string, Promise<string>>();
  const help = (path: string[]): Promise<string> => {
    const key = path.join(" ");
    const known = helps.get(key) ?? execute(process.execPath, [BIN, ...path, "--help"]).then(({ stdout }) => stdout);
    helps.set(key, known);
    return known;
  };

  test.each(withInfo("sh"))("%s", async (_, fence) => {
    for (const line of fence.text.split("\n")) {
      const [, rest] = /^(?:npx )?tenuto ([^#|&]*)/.exec(line.trim()) ?? [];
      if (rest === undefined) continue;
      const words = rest.trim().split(/\s+/);
      const path = [words[0]!];
      expect(await help([]), line).toMatch(new RegExp(`^  ${path[0]}\\b`, "m"));
      const own = await help(path);
      if (/^Commands:/m.test(own) && words[1] !== undefined) {
        expect(own, line).toMatch(new RegExp(`^  ${words[1]}\\b`, "m"));
        path.push(words[1]);
      }
      const options = words.filter((word) => /^--?[a-z]/.test(word)).map((word) => word.split("=")[0]!);
      for (const option of options) expect(await help(path), line).toMatch(new RegExp(`(^|[\\s,])${option}\\b`, "m"));
    }
  });
});

describe("snippets", () => {
  test.each(withInfo("ts run"))("%s runs", async (_, fence) => {
    const file = join(folder, `${fence.file.replaceAll(/\W/g, "-")}-${fence.line}.ts`);
    await writeFile(file, fence.text);
    const env = { ...process.env, NODE_OPTIONS: "" };
    const { stdout } = await execute(process.execPath, ["--conditions=source", file], { cwd: folder, env });
    for (const [, expected] of fence.text.matchAll(/console\.log\(.*\); \/\/ (.*)$/gm))
      expect(stdout).toContain(expected);
  });

  test.each(withInfo("yaml pipeline"))("%s is a pipeline", (_, fence) => {
    expect(loadYamlPipeline(fence.text, { file: join(folder, "pipeline.yaml") }).kind).toBe("pipeline");
  });

  test.each(withInfo("sh job"))("%s runs as a job", async (_, fence) => {
    const pipeline = definePipeline({
      name: "docs",
      limiters: { "host:*": { rate: { count: 10, perSeconds: 1 } }, clearbit: { budget: { total: 1 } } },
      agents: [defineAgent({ name: "text/shout", run: ({ text }) => text.toUpperCase() })],
      jobs: [
        {
          id: "call",
          command: { argv: ["/bin/sh", "-c", `set -eu\n${fence.text}`], output: "stdout-text" },
          spawns: { agents: ["text/shout"] },
        },
      ],
    });
    await using tenuto = await openTenuto({ home: join(folder, `home-${fence.line}`), pipelines: [pipeline] });
    const end = await (await tenuto.start("docs")).wait({ timeoutMs: 30_000 });
    expect(end.error).toBeNull();
    expect(end.output).toContain('{"found":false}');
    expect(end.output).toContain('"output":"HI"');
  });
});

test("decisions are numbered without gaps and say context, choice and price", () => {
  const decisions = FILES.filter((file) => /^docs\/decisions\//.test(file)).sort();
  expect(decisions.map((file) => Number(/(\d{4})-/.exec(file)![1]))).toEqual(decisions.map((_, index) => index + 1));
  for (const file of decisions) {
    const words = [...texts.get(file)!.matchAll(/^\*\*(\w+)\.\*\*/gm)].map((match) => match[1]);
    expect(words, file).toEqual(expect.arrayContaining(["Context", "Choice", "Price"]));
  }
});
