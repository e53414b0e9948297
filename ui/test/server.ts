/**
 * `tenuto serve` as a process of its own on a temporary home, with the pipelines of `demo/`: as a person runs it, so that it
 * can be killed and started again while a page is open.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));

export interface Started {
  url: string;
  login: string;
}

export class Served {
  readonly home: string;
  private child: ChildProcess | null = null;
  private port = 0;
  token = "";
  url = "";

  private readonly config: string;

  constructor({ home, config = "tenuto.config.ts" }: { home?: string; config?: string } = {}) {
    this.config = config;
    this.home = home ?? mkdtempSync(join(tmpdir(), "tenuto-ui-"));
  }

  /** Starts the server; again on the same port. */
  async start(...options: string[]): Promise<Started> {
    const child = spawn(
      process.execPath,
      [
        "--conditions=source",
        join(ROOT, "engine/bin/tenuto.mjs"),
        "serve",
        "--port",
        String(this.port),
        "--home",
        this.home,
        "--config",
        join(ROOT, "ui/test/demo", this.config),
        ...options,
      ],
      { cwd: this.home, stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, NO_COLOR: "1", TENUTO_SOURCE: "1" } },
    );
    this.child = child;
    let said = "";
    child.stderr.on("data", (text) => {
      said += String(text);
    });
    const login = await new Promise<string>((resolve, reject) => {
      child.once("exit", (code) => reject(new Error(`the server ended with ${code}: ${said}`)));
      createInterface({ input: child.stdout }).on("line", (line) => {
        const found = /(http\S+\/login#\S+)/.exec(line)?.[1];
        if (found !== undefined) resolve(found);
      });
    });
    this.url = new URL(login).origin;
    this.port = Number(new URL(login).port);
    return { url: this.url, login };
  }

  /** A token for requests of the tests, from a login that is good once. */
  async openSession(login: string): Promise<void> {
    const answer = await fetch(`${this.url}/api/session`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ token: login.split("#")[1] }),
    });
    const cookie = answer.headers.get("set-cookie")?.split(";")[0];
    if (!answer.ok || cookie === undefined) throw new Error(`the login was refused: ${await answer.text()}`);
    const minted = await fetch(`${this.url}/api/tokens`, {
      method: "POST",
      headers: { "content-type": "application/json", cookie, origin: this.url },
      body: JSON.stringify({ name: "tests", role: "admin" }),
    });
    const { token } = (await minted.json()) as { token: string };
    if (token === undefined) throw new Error(`no token: ${minted.status}`);
    this.token = token;
  }

  async api<T>(path: string, body?: unknown): Promise<T> {
    const answer = await fetch(`${this.url}${path}`, {
      method: body === undefined ? "GET" : "POST",
      headers: {
        authorization: `Bearer ${this.token}`,
        ...(body === undefined ? {} : { "content-type": "application/json" }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
    return (await answer.json()) as T;
  }

  async put(path: string, body: unknown): Promise<void> {
    const answer = await fetch(`${this.url}${path}`, {
      method: "PUT",
      headers: { authorization: `Bearer ${this.token}`, "content-type": "application/json" },
      body: JSON.stringify(body),
    });
    if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
  }

  async run(pipeline: string, more: object = {}): Promise<string> {
    return (await this.api<{ id: string }>("/api/runs", { pipeline, ...more })).id;
  }

  /** Ends the process at once, as a crash does. */
  async kill(signal: "SIGKILL" | "SIGTERM" = "SIGKILL"): Promise<void> {
    const { child } = this;
    this.child = null;
    if (child === null || child.exitCode !== null) return;
    await new Promise((resolve) => {
      child.once("exit", resolve);
      child.kill(signal);
    });
  }

  async close(): Promise<void> {
    await this.kill();
    rmSync(this.home, { recursive: true, force: true });
  }
}
