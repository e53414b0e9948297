/**
 * `tenuto doctor --security`: what of the security list can be seen on this machine, each by its id: files and their modes,
 * tokens, the audit log, webhooks, the environment, secrets where they must not be, and the running server as a stranger sees it.
 *
 * Invariants: (1) nothing is changed, and nothing is sent to any other machine; (2) a secret that is found is named, never shown.
 */
import { createReadStream, existsSync, readdirSync, type Stats, statSync } from "node:fs";
import { request } from "node:http";
import { request as secureRequest } from "node:https";
import { join } from "node:path";
import { auditFault } from "../../core/audit.ts";
import { secretsOf } from "../../http/mask.ts";
import { parseAddress } from "../../ledger/postgres/address.ts";
import type { Tenuto } from "../../open.ts";
import { isPostgres } from "../../open-ledger.ts";
import { counted } from "../figures.ts";
import type { Cli } from "../main.ts";
import { openPlace, type Place, shown } from "../project.ts";
import { recallAddress } from "../serving.ts";
import type { Check } from "./doctor.ts";

const OTHERS_WRITE = 0o022;
const OTHERS = 0o077;

const ok = (name: string, text: string): Check => ({ name, verdict: "ok", text });
const bad = (name: string, text: string, hint: string): Check => ({ name, verdict: "broken", text, hint });
const doubtful = (name: string, text: string, hint: string): Check => ({ name, verdict: "warning", text, hint });

export async function securityChecks(cli: Cli, place: Place): Promise<Check[]> {
  const checks: Check[] = [...filesCheck(cli, place), environmentCheck(cli), databaseCheck(place)];
  if (existsSync(place.home)) checks.push(await secretsCheck(cli, place), ...(await serverChecks(place)));
  if (isPostgres(place.database) || existsSync(place.database)) {
    const tenuto = await openPlace(place, cli, { soon: true });
    try {
      checks.push(await tokensCheck(tenuto), await auditCheck(tenuto), await webhooksCheck(tenuto));
    } finally {
      await tenuto.close();
    }
  }
  return checks;
}

const statOf = (path: string): Stats | null => statSync(path, { throwIfNoEntry: false }) ?? null;

function filesCheck(cli: Cli, place: Place): Check[] {
  const home = statOf(place.home);
  if (process.getuid === undefined) return [ok("S-35", "modes of files are not looked at on this system")];
  if (home === null) return [ok("S-35", "there is no home yet; `tenuto serve` makes it private")];
  const name = shown(cli, place.home);
  const key = statOf(join(place.home, "server.key"));
  const shared = (home.mode & OTHERS_WRITE) !== 0 || home.uid !== process.getuid();
  const open = (home.mode & OTHERS) !== 0;
  const files = shared
    ? bad("S-35", `${name} may be written to by others, or belongs to somebody else`, `chmod go-rwx ${name}`)
    : open
      ? doubtful("S-35", `${name} may be read by others`, `chmod go-rwx ${name}; \`tenuto serve\` does it as well`)
      : ok("S-35", `${name} is private`);
  const keys =
    key === null
      ? ok("S-06", "there is no key of a server yet")
      : (key.mode & OTHERS) === 0
        ? ok("S-06", "server.key is readable by its owner only")
        : bad("S-06", "server.key may be read by others", `chmod 600 ${join(name, "server.key")}`);
  return [files, keys];
}

function environmentCheck({ io: { env } }: Cli): Check {
  const risky = [
    env["NODE_TLS_REJECT_UNAUTHORIZED"] === "0" ? "NODE_TLS_REJECT_UNAUTHORIZED=0 takes any certificate" : "",
    /--inspect/.test(env["NODE_OPTIONS"] ?? "") ? "NODE_OPTIONS opens the debugger" : "",
  ].filter((text) => text !== "");
  return risky.length === 0
    ? ok("S-27", "the environment switches nothing off")
    : bad("S-27", risky.join("; "), "Take it out of the environment of the engine.");
}

const LOCAL = /^(localhost|127\.\d+\.\d+\.\d+|::1|\/.*)$/;

function databaseCheck({ database }: Place): Check {
  if (!isPostgres(database)) return ok("S-36", "the ledger is a file of this machine");
  const { host = "localhost", ssl, shown: name } = parseAddress(database);
  if (LOCAL.test(host)) return ok("S-36", `${name} is on this machine`);
  const verified = ssl !== false && ssl.rejectUnauthorized !== false && ssl.checkServerIdentity === undefined;
  return verified
    ? ok("S-36", `${name} is reached over TLS, its name is verified`)
    : bad("S-36", `${name} is on another machine and its identity is not verified`, "Add sslmode=verify-full.");
}

const PIECE_KEPT = 512;
const MOST_BYTES = 500_000_000;

/** Whether values of secret variables are in files of the home: ledger, logs, workspaces. */
async function secretsCheck({ io: { env } }: Cli, place: Place): Promise<Check> {
  const secrets = [...secretsOf(env)].map(([name, value]): [string, Buffer] => [name, Buffer.from(value)]);
  if (secrets.length === 0) return ok("S-17", "no variable is named as a secret");
  const found = new Set<string>();
  let looked = 0;
  for (const path of readdirSync(place.home, { recursive: true, encoding: "utf8" })) {
    const file = join(place.home, path);
    const stat = statOf(file);
    if (stat === null || !stat.isFile() || looked >= MOST_BYTES) continue;
    looked += stat.size;
    let kept = Buffer.alloc(0);
    for await (const piece of createReadStream(file) as AsyncIterable<Buffer>) {
      const whole = Buffer.concat([kept, piece]);
      for (const [name, value] of secrets) if (whole.includes(value)) found.add(`${name} in ${path}`);
      kept = whole.subarray(Math.max(0, whole.length - PIECE_KEPT));
    }
  }
  const size = `${counted(secrets.length, "secret")} looked for in ${Math.ceil(looked / 1_000_000)} MB`;
  return found.size === 0
    ? ok("S-17", `${size}: none is in the home`)
    : bad("S-17", `${size}: ${[...found].slice(0, 5).join(", ")}`, "Change them, and see what wrote them there.");
}

