/**
 * What PostgreSQL raises, sorted by what may be done about it, and in Tenuto's words.
 *
 * Invariant: whatever is `LostConnection` with `sent` false has changed nothing; with `sent` true nobody can tell, and whoever
 * asked has to look at the rows before asking again.
 */
import { TenutoError } from "../../core/errors.ts";

/** The connection is gone, or was never there. */
export class LostConnection extends Error {
  /** Whether statements had been sent that may have been committed. */
  readonly sent: boolean;

  constructor(message: string, sent: boolean, cause?: unknown) {
    super(message, { cause });
    this.name = "LostConnection";
    this.sent = sent;
  }
}

/** The five characters that PostgreSQL sends with each error; a code of Node for errors of the socket. */
export function codeOf(error: unknown): string {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === "string" ? code : "";
}

/** Deadlock, serialization failure, a lock or a plan that was not to be had: the same again may succeed. */
export function isConflict(error: unknown): boolean {
  return /^(40P01|40001|40000|55P03)$/.test(codeOf(error));
}

/** A unique index has refused a row; with `index`, this one. */
export function isDuplicate(error: unknown, index?: string): boolean {
  if (codeOf(error) !== "23505") return false;
  return index === undefined || (error as { constraint?: string }).constraint === index;
}

/** A prepared statement is unknown to the server, known under another text, or its plan is out of date. */
export function isStalePlan(error: unknown): boolean {
  const code = codeOf(error);
  return code === "26000" || code === "42P05" || (code === "0A000" && /cached plan/.test(String(error)));
}

/** The server ends this connection, or has become a standby: what it was asked is not done, another connection may be had. */
export function endsConnection(error: unknown): boolean {
  const code = codeOf(error);
  return code.startsWith("08") || /^(57P0[1-5]|25006|25P03|58000|F0000)$/.test(code);
}

/** Errors while connecting that pass: a server that restarts, a full house, a name that is not resolved just now. */
export function mayConnectLater(error: unknown): boolean {
  const code = codeOf(error);
  if (code === "") return /terminated|timeout|closed|ended/i.test(String(error));
  return (
    endsConnection(error) ||
    code.startsWith("53") ||
    /^(ECONNREFUSED|ECONNRESET|ETIMEDOUT|EPIPE|EHOSTUNREACH|ENETUNREACH|EHOSTDOWN|EAI_AGAIN|ENOENT)$/.test(code)
  );
}

interface Words {
  code: "disk_full" | "ledger_corrupt" | "ledger_unavailable" | "internal";
  text: string;
  hint: string;
  category?: "critical" | "retryable";
}

/** What comes in the way of a connection and does not pass by itself. */
function wordsForRefusal(code: string, text: string): Words | null {
  if (/does not support SSL/.test(text))
    return {
      code: "ledger_unavailable",
      text: "does not speak TLS",
      hint: "Set up TLS on the server, or add sslmode=disable to the URL if nobody else can listen on the way there.",
      category: "critical",
    };
  if (/client password must be a/.test(text))
    return {
      code: "ledger_unavailable",
      text: "asks for a password, and none is given",
      hint: "Set PGPASSWORD, or write it into ~/.pgpass or the URL.",
      category: "critical",
    };
  if (/CERT|UNABLE_TO_|ERR_TLS/.test(code))
    return {
      code: "ledger_unavailable",
      text: "has a certificate that is not trusted",
      hint: "Give the file of who has signed it as sslrootcert in the URL.",
      category: "critical",
    };
  return null;
}

function wordsFor(code: string, error: unknown): Words | null {
  if (code === "53100" || code === "58030")
    return {
      code: "disk_full",
      text: "cannot be written",
      hint: "Free space on the database server's disk; work goes on by itself afterwards.",
      category: "critical",
    };
  // Also as the cause of a connection that was not to be had.
  if (code === "53300" || codeOf((error as Error | null)?.cause) === "53300")
    return {
      code: "ledger_unavailable",
      text: "has no connection left",
      hint: "Each worker needs about ten: raise max_connections, or put PgBouncer in transaction mode between.",
      category: "retryable",
    };
  if (error instanceof LostConnection || mayConnectLater(error))
    return {
      code: "ledger_unavailable",
      text: "cannot be reached",
      hint: "Check that PostgreSQL runs and that this machine may connect; work goes on by itself afterwards.",
      category: "retryable",
    };
  const refused = wordsForRefusal(code, String(error));
  if (refused !== null) return refused;
  if (code.startsWith("XX"))
    return {
      code: "ledger_corrupt",
      text: "is damaged",
      hint: "Look into the server's log; restore a backup if its disk has failed.",
      category: "critical",
    };
  if (code === "42501")
    return {
      code: "ledger_unavailable",
      text: "refuses this role",
      hint: "Grant the rights of docs/guides/postgres.md to the role.",
      category: "critical",
    };
  if (code.startsWith("28") || code === "3D000" || code === "42P01" || code === "3F000")
    return {
      code: "ledger_unavailable",
      text: "cannot be used",
      hint: "Check user, password, database and schema of the URL.",
      category: "critical",
    };
  if (code.startsWith("22") || code.startsWith("23"))
    return {
      code: "internal",
      text: "refused an impossible change",
      hint: "This is a fault in Tenuto; please report it.",
    };
  return null;
}

/** An error of PostgreSQL in Tenuto's words; anything else as it is. `where` names the database without its password. */
export function storageError(error: unknown, where: string): Error {
  if (error instanceof TenutoError) return error;
  const text = error instanceof Error ? error.message : String(error);
  const code = codeOf(error);
  const words = wordsFor(code, error);
  if (words !== null)
    return new TenutoError(words.code, `the ledger ${where} ${words.text}: ${text}`, {
      hint: words.hint,
      ...(words.category === undefined ? {} : { category: words.category }),
      cause: error,
    });
  if (/^[0-9A-Z]{5}$/.test(code))
    return new TenutoError("ledger_unavailable", `the ledger ${where} refused a change: ${text}`, {
      category: "critical",
      details: { sqlstate: code },
      cause: error,
    });
  return error instanceof Error ? error : new Error(text);
}
