/** YAML files with the places of what stands in them, so that a fault is named by file, line and key. */
import { readFileSync } from "node:fs";
import { LineCounter, parseDocument } from "yaml";
import { dotted } from "../domain/config-issues.ts";
import { ConfigError } from "../domain/errors.ts";

export interface YamlFile {
  path: string;
  content: unknown;
  /** `line:column` of what a path names, or of the nearest thing around it. */
  placeOf(path: readonly (string | number)[]): string;
}

/** The file; null when it is not there. @throws ConfigError with the place where it is no YAML */
export function readYamlFile(path: string): YamlFile | null {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    if ((error as { code?: string }).code === "ENOENT") return null;
    throw new ConfigError(`${path} cannot be read: ${(error as Error).message}`, { cause: error });
  }
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const place = (offset: number): string => {
    const { line, col } = lines.linePos(offset);
    return `${line}:${col}`;
  };
  const fault = document.errors[0];
  if (fault !== undefined) throw new ConfigError(`${path}:${place(fault.pos[0])}: ${fault.message}`);
  return {
    path,
    content: document.toJS() ?? {},
    placeOf(where) {
      for (let length = where.length; length > 0; length--) {
        const offset = keyOffset(document, where.slice(0, length));
        if (offset !== undefined) return place(offset);
      }
      return "1:1";
    },
  };
}

/** Where the key of an entry begins; of a list's element, the element. */
function keyOffset(document: any, path: readonly (string | number)[]): number | undefined {
  const parent = path.length === 1 ? document.contents : document.getIn(path.slice(0, -1), true);
  const last = path.at(-1);
  const items: any[] = parent?.items ?? [];
  const pair = items.find((item) => item?.key !== undefined && String(item.key?.value ?? item.key) === String(last));
  return (pair?.key ?? (typeof last === "number" ? items[last] : undefined))?.range?.[0];
}

/** Runs a check of a file's content; its faults come back with file and line. @throws ConfigError */
export function checked<T>(file: YamlFile, check: (content: unknown) => T): T {
  try {
    return check(file.content);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    if (error.issues.length === 0)
      throw new ConfigError(`${file.path}: ${error.message}`, {
        ...(error.hint === undefined ? {} : { hint: error.hint }),
        cause: error,
      });
    const lines = error.issues.map(
      ({ path, message }) => `${file.path}:${file.placeOf(path)}: ${dotted(path)} ${message}`,
    );
    throw new ConfigError(lines.join("\n"), { issues: error.issues, cause: error });
  }
}
