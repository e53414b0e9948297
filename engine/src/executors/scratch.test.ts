/** Scratch folders: private, in memory where there is any, and gone with whoever used them. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { HAS_PROC, startOf } from "./procfs.ts";
import { createScratch, type Scratch } from "./scratch.ts";

let place: string;
let scratch: Scratch;
beforeEach(() => {
  place = mkdtempSync(join(tmpdir(), "tenuto-places-"));
  scratch = createScratch({ TENUTO_SCRATCH: place });
});
afterEach(() => {
  scratch.close();
  rmSync(place, { recursive: true, force: true });
});

const given = (name: string, from = scratch): string => {
  const folder = from.folder(name);
  expect(folder).not.toBeNull();
  return folder as string;
};

describe("a scratch folder", () => {
  it("is private, one for each attempt, and goes with what a program left in it", async () => {
    const [one, two] = [given("run.1.1"), given("run.2.1")];
    for (const folder of [scratch.root() as string, one, two]) expect(statSync(folder).mode & 0o777).toBe(0o700);
    writeFileSync(join(one, "input.json"), "{}");
    writeFileSync(join(two, "output.json"), "{}");
    mkdirSync(join(two, "left", "behind"), { recursive: true });
    await scratch.drop(one);
    expect(readdirSync(scratch.root() as string)).toEqual(["run.2.1"]);
    await scratch.drop(two);
    expect(readdirSync(scratch.root() as string)).toEqual([]);
  });

  it("is not given twice under one name", () => {
    given("run.1.1");
    expect(scratch.folder("run.1.1")).toBeNull();
  });

  it("closing removes everything, and nothing is given afterwards", () => {
    given("run.1.1");
    scratch.close();
    expect(readdirSync(place)).toEqual([]);
    expect(scratch.folder("run.2.1")).toBeNull();
  });

  it("is refused once where somebody removed the whole, and then begun anew", () => {
    given("run.1.1");
    rmSync(scratch.root() as string, { recursive: true });
    expect(scratch.folder("run.2.1")).toBeNull();
    expect(existsSync(given("run.3.1"))).toBe(true);
  });

  it("is null where the chosen folder does not exist", () => {
    expect(createScratch({ TENUTO_SCRATCH: join(place, "nowhere") }).folder("run.1.1")).toBeNull();
  });
});

describe.runIf(HAS_PROC)("what dead workers left", () => {
  it("goes with the next start; what belongs to the living, or to others, stays", async () => {
    const space = (given("run.1.1").split("/").at(-2) as string).split(".")[1];
    const child = spawn("sleep", ["1000"]);
    const name = (pid: number, start: string, of = space) => `tenuto-scratch.${of}.${pid}.${start}.abcdef`;
    const living = name(child.pid as number, startOf(child.pid as number));
    const reused = name(process.pid, "1");
    const foreign = name(child.pid as number, "1", "1");
    for (const folder of [living, reused, foreign, "tenuto-scratch.other"])
      mkdirSync(join(place, folder, "deep"), { recursive: true });
    const second = createScratch({ TENUTO_SCRATCH: place });
    given("run.1.1", second);
    expect([living, reused, foreign, "tenuto-scratch.other"].map((folder) => existsSync(join(place, folder)))).toEqual([
      true,
      false,
      true,
      true,
    ]);
    second.close();
    child.kill("SIGKILL");
    await once(child, "exit");
    const third = createScratch({ TENUTO_SCRATCH: place });
    given("run.1.1", third);
    expect(existsSync(join(place, living))).toBe(false);
    expect(existsSync(scratch.root() as string)).toBe(true);
    third.close();
  });
});

describe.runIf(HAS_PROC && existsSync("/dev/shm"))("without a choice", () => {
  it("memory is used, or nothing", () => {
    const own = createScratch({});
    const folder = own.folder("run.1.1");
    if (folder !== null) expect(folder).toMatch(/^\/dev\/shm\/tenuto-scratch\./);
    own.close();
    if (folder !== null) expect(existsSync(folder)).toBe(false);
  });
});
