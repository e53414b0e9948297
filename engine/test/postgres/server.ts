/**
 * A PostgreSQL server of a test's own: started on a free port of loopback, stopped, killed and started again at will.
 *
 * Invariants: (1) its data is in a temporary folder that goes with it; (2) it ends with the process that started it, however
 * that ends: a watcher process holds a pipe from it.
 */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { appendFileSync, chmodSync, chownSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { type Binaries, findBinaries } from "./binaries.ts";
import { makeCertificate } from "./certificate.ts";

export interface Server {
  /** Of the superuser, without password. */
  url: string;
  port: number;
  /** Ends it at once, as `kill -9` of the whole server would; committed data stays. */
  kill(): Promise<void>;
  /** Ends all sessions in good order. */
  halt(): Promise<void>;
  /** A file with the certificate of who has signed the server's. */
  ca: string;
  /** After `kill` or `halt`. */
  start(): Promise<void>;
  stop(): Promise<void>;
}

export interface ServerOptions {
  /** Writes to disk for real, for tests that kill the server. Default false. */
  durable?: boolean;
  settings?: Record<string, string>;
  /** A command that runs the server, in a network namespace for example; it must keep the process. */
  within?: readonly string[];
  /** Further lines of `pg_hba.conf`. */
  access?: readonly string[];
}

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, "127.0.0.1");
  await once(probe, "listening");
  const { port } = probe.address() as { port: number };
  probe.close();
  await once(probe, "close");
  return port;
}

/** Ends the server's process group when standard input closes, that is when the parent is gone. */
const WATCHER = 'read -r _; kill -QUIT "$1" 2>/dev/null; sleep 2; kill -KILL "$1" 2>/dev/null; rm -rf "$2"';

class OwnServer implements Server {
  port = 0;
  private process: ChildProcess | null = null;
  private watcher: ChildProcess | null = null;
  private readonly folder: string;
  private readonly binaries: Binaries;
  private readonly options: ServerOptions;

  constructor(folder: string, binaries: Binaries, options: ServerOptions) {
    this.folder = folder;
    this.binaries = binaries;
    this.options = options;
  }

  get ca(): string {
    return join(this.folder, "server.crt");
  }

  get url(): string {
    return `postgres://postgres@127.0.0.1:${this.port}/postgres`;
  }

  private arguments(): string[] {
    const { durable = false, settings = {} } = this.options;
    const all = {
      port: String(this.port),
      listen_addresses: "127.0.0.1",
      unix_socket_directories: "",
      max_connections: "200",
      shared_buffers: "64MB",
      max_wal_size: "2GB",
      ssl: "on",
      ssl_cert_file: this.ca,
      ssl_key_file: join(this.folder, "server.key"),
      ...(durable ? {} : { fsync: "off", full_page_writes: "off", synchronous_commit: "off" }),
      ...settings,
    };
    return [
      "-D",
      join(this.folder, "data"),
      ...Object.entries(all).flatMap(([name, value]) => ["-c", `${name}=${value}`]),
    ];
  }

  async initialise(): Promise<void> {
    const { initdb, user } = this.binaries;
    const { cert, key } = makeCertificate();
    writeFileSync(this.ca, cert);
    const keyFile = join(this.folder, "server.key");
    writeFileSync(keyFile, key, { mode: 0o600 });
    if (user !== null) chownSync(keyFile, user.uid, user.gid);
    const flags = ["--auth=trust", "--username=postgres", "--encoding=UTF8", "--no-locale", "--no-sync"];
    await promisify(execFile)(initdb, ["-D", join(this.folder, "data"), ...flags], { ...user, cwd: this.folder });
    for (const line of this.options.access ?? []) appendFileSync(join(this.folder, "data/pg_hba.conf"), `${line}\n`);
  }

  /** A port that was free may be taken before the server has it: then another one is tried. */
  async start(): Promise<void> {
    for (let attempt = 0; ; attempt++) {
      if (this.port === 0) this.port = await freePort();
      const text = await this.launch();
      if (text === null) return;
      if (attempt >= 5 || !/Address already in use/i.test(text)) throw new Error(`PostgreSQL does not start: ${text}`);
      this.port = 0;
    }
  }

  /** Null when it accepts connections, otherwise what it said. */
  private async launch(): Promise<string | null> {
    const { postgres, user } = this.binaries;
    const { within } = this.options;
    const drop = user === null ? [] : ["setpriv", `--reuid=${user.uid}`, `--regid=${user.gid}`, "--clear-groups"];
    const [command, ...before] = within === undefined ? [postgres] : [...within, ...drop, postgres];
    const child = spawn(command as string, [...before, ...this.arguments()], {
      ...(within === undefined ? user : null),
      cwd: this.folder,
      stdio: ["ignore", "ignore", "pipe"],
      env: { PATH: process.env["PATH"], LC_ALL: "C", TZ: "UTC" },
    });
    this.process = child;
    let said = "";
    const ready = await new Promise<boolean>((resolve, reject) => {
      child.once("error", reject);
      child.once("exit", () => resolve(false));
      child.stderr?.on("data", (chunk: Buffer) => {
        said = (said + chunk.toString()).slice(-4_000);
        if (/database system is ready to accept connections/.test(said)) resolve(true);
      });
    });
    if (!ready) return said;
    this.watcher = spawn("sh", ["-c", WATCHER, "sh", String(child.pid), this.folder], {
      stdio: ["pipe", "ignore", "ignore"],
      detached: true,
    });
    this.watcher.unref();
    return null;
  }

  private async end(signal: NodeJS.Signals): Promise<void> {
    const { process: child, watcher } = this;
    this.process = null;
    this.watcher = null;
    watcher?.kill("SIGKILL");
    if (child === null || child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, "exit");
    child.kill(signal);
    await gone;
  }

  async kill(): Promise<void> {
    // The postmaster ends its children itself on SIGQUIT, without writing anything; after SIGKILL they end when they notice.
    await this.end("SIGQUIT");
  }

  async halt(): Promise<void> {
    await this.end("SIGINT");
  }

  async stop(): Promise<void> {
    await this.end("SIGQUIT");
    rmSync(this.folder, { recursive: true, force: true });
    this.binaries.dispose();
  }
}

/** @throws with the reason why no server can be run here */
export async function startServer(options: ServerOptions = {}): Promise<Server> {
  const binaries = findBinaries();
  const folder = mkdtempSync(join(tmpdir(), "tenuto-pg-"));
  chmodSync(folder, 0o755);
  if (binaries.user !== null) chownSync(folder, binaries.user.uid, binaries.user.gid);
  const server = new OwnServer(folder, binaries, options);
  try {
    await server.initialise();
    await server.start();
    return server;
  } catch (error) {
    await server.stop();
    throw error;
  }
}
