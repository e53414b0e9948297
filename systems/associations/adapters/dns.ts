/**
 * Does a domain exist, as far as DNS can say: mail servers, else addresses.
 *
 * 1. "No" needs an answer that says so (the name does not exist, or has neither). No answer, a failing server or a refusal is "not known".
 * 2. A server that does not know names which surely exist (in a closed network it may say "no" to everything, or nothing at all) is not
 *    believed, and not asked again for half a minute: ten thousand domains would otherwise wait ten seconds each.
 */
import { Resolver } from "node:dns/promises";

export interface DomainFinding {
  /** null: not known. */
  valid: boolean | null;
  method: "mx" | "a" | null;
  /** Mail servers by preference. */
  mail_servers: string[];
  reason: string | null;
}

export interface DnsOptions {
  /** `address` or `address:port`; default: those of the system. */
  servers?: readonly string[];
  timeoutMs?: number;
  tries?: number;
  /** Names that surely exist. Default: two of them for the servers of the system; servers that are named are believed. */
  witnesses?: readonly string[];
  /** Milliseconds, for how long a server is not believed. */
  now?: () => number;
}

export interface Dns {
  check(domain: string): Promise<DomainFinding>;
  /** True where the name server knows no name at all. */
  cutOff(): Promise<boolean>;
}

let ofSystem: Dns | undefined;

/** By the name servers of the system; one for the process. */
export function systemDns(): Dns {
  return (ofSystem ??= createDns());
}

const SAYS_NO = new Set(["ENOTFOUND", "ENODATA"]);
const TIMEOUT_MS = 5_000;
const WITNESSES = ["example.com", "iana.org"];
const WITNESS_TIMEOUT_MS = 3_000;
const HOLDS_MS = 30_000;
const CUT_OFF = "the name server does not know names that surely exist";

export function createDns({
  servers,
  timeoutMs = TIMEOUT_MS,
  tries = 2,
  witnesses = servers === undefined ? WITNESSES : [],
  now = () => performance.now(),
}: DnsOptions = {}): Dns {
  const resolver = new Resolver({ timeout: timeoutMs, tries });
  const asker = new Resolver({ timeout: Math.min(timeoutMs, WITNESS_TIMEOUT_MS), tries });
  if (servers !== undefined) for (const one of [resolver, asker]) one.setServers(servers);
  const cutOff = watch(witnesses, async (name) => (await asker.resolve4(name)).length > 0, now);

  /** The answer, empty for a "no"; null where there was none. */
  const ask = async <T>(work: () => Promise<T[]>): Promise<T[] | { unknown: string }> => {
    try {
      return await work();
    } catch (error) {
      const code = (error as { code?: string }).code ?? "unknown";
      return SAYS_NO.has(code) ? [] : { unknown: code };
    }
  };

  return {
    cutOff: () => cutOff.ask(),
    async check(domain) {
      if (cutOff.known()) return { ...NOT_KNOWN, reason: CUT_OFF };
      const finding = await look(domain);
      // A "yes" needs no witness.
      return finding.valid !== true && (await cutOff.ask()) ? { ...NOT_KNOWN, reason: CUT_OFF } : finding;
    },
  };

  async function look(domain: string): Promise<DomainFinding> {
    const mx = await ask(() => resolver.resolveMx(domain));
    // A single "." says that the domain takes no mail (RFC 7505).
    const servers = Array.isArray(mx) ? mx.filter(({ exchange }) => exchange !== "" && exchange !== ".") : [];
    if (servers.length > 0) {
      servers.sort((a, b) => a.priority - b.priority || (a.exchange < b.exchange ? -1 : 1));
      return { valid: true, method: "mx", mail_servers: servers.map(({ exchange }) => exchange), reason: null };
    }
    const v4 = await ask(() => resolver.resolve4(domain));
    const addresses = Array.isArray(v4) && v4.length > 0 ? v4 : await ask(() => resolver.resolve6(domain));
    if (Array.isArray(addresses) && addresses.length > 0) {
      return { valid: true, method: "a", mail_servers: [], reason: null };
    }
    const unknown = [mx, v4, addresses].find((answer) => !Array.isArray(answer)) as { unknown: string } | undefined;
    if (unknown !== undefined) return { valid: null, method: null, mail_servers: [], reason: unknown.unknown };
    return { valid: false, method: null, mail_servers: [], reason: "no mail server and no address" };
  }
}

const NOT_KNOWN = { valid: null, method: null, mail_servers: [] };

interface Watch {
  /** True where it was found out lately that the server knows no witness. */
  known(): boolean;
  /** Finds it out; whoever asks while that is under way gets the same answer. */
  ask(): Promise<boolean>;
}

function watch(witnesses: readonly string[], answers: (name: string) => Promise<boolean>, now: () => number): Watch {
  let latest: { cutOff: boolean; until: number } | null = null;
  let asking: Promise<boolean> | null = null;
  const current = () => (latest !== null && now() < latest.until ? latest.cutOff : null);
  const find = async () => {
    const found = await Promise.all(witnesses.map((name) => answers(name).catch(() => false)));
    latest = { cutOff: found.length > 0 && !found.includes(true), until: now() + HOLDS_MS };
    asking = null;
    return latest.cutOff;
  };
  return {
    known: () => current() === true,
    ask: async () => current() ?? (asking ??= find()),
  };
}
