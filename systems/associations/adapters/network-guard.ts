/** Keeps a public site from sending the crawler into a private network, by redirect or by name. */
import { lookup as lookupCallback } from "node:dns";
import { lookup } from "node:dns/promises";
import { BlockList, isIP } from "node:net";

const blocked = new BlockList();
for (const [network, bits] of [
  ["0.0.0.0", 8],
  ["10.0.0.0", 8],
  ["100.64.0.0", 10],
  ["127.0.0.0", 8],
  ["169.254.0.0", 16],
  ["172.16.0.0", 12],
  ["192.0.0.0", 24],
  ["192.168.0.0", 16],
  ["198.18.0.0", 15],
  ["224.0.0.0", 3],
] as const) {
  blocked.addSubnet(network, bits, "ipv4");
}
for (const [network, bits] of [
  ["::", 127],
  ["64:ff9b::", 96],
  ["fc00::", 7],
  ["fe80::", 10],
  ["ff00::", 8],
] as const) {
  blocked.addSubnet(network, bits, "ipv6");
}

/** True for literal addresses of private, local and special networks. Brackets of IPv6 are allowed. */
export function isPrivateAddress(host: string): boolean {
  const address = host.replace(/^\[|\]$/g, "");
  const version = isIP(address);
  // BlockList looks through ::ffff:a.b.c.d by itself.
  return version !== 0 && blocked.check(address, version === 4 ? "ipv4" : "ipv6");
}

/** False for the ports that mail, shells and other services have to themselves; empty is that of the scheme. */
export function isWebPort(port: string): boolean {
  return ["", "80", "443"].includes(port) || Number(port) >= 1_024;
}

/** True when the host, as named by the caller, is private: literally, or by what its name resolves to. */
export async function privateAddressIn(host: string): Promise<boolean> {
  const bare = host.replace(/^\[|\]$/g, "");
  if (isIP(bare) !== 0) return isPrivateAddress(bare);
  if (!/^localhost$|\.localhost$|\.local$|\.internal$|^[^.]+$/i.test(bare)) return false;
  const addresses = await lookup(bare, { all: true }).catch(() => []);
  return addresses.some(({ address }) => isPrivateAddress(address));
}

/** A resolver for sockets that refuses names leading to private addresses: what is checked is what is connected to. */
export const guardedLookup: typeof lookupCallback = ((host: string, options: any, callback: any) => {
  lookupCallback(host, { ...options, all: true }, (error: any, addresses: any) => {
    if (error) return callback(error);
    const bad = addresses.find(({ address }: { address: string }) => isPrivateAddress(address));
    if (bad !== undefined)
      return callback(Object.assign(new Error(`${host} is ${bad.address}, a private address`), { code: "EPRIVATE" }));
    if (options.all) return callback(null, addresses);
    callback(null, addresses[0].address, addresses[0].family);
  });
}) as typeof lookupCallback;
