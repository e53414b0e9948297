import { readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { CommandLine } from "./fixtures/memory-io.ts";
import { TENUTO_VERSION } from "./version.ts";

const line = new CommandLine();
afterAll(() => line.remove());

describe("help", () => {
  it.each([["--help"], ["run --help"], ["resume --help"], ["runs --help"], ["runs show --help"], ["logs --help"]])(
    "%s",
    async (argv) => {
      const { code, out, err } = await line.call(...argv.split(" "));
      expect(code).toBe(0);
      expect(err).toBe("");
      expect(out).toMatchSnapshot();
      expect(out.split("\n").every((text) => text.length <= 100)).toBe(true);
    },
  );

  it("is what a group of commands alone shows", async () => {
    const { code, out } = await line.call("runs");
    expect(code).toBe(0);
    expect(out).toContain("Usage: tenuto runs");
  });

  it("tells the version of the package", async () => {
    const file = new URL("../../package.json", import.meta.url);
    expect(TENUTO_VERSION).toBe(JSON.parse(readFileSync(file, "utf8")).version);
    expect((await line.call("--version")).out).toBe(`${TENUTO_VERSION}\n`);
  });
});

describe("mistakes", () => {
  it.each([
    ["rnu x", "Did you mean run?"],
    ["runs lits", "Did you mean list?"],
    ["runs show x --checkpiont", "Did you mean --checkpoint?"],
    ["run", "tenuto --help"],
    ["prune", "tenuto --help"],
    ["runs report x --format pdf", "tenuto --help"],
    ["prune --older-than soon", "30d"],
    ["runs list --limit many", "--limit 10"],
    ["runs list --state done", "Known: pending"],
    ["runs show x --items faild", 'Did you mean "failed"?'],
  ])("%s is told with a way out", async (argv, hint) => {
    const { code, out, err } = await line.call(...argv.split(" "));
    expect(code).toBe(2);
    expect(out).toBe("");
    expect(err).toMatch(/^error: .+\nhint: {2}.+\ncode: {2}invalid_input\n$/s);
    expect(err).toContain(hint);
  });

  it("are one document with --json", async () => {
    const { code, json, err } = await line.call("runs", "lits", "--json");
    expect(code).toBe(2);
    expect(json).toMatchObject({
      schema: "tenuto.error/1",
      error: { code: "invalid_input", hint: "Did you mean list?" },
    });
    expect(err).toContain("unknown command");
  });

  it("reading where nothing ever ran makes nothing", async () => {
    const { code, err } = await line.call("runs", "list");
    expect(code).toBe(3);
    expect(err).toContain("there is no ledger at .tenuto/ledger.db");
  });

  it("a server that can't be reached is told with what to do, and without its password", async () => {
    const { code, err } = await line.call("runs", "list", "--database", "postgres://me:secret@127.0.0.1:1/y");
    expect(code).toBe(4);
    expect(err).toContain("postgres://127.0.0.1:1/y");
    expect(err).not.toContain("secret");
    expect((await line.call("runs", "list", "--database", "postgres://h/d?typo=1")).code).toBe(2);
    const mistyped = await line.call("runs", "list", "--database", "postgers://me:secret@127.0.0.1:1/y");
    expect(mistyped.code).toBe(2);
    expect(mistyped.err).not.toContain("secret");
    writeFileSync(join(line.folder, "empty.db"), "");
    const moved = await line.call("migrate", "--from", "empty.db", "--to", "postgres://127.0.0.1:1/y");
    expect(moved.err).toContain("there is no ledger at");
    expect(statSync(join(line.folder, "empty.db")).size).toBe(0);
  });
});
