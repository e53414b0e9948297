/**
 * File names from ids: readable, safe on every file system, and never the same for two ids.
 *
 * Owner: logs. Letters a–z, digits, `-` and `_` stay; every other byte becomes `%XX`, upper-case letters stay too.
 * 1. A name gets `~` and a hash when it could meet another one on a file system that ignores case, when it is long, or
 *    when Windows reserves it. No plain name holds `~`.
 */
import { hash } from "node:crypto";

const MAX_CHARS = 100;
const RESERVED = /^(?:con|prn|aux|nul|com\d|lpt\d)$/;

/** A file name without dots and separators. */
export function fileNameOf(id: string): string {
  let name = "";
  for (const byte of Buffer.from(id)) {
    const char = String.fromCharCode(byte);
    name += /[A-Za-z0-9_-]/.test(char) ? char : `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
  }
  const ambiguous = /[A-Z]/.test(name.replaceAll(/%[0-9A-F]{2}/g, ""));
  if (!ambiguous && name !== "" && name.length <= MAX_CHARS && !RESERVED.test(name)) return name;
  return `${name.slice(0, MAX_CHARS)}~${hash("sha256", id).slice(0, 12)}`;
}

/** The file of one attempt's raw output, below the run's folder. */
export function outputNameOf(job: string, attempt: number, item: number | null): string {
  return `${fileNameOf(job)}.${attempt}${item === null ? "" : `.${item}`}.out`;
}
