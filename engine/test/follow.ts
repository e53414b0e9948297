/** Follows a guide: writes its pipelines and configuration, runs its commands in order. */
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect } from "vitest";
import type { CommandLine } from "../src/cli/fixtures/memory-io.ts";

export interface Said {
  command: string;
  code: number;
  out: string;
  err: string;
}

/** `expected` are commands that end otherwise than with 0; those with null are left out. */
export async function follow(
  line: CommandLine,
  guide: string,
  expected: { [command: string]: number | null } = {},
): Promise<Map<string, Said>> {
  const text = readFileSync(fileURLToPath(new URL(`../../docs/guides/${guide}`, import.meta.url)), "utf8");
  const said = new Map<string, Said>();
  for (const [, kind, rest = "", body = ""] of text.matchAll(/^```(\w+)([^\n]*)\n(.*?)^```/gms)) {
    const file = /pipeline (\S+)/.exec(rest)?.[1];
    if (file !== undefined) writeFileSync(join(line.folder, file), body);
    if (kind === "ts" && rest.trim() === "config") configure(line, body);
    if (kind !== "sh") continue;
    for (const command of body.split("\n").filter((entry) => entry.startsWith("tenuto "))) {
      if (expected[command] === null) continue;
      const words = [...command.slice(7).matchAll(/'([^']*)'|"([^"]*)"|(\S+)/g)].map(
        ([, single, double, plain]) => single ?? double ?? plain ?? "",
      );
      const { code, out, err } = await line.call(...words);
      expect(`${command}: ${code}`, `${out}\n${err}`).toBe(`${command}: ${expected[command] ?? 0}`);
      said.set(command, { command, code, out, err });
    }
  }
  return said;
}

/** The configuration of a guide, in a folder in which `tenuto` can be imported. */
function configure(line: CommandLine, text: string): void {
  mkdirSync(join(line.folder, "node_modules"), { recursive: true });
  symlinkSync(fileURLToPath(new URL("../", import.meta.url)), join(line.folder, "node_modules", "tenuto"));
  writeFileSync(join(line.folder, "tenuto.config.mts"), text);
}
