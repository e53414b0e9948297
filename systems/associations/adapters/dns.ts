/**
 * Does a domain exist, as far as DNS can say: mail servers, else addresses.
 *
 * "No" needs an answer that says so (the name does not exist, or has neither). No answer, a failing server or a refusal is "not known".
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
}

export interface Dns {
  check(domain: string): Promise<DomainFinding>;
}

const SAYS_NO = new Set(["ENOTFOUND", "ENODATA"]);
const TIMEOUT_MS = 5_000;

export function createDns({ servers, timeoutMs = TIMEOUT_MS, tries = 2 }: DnsOptions = {}): Dns {
  const resolver = new Resolver({ timeout: timeoutMs, tries });
  if (servers !== undefined) resolver.setServers(servers);

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
    async check(domain) {
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
    },
  };
}
