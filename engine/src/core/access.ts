/**
 * Rules of the server's tokens: who holds one, what it allows, until when.
 *
 * Owner: core. Invariants: (1) a token's text is never stored, only its SHA-256; (2) a login is used once and makes a session;
 * (3) what was revoked or has run out stays so; (4) a session lives no longer than the token that it came from.
 */
import type { Verdict } from "./decision.ts";
import { reject } from "./decision.ts";

/** Each role may do what those before it may. */
export const ROLES = ["viewer", "operator", "admin"] as const;
export type Role = (typeof ROLES)[number];

export interface TokenRow {
  id: string;
  /** `login` is exchanged once for a `session`, which browsers carry as a cookie. */
  kind: "token" | "login" | "session";
  /** SHA-256 of its text, lower-case hex. */
  hash: string;
  /** Who holds it, as the audit log and approvals name them. */
  name: string;
  role: Role;
  /** The token that a session came from. */
  parent: string | null;
  /** Id of the only run that it is good for. */
  run: string | null;
  /** The attempt that it is good for: it ends with the lease. */
  job: number | null;
  epoch: number | null;
  createdAt: number;
  expiresAt: number | null;
  usedAt: number | null;
  revokedAt: number | null;
}

export function allows(role: Role, asked: Role): boolean {
  return ROLES.indexOf(role) >= ROLES.indexOf(asked);
}

export function isLive(row: TokenRow, at: number): boolean {
  return row.revokedAt === null && (row.expiresAt === null || at < row.expiresAt);
}

const of = (...ids: string[]) => ({
  kind: "records" as const,
  of: ids.map((id) => ({ table: "token" as const, id })),
});

interface TokenSlice {
  records: readonly (TokenRow | null)[];
}

export type NewToken = Omit<TokenRow, "createdAt" | "usedAt" | "revokedAt">;

const made = (fresh: NewToken, at: number): TokenRow => ({ ...fresh, createdAt: at, usedAt: null, revokedAt: null });

export const mintToken = (fresh: NewToken) => ({
  select: of(fresh.id),
  decide: (slice: TokenSlice, at: number): Verdict<TokenRow> => {
    if (slice.records[0] != null) return reject("conflict", `there is a token "${fresh.id}" already`);
    const row = made(fresh, at);
    return { ok: true, effects: [{ type: "put", table: "token", row }], result: row };
  },
});

/** Takes a login, once; gives the session. */
export const useLogin = (id: string, session: Omit<NewToken, "name" | "role" | "kind" | "parent" | "run">) => ({
  select: of(id, session.id),
  decide: (slice: TokenSlice, at: number): Verdict<TokenRow> => {
    const [login = null, taken = null] = slice.records;
    if (login === null || login.kind !== "login" || !isLive(login, at) || login.usedAt !== null || taken !== null)
      return reject("not_found", "this login was used already or has run out");
    const { name, role, run } = login;
    const row = made({ ...session, kind: "session", name, role, parent: login.parent, run }, at);
    const used = { ...login, usedAt: at };
    return {
      ok: true,
      effects: [
        { type: "put", table: "token", row: used },
        { type: "put", table: "token", row },
      ],
      result: row,
    };
  },
});

/** Forgets a login or session that is over. Tokens stay, so that the audit log can be read. */
export const dropToken = (id: string, before: number) => ({
  select: of(id),
  decide: (slice: TokenSlice): Verdict<boolean> => {
    const [row = null] = slice.records;
    if (row === null || row.kind === "token") return { ok: true, result: false };
    const over = Math.min(row.revokedAt ?? row.expiresAt ?? before, row.expiresAt ?? before);
    if (over >= before) return { ok: true, result: false };
    return { ok: true, effects: [{ type: "drop", table: "token", id }], result: true };
  },
});

/** At once, or for a rotation at a later time. */
export const revokeToken = (id: string, at: number | null = null) => ({
  select: of(id),
  decide: (slice: TokenSlice, now: number): Verdict<TokenRow> => {
    const [row = null] = slice.records;
    if (row === null) return reject("not_found", `there is no token "${id}"`);
    if (row.revokedAt !== null) return { ok: true, result: row };
    const next = at === null ? { ...row, revokedAt: now } : { ...row, expiresAt: Math.min(at, row.expiresAt ?? at) };
    return { ok: true, effects: [{ type: "put", table: "token", row: next }], result: next };
  },
});