async function tokensCheck(tenuto: Tenuto): Promise<Check> {
  const { ledger } = tenuto.engine.parts;
  const now = ledger.now();
  const live = (await ledger.tokens(now)).filter(
    (row) => row.kind === "token" && row.revokedAt === null && (row.expiresAt === null || row.expiresAt > now),
  );
  const endless = live.filter((row) => row.expiresAt === null);
  const admins = live.filter((row) => row.role === "admin").length;
  const text = `${counted(live.length, "token")} valid, ${admins} of them for admins`;
  return endless.length === 0
    ? ok("S-06", `${text}; all of them end`)
    : doubtful(
        "S-06",
        `${text}; ${endless.length} never end`,
        `Replace them, then: tenuto tokens revoke ${endless[0]?.id}`,
      );
}

const PAGE = 1_000;

async function auditCheck(tenuto: Tenuto): Promise<Check> {
  const { ledger, hash } = tenuto.engine.parts;
  let last: Awaited<ReturnType<typeof ledger.audit>>[number] | null = null;
  for (;;) {
    const rows = await ledger.audit(last?.number ?? 0, PAGE);
    const fault = auditFault(rows, last, hash);
    if (fault !== null) return bad("S-33", `the audit log was changed: ${fault}`, "See who could write to the ledger.");
    last = rows.at(-1) ?? last;
    if (rows.length === PAGE) continue;
    const end = (await ledger.mark("audit"))?.value ?? 0;
    const held = last?.number ?? 0;
    return held < end
      ? bad("S-33", `rows ${held + 1} to ${end} of the audit log are missing`, "See who could write to the ledger.")
      : ok("S-33", `${counted(held, "row")} of the audit log follow each other`);
  }
}

async function webhooksCheck(tenuto: Tenuto): Promise<Check> {
  const open = (await tenuto.engine.parts.ledger.webhooks()).filter(
    (row) => row.enabled === 1 && row.url.startsWith("http://"),
  );
  return open.length === 0
    ? ok("S-22", "no webhook is sent without encryption")
    : doubtful(
        "S-22",
        `${counted(open.length, "webhook")} without encryption: ${open[0]?.id}`,
        "Give it an https:// address.",
      );
}

interface Seen {
  status: number;
  headers: NodeJS.Dict<string | string[]>;
}

function ask(url: URL, path: string, headers: Record<string, string>): Promise<Seen> {
  const send = url.protocol === "https:" ? secureRequest : request;
  return new Promise((resolve, reject) => {
    const asked = send(
      // A certificate is not what is looked at here.
      { host: url.hostname, port: url.port, path, headers, timeout: 5_000, rejectUnauthorized: false },
      (answer) => {
        answer.resume();
        resolve({ status: answer.statusCode ?? 0, headers: answer.headers });
      },
    );
    asked.on("upgrade", (answer, socket) => {
      socket.destroy();
      resolve({ status: answer.statusCode ?? 0, headers: answer.headers });
    });
    asked.on("timeout", () => asked.destroy(new Error("no answer")));
    asked.on("error", reject);
    asked.end();
  });
}

/** The running server, as somebody without a token sees it. */
async function serverChecks(place: Place): Promise<Check[]> {
  const address = recallAddress(place.home);
  if (address === null) return [ok("S-01", "no server runs on this home")];
  const url = new URL(address);
  const host = { host: url.host };
  const socket = {
    connection: "Upgrade",
    upgrade: "websocket",
    "sec-websocket-version": "13",
    "sec-websocket-key": "AAAAAAAAAAAAAAAAAAAAAA==",
  };
  try {
    const open: string[] = [];
    for (const path of ["/api/runs", "/api/tokens", "/api/live?topic=all", "/metrics", "/readyz", "/api/openapi.json"])
      if ((await ask(url, path, host)).status !== 401) open.push(path);
    const stranger = await ask(url, "/api/runs", { host: "evil.example" });
    const origin = await ask(url, "/api/runs", { ...host, origin: "http://evil.example" });
    const live = await ask(url, "/api/live", { ...host, ...socket });
    const { headers } = await ask(url, "/", host);
    const policy = String(headers["content-security-policy"] ?? "");
    return [
      open.length === 0
        ? ok("S-01", `${address} asks for a token`)
        : bad(
            "S-01",
            `${address} answers without a token: ${open.join(", ")}`,
            "Stop it, and look at what listens there.",
          ),
      stranger.status === 403 && origin.status === 403
        ? ok("S-02", "other names and other sites are refused")
        : bad(
            "S-02",
            "another name or another site is let in",
            "Is there a proxy in front that changes Host or Origin?",
          ),
      live.status === 401
        ? ok("S-04", "websockets ask for a token")
        : bad("S-04", `a websocket without a token got ${live.status}`, "Stop the server."),
      policy.includes("default-src 'self'") && headers["x-content-type-options"] === "nosniff"
        ? ok("S-09", "pages carry the headers that keep browsers from harm")
        : bad(
            "S-09",
            "pages lack Content-Security-Policy or nosniff",
            "Is there a proxy in front that removes headers?",
          ),
    ];
  } catch (error) {
    return [
      doubtful(
        "S-01",
        `${address} does not answer: ${(error as Error).message}`,
        "If no server runs, that is no fault.",
      ),
    ];
  }
}
