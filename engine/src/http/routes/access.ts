/** Sessions, tokens, audit log, health, readiness, metrics, the OpenAPI description. */
import { statfs } from "node:fs/promises";
import { openApi } from "../../contract/index.ts";
import { isLive, type TokenRow } from "../../core/access.ts";
import { auditFault, putMark } from "../../core/audit.ts";
import { TenutoError } from "../../core/errors.ts";
import { type Call, type Handlers, runNamed, type Services } from "../call.ts";
import { sessionCookie } from "../gate.ts";
import { HttpProblem } from "../problems.ts";
import { time } from "../shapes.ts";
import { statesIn } from "../states.ts";
import { SESSION_MS } from "../tokens.ts";
import { jobOf } from "./jobs.ts";

const tokenShape = (row: TokenRow, now: number) => ({
  id: row.id,
  kind: row.kind,
  name: row.name,
  role: row.role,
  run: row.run,
  createdAt: time(row.createdAt),
  expiresAt: time(row.expiresAt),
  revokedAt: time(row.revokedAt),
  live: isLive(row, now),
});

const sessionShape = (
  { version }: Services,
  who: { name: string; role: string; run: string | null; expiresAt: number | null },
) => ({ name: who.name, role: who.role, run: who.run, expiresAt: time(who.expiresAt), version });

const PROBE = "probe";
const LEAST_FREE_BYTES = 100 * 1024 * 1024;
const PROBE_MS = 1_000;
const probes = new WeakMap<Services, { at: number; answer: Promise<Readiness> }>();

interface Readiness {
  ok: boolean;
  ledger: { ok: boolean; writeMs: number; schema: number; bytes: number };
  disk: { ok: boolean; freeBytes: number };
  workers: number;
  version: string;
}

/** Writes to the ledger and looks at the disk, at most once a second. */
function readiness(services: Services): Promise<Readiness> {
  const last = probes.get(services);
  const at = performance.now();
  if (last !== undefined && at - last.at < PROBE_MS) return last.answer;
  const answer = probe(services);
  probes.set(services, { at, answer });
  return answer;
}

async function probe(services: Services): Promise<Readiness> {
  const { ledger, backend, version } = services;
  const from = performance.now();
  const written = await ledger.apply(putMark(PROBE, services.now())).then(
    () => true,
    (error) => error instanceof TenutoError && error.code === "conflict",
  );
  const writeMs = performance.now() - from;
  const info = await ledger.info();
  const disk = await statfs(backend.home).catch(() => null);
  const freeBytes = disk === null ? 0 : disk.bavail * disk.bsize;
  const alive = await ledger.boots("alive");
  const room = freeBytes >= LEAST_FREE_BYTES;
  return {
    ok: written && room,
    ledger: { ok: written, writeMs: Math.round(writeMs * 100) / 100, schema: info.schema, bytes: info.bytes },
    disk: { ok: room, freeBytes },
    workers: alive.length,
    version,
  };
}

const AUDIT_PAGE = 1_000;

async function verifyAudit({ ledger, backend }: Services) {
  const { hash } = backend.engine.parts;
  let last: Awaited<ReturnType<Services["ledger"]["audit"]>>[number] | null = null;
  const head = await ledger.mark("audit");
  for (let rows = 0; ; ) {
    const page = await ledger.audit(last?.number ?? 0, AUDIT_PAGE);
    const fault = auditFault(page, last, hash);
    rows += page.length;
    if (fault !== null) return { ok: false, rows, fault };
    last = page.at(-1) ?? last;
    if (page.length === AUDIT_PAGE) continue;
    const short = head !== null && (last?.number ?? 0) < head.value;
    return { ok: !short, rows, fault: short ? `rows after ${last?.number ?? 0} are missing` : null };
  }
}

async function openSession({ services, body }: Call) {
  const minted = await services.access.openSession(body.token);
  if (minted === null)
    throw new HttpProblem(401, "unauthenticated", "this token is not valid, was used already, or has run out", {
      hint: "Make another link with: tenuto tokens link.",
    });
  const { row, text } = minted;
  const seconds = Math.max(1, Math.floor(((row.expiresAt ?? services.now() + SESSION_MS) - services.now()) / 1_000));
  return {
    json: sessionShape(services, row),
    status: 201,
    headers: { "set-cookie": sessionCookie(text, seconds, services.secure) },
  };
}

/** The attempt of a job that is at work: what a token for it ends with. */
async function leaseOf(services: Services, run: string | null, id: string) {
  if (run === null) throw new HttpProblem(422, "invalid_input", "body.run: say of which run the job is");
  const { seq, state, epoch } = await jobOf(services, await runNamed(services, run), id);
  if (state !== "running")
    throw new TenutoError("illegal_transition", `job ${id} of run ${run} is ${state}, not running`);
  return { job: seq, epoch };
}

export const accessHandlers: Handlers = {
  openSession,
  showSession: async ({ services, principal }) => ({ json: sessionShape(services, principal) }),
  closeSession: async ({ services, principal }) => {
    if (principal.cookie) await services.access.revoke(principal.token);
    return { empty: true, headers: { "set-cookie": sessionCookie("", 0, services.secure) } };
  },
  listTokens: async ({ services }) => {
    const now = services.now();
    return { json: { items: (await services.ledger.tokens(now)).map((row) => tokenShape(row, now)) } };
  },
  mintToken: async ({ services, body }) => {
    const { name, role, run = null, job, expiresInSeconds } = body;
    const forMs = expiresInSeconds === undefined ? {} : { forMs: expiresInSeconds * 1_000 };
    const lease = job === undefined ? {} : await leaseOf(services, run, job);
    const { row, text } = await services.access.mint({ name, role, run, parent: null, ...lease, ...forMs });
    return { json: { ...tokenShape(row, services.now()), token: text }, status: 201 };
  },
  rotateToken: async ({ services, params }) => {
    const { row, text } = await services.access.rotate(params["token"]);
    return { json: { ...tokenShape(row, services.now()), token: text }, status: 201 };
  },
  revokeToken: async ({ services, params }) => {
    await services.access.revoke(params["token"]);
    return { empty: true };
  },
  listAudit: async ({ services: { ledger }, query }) => {
    const { after, limit } = query;
    const rows = await ledger.auditBefore(Number(after ?? Number.MAX_SAFE_INTEGER), limit);
    const items = rows.map(({ previous: _, id: __, ...row }) => ({
      ...row,
      ...statesIn(row.target),
      at: time(row.at),
    }));
    return { json: { items, next: rows.length === limit ? String(rows.at(-1)!.number) : null } };
  },
  verifyAudit: async ({ services }) => ({ json: await verifyAudit(services) }),
  health: async () => ({ json: { ok: true } }),
  readiness: async ({ services }) => {
    const answer = await readiness(services);
    return { json: answer, status: answer.ok ? 200 : 503 };
  },
  metrics: async ({ services }) => ({
    body: await services.metrics.text(services),
    type: "text/plain; version=0.0.4; charset=utf-8",
  }),
  openapi: async ({ services }) => ({ json: openApi(services.version) }),
};
