import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { TenutoError } from "../core/errors.ts";
import { loadConfig, loadPipelines } from "./load.ts";

const DEFINE = JSON.stringify(new URL("./define.ts", import.meta.url).href);
const CONFIG = JSON.stringify(new URL("./load.ts", import.meta.url).href);
const YAML = "name: NAME\njobs: [{id: a, agent: x/y}]\n";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "tenuto-load-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function write(name: string, text: string): string {
  const file = join(folder, name);
  mkdirSync(join(file, ".."), { recursive: true });
  writeFileSync(file, text);
  return file;
}

async function failure(work: Promise<unknown>): Promise<string> {
  try {
    await work;
    return "no error";
  } catch (error) {
    const { code, message, hint } = error as TenutoError;
    return `${code}: ${message}. ${hint}`.replaceAll(folder, "<folder>");
  }
}

describe("loadPipelines", () => {
  test("a module's pipelines and agents, each once", async () => {
    const file = write(
      "both.ts",
      `import { defineAgent, definePipeline } from ${DEFINE};
      export const parser = defineAgent({ name: "x/y", version: "1", run: (input: string): string => input });
      export const one = definePipeline({ name: "one", jobs: [{ id: "a", agent: parser }] });
      export const list = [definePipeline({ name: "two", run: async () => 1 })];
      export default one;
      export const nothing = null, text = "x";`,
    );
    const { pipelines, agents } = await loadPipelines(file);
    expect(pipelines.map(({ document, file: from }) => [document.name, from])).toEqual([
      ["one", file],
      ["two", file],
    ]);
    expect(agents.map(({ name }) => name)).toEqual(["x/y"]);
  });

  test("YAML", async () => {
    const file = write("p.yaml", YAML.replace("NAME", "y1"));
    const { pipelines } = await loadPipelines(file);
    expect(pipelines[0]).toMatchObject({ file, document: { name: "y1" } });
  });

  test("what goes wrong names the file", async () => {
    expect(await failure(loadPipelines(join(folder, "none.ts")))).toMatchInlineSnapshot(
      `"not_found: there is no file <folder>/none.ts. Check the path; it is relative to the working directory."`,
    );
    expect(await failure(loadPipelines(join(folder, "none.yaml")))).toContain("not_found");
    expect(await failure(loadPipelines(write("a.txt", "")))).toMatchInlineSnapshot(
      `"invalid_input: <folder>/a.txt is no pipeline file. Use .ts, .mts, .js, .mjs, .yaml, .yml."`,
    );
    expect(await failure(loadPipelines(write("empty.ts", "export const x = 1;")))).toMatchInlineSnapshot(
      `"invalid_definition: <folder>/empty.ts exports no pipeline and no agent. Export what definePipeline or defineAgent returns."`,
    );
    expect(await failure(loadPipelines(write("throws.ts", 'throw new Error("at the top");')))).toMatchInlineSnapshot(
      `"invalid_definition: <folder>/throws.ts can't be loaded: Error: at the top. Run the file with node alone to see the whole error."`,
    );
    const invalid = write(
      "invalid.ts",
      `import { definePipeline } from ${DEFINE};\nexport default definePipeline({ name: "b d", jobs: [{ id: "a", agent: "x/y" }] });`,
    );
    expect(await failure(loadPipelines(invalid))).toMatch(
      /^invalid_definition: <folder>\/invalid\.ts: pipeline "b d" has 1 problem/,
    );
    expect(await failure(loadPipelines(write("broken.mjs", 'import "./not-there.mjs";')))).toMatch(
      /^invalid_definition: <folder>\/broken\.mjs can't be loaded: /,
    );
  });
});

describe("loadConfig", () => {
  test("none is null", async () => {
    expect(await loadConfig(folder)).toBeNull();
  });

  test("files, folders and definitions; agents of all of them give pipelines their versions", async () => {
    write("pipelines/one.yaml", YAML.replace("NAME", "one"));
    write("pipelines/readme.md", "no pipeline");
    write("pipelines/one.test.ts", "throw new Error('never loaded')");
    write(
      "agents.ts",
      `import { defineAgent } from ${DEFINE};\nexport const y = defineAgent({ name: "x/y", version: "7", run: () => 1 });`,
    );
    const file = write(
      "tenuto.config.ts",
      `import { definePipeline } from ${DEFINE};
      import { defineConfig } from ${CONFIG};
      const two = definePipeline({ name: "two", jobs: [{ id: "a", agent: "x/y" }] });
      export default defineConfig({ pipelines: ["pipelines", two], agents: ["agents.ts"], concurrency: 4 });`,
    );
    const loaded = await loadConfig(folder);
    expect(loaded).toMatchObject({ file, config: { concurrency: 4 } });
    expect(loaded?.pipelines.map(({ document, file: from }) => [document.name, document.agents, from])).toEqual([
      ["one", { "x/y": "7" }, join(folder, "pipelines/one.yaml")],
      ["two", { "x/y": "7" }, file],
    ]);
    expect(loaded?.agents.map(({ name }) => name)).toEqual(["x/y"]);
  });

  test("one name for two things", async () => {
    write("a.yaml", YAML.replace("NAME", "same"));
    write("b.yaml", `${YAML.replace("NAME", "same")}description: other\n`);
    write("tenuto.config.mjs", 'export default { pipelines: ["a.yaml", "b.yaml"] };');
    expect(await failure(loadConfig(folder))).toMatchInlineSnapshot(
      `"invalid_config: two pipelines have the name "same": <folder>/a.yaml and <folder>/b.yaml. Rename one of them."`,
    );
  });

  test("a configuration that is none", async () => {
    write("tenuto.config.mjs", "export const pipelines = [];");
    expect(await failure(loadConfig(folder))).toMatchInlineSnapshot(
      `"invalid_config: <folder>/tenuto.config.mjs has no default export with the configuration. Write export default defineConfig({ pipelines: [ … ] })."`,
    );
    rmSync(join(folder, "tenuto.config.mjs"));
    write("tenuto.config.js", 'export default { pipelines: "a.yaml" };');
    expect(await failure(loadConfig(folder))).toMatchInlineSnapshot(
      `"invalid_config: <folder>/tenuto.config.js: pipelines must be a list. Write pipelines: [ … ]."`,
    );
    rmSync(join(folder, "tenuto.config.js"));
    write("tenuto.config.mts", "export default { pipelines: [5] };");
    expect(await failure(loadConfig(folder))).toMatchInlineSnapshot(
      `"invalid_config: <folder>/tenuto.config.mts: an entry of pipelines is neither a path nor a definition. Use a path, or what definePipeline or defineAgent returns."`,
    );
  });
});
