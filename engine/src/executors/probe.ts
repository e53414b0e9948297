/**
 * The ProcessProbe port on this machine: identity by pid, start time, the kernel's boot id and the namespace in which pids
 * count; never by pid alone.
 */
import { readFileSync, readlinkSync } from "node:fs";
import { hostname } from "node:os";
import type { ProcessProbe } from "../ports/executor.ts";
import { endOrphans } from "./orphans.ts";
import { HAS_PROC, readProcess, startOf } from "./procfs.ts";

/**
 * `manyMachines`: the ledger is shared by machines, of which two may have one name: another boot id is then another machine
 * that may live, while beside a file it is this machine before it was started anew.
 */
export function createProbe({ manyMachines = false } = {}): ProcessProbe {
  const machine = `${bootId()}${pidNamespace()}`;
  const self = { host: hostname(), machine, pid: process.pid, pidStart: startOf(process.pid) };
  return {
    self: () => self,
    alive: (identity) => {
      if (identity.host !== self.host) return null;
      if (bootOf(identity.machine) !== bootOf(machine)) return manyMachines ? null : false;
      // Another container of this machine, or a row from before namespaces were told apart.
      if (identity.machine !== machine && identity.machine.includes("/")) return null;
      if (!HAS_PROC) return existsWithoutProc(identity.pid);
      const entry = entryOf(identity.pid);
      if (entry === "unknown") return null;
      return entry?.live === true && startOf(identity.pid) === identity.pidStart;
    },
    endOrphans: async (identities, prefixes) =>
      (await endOrphans(identities, { prefixes })).filter((result) => result.outcome === "ended").length,
  };
}

/** `unknown` when this process is short of file descriptors. */
function entryOf(pid: number): ReturnType<typeof readProcess> | "unknown" {
  try {
    return readProcess(pid);
  } catch {
    return "unknown";
  }
}

const bootOf = (machine: string): string | undefined => machine.split("/")[0];

/** With a slash before it; empty where the system has none. */
function pidNamespace(): string {
  try {
    return `/${readlinkSync("/proc/self/ns/pid").replaceAll(/\D/g, "")}`;
  } catch {
    return "";
  }
}

function bootId(): string {
  try {
    return readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
  } catch {
    return "";
  }
}

/** Without /proc a living pid may be another process, so only its absence is certain. */
function existsWithoutProc(pid: number): boolean | null {
  try {
    process.kill(pid, 0);
    return null;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "ESRCH" ? false : null;
  }
}
