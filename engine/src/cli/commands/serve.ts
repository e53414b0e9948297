/**
 * `tenuto serve`: one process with engine, API and dashboard. Prints the address with a login that is good once.
 *
 * Invariants: (1) there is no way to serve without tokens; (2) it stops in order: no new requests, then the work, then the
 * ledger.
 */
import { readFileSync } from "node:fs";
import { userInfo } from "node:os";
import { resolve } from "node:path";
import { setFlagsFromString } from "node:v8";
import { TenutoError } from "../../core/errors.ts";
import { secretsOf, startServer } from "../../http/index.ts";
import { maskerOf } from "../../http/mask.ts";
import { stopWorking } from "../attend.ts";
import { EXIT, usage } from "../failure.ts";
import { counted, parseCount, parseDuration } from "../figures.ts";
import { Interrupts } from "../interrupt.ts";
import type { Cli } from "../main.ts";
import { addSources, openForWork, openRuns, type WorkingPlace } from "../open-runs.ts";
import { shownDatabase } from "../project.ts";
import { featuresOf, pagesFolder, rememberAddress, secureHome, serverKey, Webhooks } from "../serving.ts";
import { endWithStray, watchStrays } from "../strays.ts";
import { TENUTO_VERSION } from "../version.ts";

export interface ServeOptions {
  port?: string;
  host?: string;
  tlsCert?: string;
  tlsKey?: string;
  insecure?: boolean;
  allowHost?: string[];
  allowCommands?: boolean;
  /** False with `--no-work`. */
  work?: boolean;
  pipeline?: string[];
  concurrency?: string;
  drain?: string;
}

/**
 * By how much the old generation may grow before it is collected. V8 lets it grow to a multiple of what is in use where little
 * is written: hundreds of events a second to fifty readers left 40 MiB of garbage in a server that uses 28. The price is a tenth
 * more processor time of the server at that load.
 */
const HEAP_GROWTH_PERCENT = 25;

export async function serve(cli: Cli, options: ServeOptions): Promise<number> {
  const drainMs = options.drain === undefined ? 30_000 : parseDuration(options.drain, "--drain");
  const port = options.port === undefined ? 4_600 : parseCount(options.port, "--port", 0);
  if (port > 65_535) throw usage(`--port ${port} is no port`, "Ports go up to 65535; 0 takes any that is free.");
  setFlagsFromString(`--heap-growing-percent=${HEAP_GROWTH_PERCENT}`);
  const place = await openForWork(
    cli,
    {
      ...(options.pipeline === undefined ? {} : { pipeline: options.pipeline }),
      ...(options.concurrency === undefined ? {} : { concurrency: parseCount(options.concurrency, "--concurrency") }),
    },
    false,
  );
  const interrupts = new Interrupts(cli.io);
  const strays = watchStrays(cli, place.tenuto);
  try {
    return await serveUntilStopped(cli, place, { interrupts, strays }, { ...options, port, drainMs });
  } finally {
    interrupts.stop();
    strays.stop();
    await place.tenuto.close();
  }
}

type Settled = Omit<ServeOptions, "port"> & { port: number; drainMs: number };

async function serveUntilStopped(
  cli: Cli,
  place: WorkingPlace,
  { interrupts, strays }: { interrupts: Interrupts; strays: ReturnType<typeof watchStrays> },
  options: Settled,
): Promise<number> {
  const { out } = cli;
  const { tenuto, project } = place;
  secureHome(tenuto.home);
  const key = serverKey(tenuto.home);
  const secrets = secretsOf(cli.io.env);
  const { text: mask } = maskerOf(secrets);
  const onFault = (error: unknown) =>
    out.tell(mask(`tenuto: ${error instanceof Error ? error.message : String(error)}`));
  const webhooks = new Webhooks(tenuto, key, onFault);
  const server = await startServer(tenuto, {
    port: options.port,
    ...(options.host === undefined ? {} : { host: options.host }),
    ...tlsOf(cli, options),
    insecure: options.insecure === true,
    allowHosts: options.allowHost ?? [],
    key,
    secrets,
    pages: pagesFolder(),
    version: TENUTO_VERSION,
    features: featuresOf(tenuto, cli.io.cwd, webhooks, options.allowCommands === true),
    onFault,
  });
  const forget = rememberAddress(tenuto.home, server.url);
  try {
    const open = await openRuns(tenuto);
    await addSources(place, open);
    if (options.work !== false) await tenuto.work();
    await webhooks.renew();
    const login = await server.access.mint({ kind: "login", name: userName(), role: "admin" });
    const { definitions } = tenuto.engine;
    out.document("server", { url: server.url, login: `${server.url}/login#${login.text}` });
    out.data(`Tenuto is at ${server.url}`, `Log in, once, within ten minutes: ${server.url}/login#${login.text}`);
    out.say(
      `${options.work === false ? "Serving" : "Working on and serving"} ${shownDatabase(cli, project.database)} with ${counted(definitions.list().length, "pipeline")} and ${counted(definitions.agentNames().length, "agent")}; ${counted(open.length, "run")} open. Ctrl-C stops.`,
    );
    const signal = await Promise.race([interrupts.first, strays.found]);
    forget();
    await server.close();
    await webhooks.stop();
    if (typeof signal === "object") return await endWithStray(cli, tenuto, signal);
    if (options.work !== false) await stopWorking(cli, tenuto, { drainMs: options.drainMs, interrupts });
    return EXIT[signal];
  } finally {
    forget();
    await server.close();
    await webhooks.stop();
  }
}

export function userName(): string {
  try {
    return userInfo().username;
  } catch {
    return "owner";
  }
}

function tlsOf(cli: Cli, { tlsCert, tlsKey }: Settled): { tls?: { cert: string; key: string } } {
  if (tlsCert === undefined && tlsKey === undefined) return {};
  if (tlsCert === undefined || tlsKey === undefined)
    throw new TenutoError("invalid_input", "TLS needs both --tls-cert and --tls-key");
  const read = (file: string) => readFileSync(resolve(cli.io.cwd, file), "utf8");
  return { tls: { cert: read(tlsCert), key: read(tlsKey) } };
}
