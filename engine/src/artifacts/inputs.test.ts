/** Inputs of a job: where artifacts lie in a workspace, and what that can do no harm to. */
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { ArtifactStore } from "../ports/artifact-store.ts";
import type { Workspaces } from "../ports/artifacts.ts";
import { openFileStore } from "./filesystem.ts";
import { workspacesIn } from "./workspaces.ts";

let root: string;
let workspace: string;
let store: ArtifactStore;
let workspaces: Workspaces;

beforeEach(async () => {
  root = mkdtempSync(join(tmpdir(), "tenuto-inputs-"));
  workspace = join(root, "workspaces/run-1/job");
  mkdirSync(workspace, { recursive: true });
  store = await openFileStore(join(root, "artifacts"));
  workspaces = workspacesIn(join(root, "baselines"), store);
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

describe("inputs", () => {
  it("are laid out by job and name, can't lead outside, and give way to each other", async () => {
    const one = await store.put(Buffer.from("one"));
    const two = await store.put(Buffer.from("two"));
    const inputs = [
      { job: "plan", name: "plan.md", ...one },
      { job: "plan", name: "plan.md", ...two },
      { job: "plan", name: "../../../etc/cron.d/x", ...one },
      { job: "test/dev-1", name: "src/a b.ts", ...two },
      { job: "test", name: "dev-1", ...one },
      { job: "plan", name: "/", ...one },
      { job: "x", name: "a\0b\n", ...one },
    ];
    const paths = await workspaces.link(workspace, inputs);
    const below = paths.map((path) => path.slice(workspace.length + 1));
    expect(below.slice(0, 5)).toEqual([
      "inputs/plan/plan.md",
      `inputs/plan/plan~${two.sha256.slice(0, 8)}.md`,
      "inputs/plan/_/_/_/etc/cron.d/x",
      "inputs/test/dev-1/src/a b.ts",
      `inputs/test/dev-1~${one.sha256.slice(0, 8)}`,
    ]);
    expect(new Set(paths).size).toBe(paths.length);
    for (const [at, path] of paths.entries()) {
      expect(path.startsWith(join(workspace, "inputs/"))).toBe(true);
      expect(readFileSync(path, "utf8")).toBe(inputs[at]?.sha256 === one.sha256 ? "one" : "two");
      expect(lstatSync(path).mode & 0o777).toBe(0o444);
    }
  });

  it("are copies as long as they are small: who writes into one harms no store", async () => {
    const object = await store.put(Buffer.from("good"));
    const [path] = (await workspaces.link(workspace, [{ job: "a", name: "x", ...object }])) as [string];
    chmodSync(path, 0o644);
    writeFileSync(path, "evil");
    expect(await store.verify(object.sha256)).toMatchObject({ ok: true });
    const [again] = (await workspaces.link(workspace, [{ job: "a", name: "x", ...object }])) as [string];
    expect(readFileSync(again, "utf8")).toBe("good");
  });

  it("a planted link in the place of inputs is removed, not followed; a damaged object is an error", async () => {
    const victim = join(root, "victim");
    mkdirSync(victim);
    writeFileSync(join(victim, "precious"), "precious");
    symlinkSync(victim, join(workspace, "inputs"));
    const object = await store.put(Buffer.from("good"));
    await workspaces.link(workspace, [{ job: "a", name: "x", ...object }]);
    expect(existsSync(join(victim, "precious"))).toBe(true);
    expect(existsSync(join(victim, "a"))).toBe(false);
    const path = await store.localPath(object.sha256);
    chmodSync(path, 0o644);
    writeFileSync(path, "bad!");
    await expect(workspaces.link(workspace, [{ job: "a", name: "x", ...object }])).rejects.toMatchObject({
      code: "artifact_corrupt",
    });
  });
});
