/** On which kind of file system a place lies, or would lie: asked before any folder is made. */
import { existsSync, statfsSync } from "node:fs";
import { dirname } from "node:path";

/** Making a folder with all above it never ends there, as the kernel's answer is neither yes nor no. */
const KERNEL: ReadonlyMap<number, string> = new Map([
  [0x9fa0, "/proc of the kernel"],
  [0x62656572, "/sys of the kernel"],
]);

/** Where SQLite's locks do not hold. */
const WITHOUT_LOCKS: ReadonlyMap<number, string> = new Map([
  ...KERNEL,
  [0x6969, "NFS"],
  [0x517b, "SMB"],
  [0xff534d42, "CIFS"],
  [0xfe534d42, "SMB2"],
  [0x01021997, "9p"],
  [0x53464846, "WSL drvfs"],
]);

export function filesystemWithoutLocks(folder: string): string | undefined {
  return WITHOUT_LOCKS.get(typeOf(folder));
}

export function kernelFilesystem(folder: string): string | undefined {
  return KERNEL.get(typeOf(folder));
}

/** Of the folder, or of the nearest one above it that exists. */
function typeOf(folder: string): number {
  let there = folder;
  while (!existsSync(there) && dirname(there) !== there) there = dirname(there);
  return statfsSync(there).type >>> 0;
}
