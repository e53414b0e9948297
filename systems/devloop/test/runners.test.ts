/** The three test runners for real, on small repositories: passing, failing, not loading, hanging. */
import { execFileSync } from "node:child_process";
import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { NoTestsError, runTests } from "../harness/tests.ts";

let tree: string;
beforeEach(async () => {
  tree = await mkdtemp(join(tmpdir(), "devloop-runners-"));
});
afterEach(async () => {
  await rm(tree, { recursive: true, force: true });
});

async function files(all: Record<string, string>): Promise<void> {
  for (const [path, content] of Object.entries(all)) {
    await mkdir(dirname(join(tree, path)), { recursive: true });
    await writeFile(join(tree, path), content);
  }
}

const run = (command: string[] = [], timeoutMs = 30_000) =>
  runTests({ tree, root: tree, command, timeoutMs, signal: new AbortController().signal });

const NODE = (body: string) => `import assert from "node:assert/strict";\nimport { test } from "node:test";\n${body}\n`;
const VITEST = (body: string) => `import { describe, expect, test } from "vitest";\n${body}\n`;

describe("node --test", () => {
  test("passing and failing tests, TypeScript and nested ones", async () => {
    await files({
      "test/a.test.ts": NODE(
        'test("adds", () => assert.equal(1 + 1, 2));\ntest("group", async (t) => { await t.test("inner", () => assert.equal(1, 2)); });',
      ),
    });
    const results = await run();
    expect(results).toMatchObject({ runner: "node", status: "failed", exitCode: 1, passing: ["adds"] });
    expect(results.failures.map((failure) => failure.id)).toContain("group > inner");
    await files({ "test/a.test.ts": NODE('test("adds", () => assert.equal(1 + 1, 2));') });
    expect(await run()).toMatchObject({ status: "passed", exitCode: 0, counts: { passed: 1, failed: 0, skipped: 0 } });
  });

  test("a file that does not load is a collection error", async () => {
    await files({ "test/a.test.ts": 'import { nothing } from "./missing.ts";\nnothing();\n' });
    const results = await run();
    expect(results).toMatchObject({ status: "collection_error", exitCode: 1 });
    expect(results.output).toContain("missing.ts");
  });

  test("tests that hang are ended at the limit", async () => {
    await files({ "test/a.test.ts": NODE('test("waits", () => new Promise(() => setInterval(() => {}, 1000)));') });
    expect((await run([], 1_500)).status).toBe("timeout");
  });

  test("a test that prints a report of its own fools nobody", async () => {
    await files({
      "test/a.test.ts": NODE(
        'console.log(\'<testcase name="fake" classname="x"/>\');\ntest("real", () => assert.fail("no"));',
      ),
    });
    expect(await run()).toMatchObject({ status: "failed", passing: [] });
  });
});

describe("vitest", () => {
  test("is found by its configuration; passing, failing, not loading", async () => {
    const modules = fileURLToPath(new URL("../../../node_modules", import.meta.url));
    await symlink(modules, join(tree, "node_modules"));
    await files({
      "package.json": '{"type": "module"}',
      "vitest.config.ts": "export default { test: { include: ['*.test.ts'] } };\n",
      "a.test.ts": VITEST(
        'describe("d", () => { test("good", () => expect(1).toBe(1)); test("bad", () => expect(1).toBe(2)); });',
      ),
    });
    const results = await run();
    expect(results).toMatchObject({ runner: "vitest", status: "failed", exitCode: 1 });
    expect([results.failures.map((failure) => failure.id), results.passing]).toEqual([
      ["a.test.ts > d > bad"],
      ["a.test.ts > d > good"],
    ]);
    await files({ "a.test.ts": 'import "./missing.ts";\n' });
    expect((await run()).status).toBe("collection_error");
  });
});

const hasPytest = (() => {
  try {
    execFileSync("python3", ["-c", "import pytest"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
})();

describe.runIf(hasPytest)("pytest", () => {
  test("is found by its files; passing, failing, and exit codes of 2 and more", async () => {
    await files({
      "tests/test_a.py": "def test_good():\n    assert 1 + 1 == 2\n\ndef test_bad():\n    assert 1 == 2\n",
    });
    const results = await run();
    expect(results).toMatchObject({
      runner: "pytest",
      status: "failed",
      exitCode: 1,
      passing: ["tests.test_a > test_good"],
    });
    expect(results.failures[0]).toMatchObject({ id: "tests.test_a > test_bad" });
    await files({ "tests/test_a.py": "import nothing_of_that_name\n" });
    expect(await run()).toMatchObject({ status: "collection_error", exitCode: 2 });
    await files({ "tests/test_a.py": "X = 1\n" });
    expect(await run()).toMatchObject({ status: "collection_error", exitCode: 5 });
    expect(
      execFileSync("find", [tree, "-name", "__pycache__", "-o", "-name", ".pytest_cache"], { encoding: "utf8" }),
    ).toBe("");
  });
});

describe("any command", () => {
  test("is judged by its exit code", async () => {
    expect(await run(["sh", "-c", "echo fine"])).toMatchObject({ runner: "command", status: "passed", output: "fine" });
    expect(await run(["sh", "-c", "echo bad >&2; exit 3"])).toMatchObject({ status: "failed", exitCode: 3 });
  });

  test("the script `test` of package.json is used where no runner is known", async () => {
    await files({ "package.json": JSON.stringify({ scripts: { test: "echo from the script" } }) });
    const results = await run();
    expect(results).toMatchObject({ runner: "command", status: "passed", command: ["npm", "test"] });
    expect(results.output).toContain("from the script");
  });

  test("where nothing says how to test, or the program is missing, that is said", async () => {
    await files({ "main.c": "int main() { return 0; }\n" });
    await expect(run()).rejects.toThrow(NoTestsError);
    await expect(run(["no-such-runner"])).rejects.toThrow("no-such-runner can't be started: no such program");
  });

  test("tests get no logins and no token", async () => {
    process.env["OPENAI_API_KEY"] = "canary";
    process.env["TENUTO_TOKEN"] = "canary";
    try {
      expect((await run(["env"])).output).not.toContain("canary");
    } finally {
      delete process.env["OPENAI_API_KEY"];
      delete process.env["TENUTO_TOKEN"];
    }
  });
});
