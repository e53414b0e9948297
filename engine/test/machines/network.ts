/**
 * Machines as network namespaces: each one has an interface of its own on one bridge, and a namespace of process ids, so that
 * it is another machine for Tenuto too. Links are cut as a pulled cable cuts them: nobody is told.
 *
 * Invariants: (1) nothing outside of the namespaces made here is touched, and they go with `close`; (2) names and addresses
 * are this test's own.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";

/** Each process of a machine that is started anew begins to count there: no two bodies have the same id. */
const PIDS_APART = 20_000;
const MOST_PIDS = 4_000_000;

const ip = (...args: string[]) => execFileSync("ip", args, { stdio: ["ignore", "ignore", "pipe"] });

/** Why there can be no such networks here; null if there can. */
export function noNetworks(): string | null {
  if (process.platform !== "linux") return "network namespaces are Linux's";
  if (process.getuid?.() !== 0) return "network namespaces need root";
  const probe = `tenuto-${randomBytes(4).toString("hex")}`;
  const tried = spawnSync("sh", [
    "-c",
    `ip netns add ${probe} && ip -n ${probe} link add br0 type bridge && ip netns exec ${probe} unshare --pid --fork --mount-proc setpriv --clear-groups true; code=$?; ip netns del ${probe}; exit $code`,
  ]);
  return tried.status === 0 ? null : `ip, unshare or setpriv cannot be used: ${tried.stderr}`;
}

export class Network {
  private readonly id = randomBytes(3).toString("hex");
  private readonly names: string[] = [];
  private readonly hub: string;
  private started = 0;

  constructor() {
    this.hub = this.namespace("hub");
    ip("netns", "add", this.hub);
    ip("-n", this.hub, "link", "add", "br0", "type", "bridge");
    ip("-n", this.hub, "link", "set", "br0", "up");
  }

  private namespace(name: string): string {
    return `tenuto-${this.id}-${name}`;
  }

  /** A new machine; its address. */
  add(name: string): string {
    const namespace = this.namespace(name);
    const address = `10.213.7.${this.names.push(name)}`;
    ip("netns", "add", namespace);
    ip("-n", this.hub, "link", "add", `to-${name}`, "type", "veth", "peer", "name", "eth0", "netns", namespace);
    ip("-n", this.hub, "link", "set", `to-${name}`, "master", "br0", "up");
    ip("-n", namespace, "link", "set", "lo", "up");
    ip("-n", namespace, "addr", "add", `${address}/24`, "dev", "eth0");
    ip("-n", namespace, "link", "set", "eth0", "up");
    return address;
  }

  cut(name: string): void {
    ip("-n", this.hub, "link", "set", `to-${name}`, "down");
  }

  mend(name: string): void {
    ip("-n", this.hub, "link", "set", `to-${name}`, "up");
  }

  /** What a command has to be preceded by to run on that machine's network. */
  on(name: string): string[] {
    return ["ip", "netns", "exec", this.namespace(name)];
  }

  /** The same with processes of its own: all of them end with the one that is started so. */
  machine(name: string): string[] {
    this.started += 1;
    const first = String((this.started * PIDS_APART) % MOST_PIDS);
    const script = 'echo "$0" > /proc/sys/kernel/ns_last_pid; "$@"; exit $?';
    return [...this.on(name), "unshare", "--pid", "--fork", "--mount-proc", "--kill-child", "sh", "-c", script, first];
  }

  close(): void {
    for (const name of this.names) spawnSync("ip", ["netns", "del", this.namespace(name)]);
    spawnSync("ip", ["netns", "del", this.hub]);
  }
}
