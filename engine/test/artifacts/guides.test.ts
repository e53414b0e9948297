/** Every pipeline and every command of these guides, as they stand there. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, expect, it } from "vitest";
import { CommandLine } from "../../src/cli/fixtures/memory-io.ts";

let line: CommandLine;
beforeEach(() => {
  line = new CommandLine();
});
afterEach(() => line.remove());

interface Said {
  command: string;
  code: number;
  out: string;
  err: string;
}

/** Writes the guide's pipelines and runs its commands in order; `expected` are those that end otherwise than with 0. */
async function follow(guide: string, expected: { [command: string]: number } = {}): Promise<Map<string, Said>> {
  const text = readFileSync(fileURLToPath(new URL(`../../../docs/guides/${guide}`, import.meta.url)), "utf8");
  const said = new Map<string, Said>();
  for (const [, kind, rest = "", body = ""] of text.matchAll(/^```(\w+)([^\n]*)\n(.*?)^```/gms)) {
    const file = /pipeline (\S+)/.exec(rest)?.[1];
    if (file !== undefined) writeFileSync(join(line.folder, file), body);
    if (kind !== "sh") continue;
    for (const command of body.split("\n").filter((entry) => entry.startsWith("tenuto "))) {
      const words = [...command.slice(7).matchAll(/'([^']*)'|(\S+)/g)].map(
        ([, quoted, plain]) => quoted ?? plain ?? "",
      );
      const { code, out, err } = await line.call(...words);
      expect(`${command}: ${code}`, `${out}\n${err}`).toBe(`${command}: ${expected[command] ?? 0}`);
      said.set(command, { command, code, out, err });
    }
  }
  return said;
}

it("artifacts.md", async () => {
  const said = await follow("artifacts.md");
  const list = said.get("tenuto artifacts list latest")?.out ?? "";
  expect(list).toMatch(/final_output\.txt +plan +model_output +16 B +2/);
  expect(list).toMatch(/notes\.md +build +file +13 B +1/);
  expect(list).toMatch(/final_output\.txt +check +verification_report +13 B +0/);
  expect(said.get("tenuto artifacts get latest notes.md")?.out).toBe("# First done\n");
  expect(readFileSync(join(line.folder, "notes.copy"), "utf8")).toBe("# First done\n");
  expect(said.get("tenuto artifacts lineage latest notes.md")?.out).toMatch(
    /^notes\.md {2}file .* made by release-1\/build\n\nmade from\n {2}final_output\.txt .* made by release-1\/plan {2}\(offered\)\n\nused by\n {2}release-1\/check {2}\(offered\)\n {4}and made final_output\.txt\n$/,
  );
  const json = await line.call("artifacts", "lineage", "latest", "plan/final_output.txt", "--json");
  const direct = (json.json.uses as { artifact: number; job: string; how: string }[]).filter(
    (use) => use.artifact === json.json.artifact,
  );
  expect(direct.map((use) => `${use.job} ${use.how}`)).toEqual(["build offered", "check offered"]);
});
