/** `tenuto serve` and `tenuto tokens` as processes: started, logged in to, stopped by a signal, started again. */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, it, onTestFinished, vi } from "vitest";

// Each test begins several processes, on machines with other work.
vi.setConfig({ testTimeout: 240_000 });

const BIN = fileURLToPath(new URL("../../bin/tenuto.mjs", import.meta.url));
const MODULES = fileURLToPath(new URL("../../../node_modules", import.meta.url));
const execute = promisify(execFile);

const CONFIG = `import { defineAgent, defineConfig, definePipeline } from "tenuto";
export default defineConfig({
  pipelines: [definePipeline({ name: "hi", agents: [defineAgent({ name: "a/b", run: () => "hi" })], jobs: [{ id: "a", agent: "a/b" }] })],
});
`;

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), "tenuto-serve-"));
  onTestFinished(() => rmSync(path, { recursive: true, force: true }));
  symlinkSync(MODULES, join(path, "node_modules"));
  writeFileSync(join(path, "tenuto.config.mts"), CONFIG);
  return path;
}

async function serve(cwd: string, ...more: string[]): Promise<{ child: ChildProcess; url: string; login: string }> {
  const child = spawn(process.execPath, [BIN, "serve", "--port", "0", ...more], {
    cwd,
    env: { ...process.env, SOME_API_KEY: "very-secret-value" },
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  let text = "";
  let errors = "";
  child.stderr?.on("data", (piece) => {
    errors += piece;
  });
  for await (const piece of child.stdout as AsyncIterable<Buffer>) {
    text += piece;
    const found = /^Tenuto is at (\S+)\nLog in, .*: (\S+)$/m.exec(text);
    if (found !== null) return { child, url: found[1] as string, login: found[2] as string };
  }
  throw new Error(`no address in: ${text}${errors}`);
}

it("serves, logs a browser in once, works, and stops in order", async () => {
  const cwd = folder();
  const { child, url, login } = await serve(cwd);
  expect(login.startsWith(`${url}/login#tnt_`)).toBe(true);
  expect((await fetch(url)).headers.get("content-type")).toBe("text/html; charset=utf-8");
  const token = login.split("#")[1] as string;
  const post = { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ token }) };
  expect((await fetch(`${url}/api/session`, post)).status).toBe(201);
  expect((await fetch(`${url}/api/session`, post)).status).toBe(401);
  expect(statSync(join(cwd, ".tenuto")).mode & 0o777).toBe(0o700);

  const tenuto = async (...args: string[]) => (await execute(process.execPath, [BIN, ...args], { cwd })).stdout.trim();
  const made = await tenuto("tokens", "create", "ci", "--role", "operator", "--expires", "1d");
  const headers = { authorization: `Bearer ${made}`, "content-type": "application/json" };
  const started = await fetch(`${url}/api/runs`, { method: "POST", headers, body: '{"pipeline":"hi"}' });
  expect(await started.json()).toMatchObject({ id: "hi-1", created: true });
  const stream = await fetch(`${url}/api/live?topic=run&run=hi-1`, { headers });
  let events = "";
  for await (const piece of stream.body as unknown as AsyncIterable<Uint8Array>) {
    events += Buffer.from(piece).toString();
    if (events.includes("run.completed")) break;
  }
  const list = JSON.parse(await tenuto("tokens", "list", "--json")).tokens;
  const id = list.find((one: { name: string }) => one.name === "ci").id;
  expect(await tenuto("tokens", "link")).toMatch(new RegExp(`^${url}/login#tnt_`));
  await tenuto("tokens", "revoke", id);
  expect((await fetch(`${url}/api/runs`, { headers })).status).toBe(401);

  child.kill("SIGTERM");
  expect(await once(child, "exit")).toEqual([143, null]);
  expect(existsSync(join(cwd, ".tenuto", "server.json"))).toBe(false);
  const again = await serve(cwd, "--no-work");
  expect((await fetch(`${again.url}/healthz`)).status).toBe(200);
});

it("S-34: doctor --security says of each check how it stands, and fails where one is broken", async () => {
  const cwd = folder();
  const { child, url } = await serve(cwd);
  const doctor = async () => {
    const ran = (await execute(process.execPath, [BIN, "doctor", "--security", "--json"], {
      cwd,
      env: { ...process.env, SOME_API_KEY: "very-secret-value" },
    }).catch((error) => error)) as { code?: number; stdout: string };
    const { checks } = JSON.parse(ran.stdout) as { checks: { name: string; verdict: string; text: string }[] };
    const of = (verdict: string) => checks.filter((check) => check.verdict === verdict && /^S-/.test(check.name));
    return { code: ran.code ?? 0, ok: of("ok").map((check) => check.name), broken: of("broken") };
  };
  const sound = await doctor();
  expect(sound).toMatchObject({ code: 0, broken: [] });
  expect(sound.ok).toEqual(
    expect.arrayContaining(["S-01", "S-02", "S-04", "S-06", "S-09", "S-17", "S-22", "S-27", "S-33", "S-35", "S-36"]),
  );
  const home = join(cwd, ".tenuto");
  await execute(process.execPath, [BIN, "tokens", "create", "one", "--role", "viewer"], { cwd });
  mkdirSync(join(home, "workspaces"), { recursive: true });
  writeFileSync(join(home, "workspaces", "leak.txt"), `the key is ${"very-secret"}-value`);
  chmodSync(home, 0o770);
  chmodSync(join(home, "server.key"), 0o644);
  const broken = await doctor();
  expect(broken.code).toBe(4);
  expect(broken.broken.map(({ name, text }) => `${name} ${text}`)).toEqual([
    expect.stringMatching(/^S-35 .*may be written to by others/),
    expect.stringMatching(/^S-06 server.key may be read by others/),
    expect.stringMatching(/^S-17 .*SOME_API_KEY in workspaces\/leak.txt$/),
  ]);
  chmodSync(home, 0o700);
  child.kill("SIGTERM");
  await once(child, "exit");
  expect(url).toContain("127.0.0.1");
});

it("refuses what is not safe, and says how to mend it", async () => {
  const cwd = folder();
  const fails = async (...args: string[]) => {
    const failed = (await execute(process.execPath, [BIN, "serve", ...args], { cwd }).catch((error) => error)) as {
      code: number;
      stderr: string;
    };
    return `${failed.code} ${failed.stderr}`;
  };
  expect(await fails("--host", "0.0.0.0", "--port", "0")).toMatch(/^2 .*without encryption[\s\S]*--insecure/);
  expect(await fails("--tls-cert", "x.pem")).toMatch(/^2 .*needs both/);
  const { url } = await serve(cwd);
  expect(await fails("--port", new URL(url).port)).toMatch(/^5 .*is taken/);
});
