/** The ProcessProbe port on this machine: identity by pid, start time and the kernel's boot id; never by pid alone. */
import { readFileSync } from "node:fs";
import { hostname } from "node:os";
import type { ProcessProbe } from "../ports/executor.ts";
import { endOrphans } from "./orphans.ts";
import { HAS_PROC, readProcess, startOf } from "./procfs.ts";

export function createProbe(): ProcessProbe {
  const machine = bootId();
  const self = { host: hostname(), machine, pid: process.pid, pidStart: startOf(process.pid) };
  return {
    self: () => self,
    alive: (identity) => {
      if (identity.host !== self.host) return null;
      if (identity.machine !== machine) return false;
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
