/**
 * Tokens: how they are made, checked, exchanged for sessions, and taken back.
 *
 * Owner: http. Invariants: (1) 256 random bits; only the SHA-256 is stored, and compared in constant time; (2) every use looks
 * the token up, so that taking it back counts at once; (3) a login is good once, and only for a session; (4) the token of an
 * attempt is good as long as its lease.
 */
import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import {
  dropToken,
  isLive,
  mintToken,
  type NewToken,
  type Role,
  revokeToken,
  type TokenRow,
  useLogin,
} from "../core/access.ts";
import { TenutoError } from "../core/errors.ts";
import type { Ledger } from "../ports/ledger.ts";

const FORM = /^tnt_([a-z0-9]{16})_([A-Za-z0-9_-]{43})$/;
export const SESSION_MS = 12 * 3_600_000;
export const LOGIN_MS = 10 * 60_000;
const TOKEN_MS = 90 * 86_400_000;
const ROTATION_MS = 3_600_000;
/** Over for so long, logins and sessions are forgotten. */
const KEPT_MS = 30 * 86_400_000;
const PRUNED_AT_ONCE = 500;
const NO_HASH = "0".repeat(64);

/** Who asks. */
export interface Principal {
  token: string;
  name: string;
  role: Role;
  /** The only run that may be touched. */
  run: string | null;
  expiresAt: number | null;
  /** Came as a cookie: requests that change something must come from our own pages. */
  cookie: boolean;
}

export interface Minted {
  text: string;
  row: TokenRow;
}

const digest = (text: string): string => createHash("sha256").update(text).digest("hex");

function fresh(): { id: string; text: string; hash: string } {
  const id = randomBytes(10).toString("hex").slice(0, 16);
  const text = `tnt_${id}_${randomBytes(32).toString("base64url")}`;
  return { id, text, hash: digest(text) };
}

export class Access {
  private readonly ledger: Ledger;

  constructor(ledger: Ledger) {
    this.ledger = ledger;
  }

  async mint(
    how: Pick<NewToken, "name" | "role"> &
      Partial<Pick<NewToken, "kind" | "run" | "job" | "epoch" | "parent">> & { forMs?: number },
  ): Promise<Minted> {
    const { id, text, hash } = fresh();
    const { name, role, kind = "token", run = null, job = null, epoch = null, parent = null } = how;
    const forMs = how.forMs ?? (kind === "login" ? LOGIN_MS : TOKEN_MS);
    const expiresAt = this.ledger.now() + forMs;
    const row = await this.ledger.apply(mintToken({ id, kind, hash, name, role, parent, run, job, epoch, expiresAt }));
    return { text, row };
  }

  /** Who this token stands for; null if it is not valid now. */
  async who(text: string, cookie: boolean): Promise<Principal | null> {
    const row = await this.find(text);
    if (row === null || row.kind !== (cookie ? "session" : "token")) return null;
    if (!(await this.stands(row))) return null;
    const { id, name, role, run, expiresAt } = row;
    return { token: id, name, role, run, expiresAt, cookie };
  }

  /** Whether a principal may still do what it could; for streams that stay open. */
  async still(principal: Principal): Promise<boolean> {
    const row = await this.ledger.token(principal.token);
    return row !== null && row.role === principal.role && (await this.stands(row));
  }

  /** A session for a login or a token; null if it is not valid. */
  async openSession(text: string): Promise<Minted | null> {
    const row = await this.find(text);
    if (row === null || row.kind === "session" || !(await this.stands(row))) return null;
    const { name, role, run, job, epoch } = row;
    if (row.kind === "token") {
      const left = row.expiresAt === null ? SESSION_MS : Math.min(SESSION_MS, row.expiresAt - this.ledger.now());
      return await this.mint({ kind: "session", name, role, run, job, epoch, parent: row.id, forMs: left });
    }
    const { id, text: session, hash } = fresh();
    try {
      const expiresAt = this.ledger.now() + SESSION_MS;
      const made = await this.ledger.apply(useLogin(row.id, { id, hash, job, epoch, expiresAt }));
      return { text: session, row: made };
    } catch (error) {
      if (error instanceof TenutoError && error.code === "not_found") return null;
      throw error;
    }
  }

  /** Forgets logins and sessions that have been over for a month. Gives how many. */
  async prune(): Promise<number> {
    const before = this.ledger.now() - KEPT_MS;
    const rows = await this.ledger.tokensOver(before, PRUNED_AT_ONCE);
    const gone = await Promise.all(rows.map(({ id }) => this.ledger.apply(dropToken(id, before))));
    return gone.filter(Boolean).length;
  }

  async revoke(id: string): Promise<TokenRow> {
    return await this.ledger.apply(revokeToken(id));
  }

  /** Another token with the same rights, for as long as the former was made for; that one one lasts an hour more. @throws not_found */
  async rotate(id: string): Promise<Minted> {
    const row = await this.ledger.token(id);
    if (row === null || row.kind !== "token" || !isLive(row, this.ledger.now()))
      throw new TenutoError("not_found", `there is no token ${JSON.stringify(id)} that is valid`);
    const { name, role, run, job, epoch, createdAt, expiresAt } = row;
    const forMs = expiresAt === null ? {} : { forMs: expiresAt - createdAt };
    const minted = await this.mint({ name, role, run, job, epoch, ...forMs });
    await this.ledger.apply(revokeToken(id, this.ledger.now() + ROTATION_MS));
    return minted;
  }

  /** The row of a token's text; takes as long whether there is one or not. */
  private async find(text: string): Promise<TokenRow | null> {
    const id = FORM.exec(text)?.[1];
    const row = id === undefined ? null : await this.ledger.token(id);
    const given = Buffer.from(digest(text.slice(0, 200)), "hex");
    const same = timingSafeEqual(given, Buffer.from(row?.hash ?? NO_HASH, "hex"));
    return same ? row : null;
  }

  private async stands(row: TokenRow): Promise<boolean> {
    const now = this.ledger.now();
    if (!isLive(row, now) || (row.kind === "login" && row.usedAt !== null)) return false;
    if (row.parent !== null) {
      const parent = await this.ledger.token(row.parent);
      if (parent === null || !isLive(parent, now)) return false;
    }
    if (row.job === null) return true;
    const job = await this.ledger.job(row.job);
    return job !== null && job.state === "running" && job.epoch === row.epoch;
  }
}
