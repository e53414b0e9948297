/**
 * Where a PostgreSQL ledger is, as a URL says it: server, TLS, schema, and what of it may be shown.
 *
 * Invariants: (1) `sslmode` means what libpq's documentation says, but that a server on another machine which the URL says
 * nothing about has to prove who it is (`verify-full`); (2) a password is never part of a message.
 */
import { readFileSync } from "node:fs";
import type { ConnectionOptions } from "node:tls";
import { TenutoError } from "../../core/errors.ts";

export interface Address {
  host: string | undefined;
  port: number | undefined;
  user: string | undefined;
  password: string | undefined;
  database: string | undefined;
  ssl: false | ConnectionOptions;
  /** With `sslmode=prefer`: a server without TLS is taken as well. */
  sslOptional: boolean;
  schema: string;
  /** False keeps statements unnamed, for poolers that do not follow prepared statements. */
  prepare: boolean;
  /** For messages. */
  shown: string;
}

const DEFAULT_SCHEMA = "tenuto";
const KNOWN = new Set(["schema", "sslmode", "sslrootcert", "sslcert", "sslkey", "prepare", "host", "port", "user"]);
const SSL_MODES = new Set(["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]);

function refuse(message: string, hint: string): never {
  throw new TenutoError("invalid_input", message, { hint });
}

function readOption(options: URLSearchParams, name: string): string | undefined {
  const path = options.get(name);
  if (path === null) return undefined;
  try {
    return readFileSync(path, "utf8");
  } catch (cause) {
    throw new TenutoError("invalid_input", `${name} of the database URL names a file that cannot be read: ${path}`, {
      hint: "Give the path of a PEM file.",
      cause,
    });
  }
}

/** A socket, or loopback. */
function isHere(host: string | undefined): boolean {
  return host === undefined || host.startsWith("/") || /^(localhost|127(\.\d+){3}|::1)$/.test(host);
}

/** With `sslrootcert`, `require` looks at the authority too, as libpq does. */
function tlsOf(
  options: URLSearchParams,
  host: string | undefined,
): { ssl: false | ConnectionOptions; sslOptional: boolean } {
  const mode = options.get("sslmode") ?? (isHere(host) ? "disable" : "verify-full");
  if (!SSL_MODES.has(mode)) refuse(`the database URL has sslmode=${mode}`, `Give one of ${[...SSL_MODES].join(", ")}.`);
  if (mode === "disable" || mode === "allow") return { ssl: false, sslOptional: false };
  const ca = readOption(options, "sslrootcert");
  const [cert, key] = [readOption(options, "sslcert"), readOption(options, "sslkey")];
  if (mode === "verify-ca" && ca === undefined)
    refuse("sslmode=verify-ca without sslrootcert would trust everybody", "Give sslrootcert, or use verify-full.");
  const verified = mode === "verify-full" || ca !== undefined;
  return {
    ssl: {
      rejectUnauthorized: verified,
      ...(mode === "verify-full" ? {} : { checkServerIdentity: () => undefined }),
      ...(ca === undefined ? {} : { ca }),
      ...(cert === undefined ? {} : { cert }),
      ...(key === undefined ? {} : { key }),
    },
    sslOptional: mode === "prefer",
  };
}

/** Takes a URL apart. @throws invalid_input */
export function parseAddress(url: string): Address {
  let parsed: URL;
  try {
    // A URL of a socket has no host: postgres:///name?host=/run/postgresql
    parsed = new URL(url);
  } catch {
    return refuse("the database URL cannot be read", "Write it as postgres://user:password@host:5432/name.");
  }
  if (parsed.protocol !== "postgres:" && parsed.protocol !== "postgresql:")
    refuse(`${parsed.protocol} is no URL of PostgreSQL`, "Write it as postgres://user:password@host:5432/name.");
  const options = parsed.searchParams;
  const unknown = [...options.keys()].filter((name) => !KNOWN.has(name));
  if (unknown.length > 0)
    refuse(
      `the database URL has options that Tenuto does not know: ${unknown.join(", ")}`,
      `Known: ${[...KNOWN].join(", ")}.`,
    );
  const schema = options.get("schema") ?? DEFAULT_SCHEMA;
  if (!/^[a-z_][a-z0-9_]{0,62}$/.test(schema) || schema.startsWith("pg_"))
    refuse(`schema=${schema} is no name for a schema`, "Use lower-case letters, digits and underscores.");
  const given = (text: string) => (text === "" ? undefined : decodeURIComponent(text));
  const port = options.get("port") ?? parsed.port;
  const host = options.get("host") ?? given(parsed.hostname)?.replace(/^\[(.+)\]$/, "$1");
  const database = given(parsed.pathname.slice(1));
  return {
    host,
    port: port === "" ? undefined : Number(port),
    user: options.get("user") ?? given(parsed.username),
    password: given(parsed.password),
    database,
    ...tlsOf(options, host),
    schema,
    prepare: options.get("prepare") !== "false",
    shown: `postgres://${host ?? "localhost"}${port === "" ? "" : `:${port}`}/${database ?? ""}${schema === DEFAULT_SCHEMA ? "" : `?schema=${schema}`}`,
  };
}

/** Whether a text names a PostgreSQL database rather than a file. */
export function isPostgresUrl(text: string): boolean {
  return /^postgres(ql)?:\/\//.test(text);
}
