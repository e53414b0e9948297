/** Every command of the README: plans are made, options known, scripts there. Nothing is fetched. */
import { execFile } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";

const ROOT = join(import.meta.dirname, "../../..");
const TENUTO = join(ROOT, "engine/bin/tenuto.mjs");
const text = readFileSync(join(import.meta.dirname, "../README.md"), "utf8");
const commands = [...text.matchAll(/```\n([\s\S]*?)```/g)]
  .flatMap(([, body = ""]) => body.split("\n"))
  .map((line) => line.replace(/\s+#.*$/, "").trim())
  .filter((line) => line !== "");

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function execute(args: string[]): Promise<{ code: number; err: string }> {
  const home = await mkdtemp(join(tmpdir(), "readme-"));
  cleanups.push(() => rm(home, { recursive: true }));
  return await new Promise((resolve) => {
    const filled = args.map((arg) => arg.replace("$HOME$", home));
    execFile(process.execPath, filled, { cwd: ROOT }, (error, _, err) =>
      resolve({ code: error === null ? 0 : Number(error.code), err }),
    );
  });
}

test("there are commands", () => expect(commands.length).toBeGreaterThan(8));

test.each(commands)("%s", async (command) => {
  const [program, ...args] = command.split(/\s+/) as [string, ...string[]];
  if (program === "npm") {
    expect(JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")).scripts).toHaveProperty(args[1]!);
  } else if (program === "npx") {
    expect(await execute([TENUTO, ...args.slice(1), "--dry-run", "--home", "$HOME$"])).toMatchObject({ code: 0 });
  } else if (args.includes("systems/associations/main.ts")) {
    expect(
      await execute([
        ...args.filter((arg) => arg !== "--dry-run"),
        "--dry-run",
        ...(args.includes("-a") ? [] : ["-a", "PMA"]),
      ]),
    ).toMatchObject({ code: 0 });
  } else {
    expect(existsSync(join(ROOT, args.find((arg) => arg.endsWith(".ts"))!))).toBe(true);
  }
});
