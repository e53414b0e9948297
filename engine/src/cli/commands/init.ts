/** `tenuto init`: a configuration and a first pipeline. What is there already is left alone, and said so. */
import { existsSync, mkdirSync, statSync, writeFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { CONFIG_FILES } from "../../authoring/load.ts";
import { EXIT, usage } from "../failure.ts";
import type { Cli } from "../main.ts";

const CONFIG = `import type { Config } from "tenuto";

/** Pipelines are found in the folder; agents written in TypeScript are found beside them. */
export default {
  pipelines: ["pipelines"],
} satisfies Config;
`;

const PIPELINE = `# A first pipeline: run it with  npx tenuto run hello -p name=World
name: hello
description: Greets somebody, then everybody
params:
  name: { type: string, default: World, description: Who is greeted first }

stages:
  - name: greet
    jobs:
      - id: first
        command: [echo, "Hello, {{ params.name }}"]
  - name: everybody
    jobs:
      - id: each
        forEach: [Ada, Grace, Edsger]
        command: [echo, "Hello, {{ item }}"]
      - id: last
        needs: [each]
        command:
          argv: [echo, "Hello, {{ params.name }}, and {{ jobs.each.output.completed }} more"]
          output: stdout-text
`;

const IGNORE = "# What Tenuto keeps: ledger, artifacts, logs, workspaces\n.tenuto/\n";

export async function init(cli: Cli, folder = "."): Promise<number> {
  const root = resolve(cli.io.cwd, folder);
  if (existsSync(root) && !statSync(root).isDirectory())
    throw usage(`${folder} is a file`, "Give a folder: the project is made in it.");
  const before = CONFIG_FILES.find((name) => existsSync(join(root, name)));
  const files: [string, string][] = [
    [before ?? "tenuto.config.mts", CONFIG],
    [join("pipelines", "hello.yaml"), PIPELINE],
    [".gitignore", IGNORE],
  ];
  const written: string[] = [];
  const kept: string[] = [];
  for (const [name, content] of files) (writeNew(join(root, name), content) ? written : kept).push(name);
  cli.out.document("init", { folder: root, written, kept });
  for (const name of written) cli.out.data(`wrote  ${join(folder, name)}`);
  for (const name of kept) cli.out.data(`kept   ${join(folder, name)}, which was there already`);
  const here = relative(cli.io.cwd, root);
  cli.out.say("", "Next:", ...(here === "" ? [] : [`  cd ${here}`]), "  npx tenuto run hello -p name=World");
  return EXIT.ok;
}

function writeNew(path: string, content: string): boolean {
  mkdirSync(dirname(path), { recursive: true });
  try {
    writeFileSync(path, content, { flag: "wx" });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  }
}
