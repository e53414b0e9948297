/**
 * Pipelines as YAML: the same form, the same checks, and for every problem the exact place in the file.
 *
 * Owner: authoring. Invariants:
 * 1. All problems of a file are reported at once, each with line, column, the line itself and a caret.
 * 2. YAML 1.2 with merge keys; at most 100 alias expansions and 10 MB, so that a small file can't become a large one.
 * 3. What a file means never depends on the machine: no tags, no includes, no environment.
 */
import { basename } from "node:path";
import {
  type Document,
  isMap,
  isPair,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  type Pair,
  parseDocument,
  visit,
} from "yaml";
import type { PipelineDocument } from "../core/document.ts";
import { TenutoError } from "../core/errors.ts";
import { validateDocument } from "../core/pipeline.ts";
import { type Problem, pathSegments, problem, type Segment } from "../core/shape.ts";
import { type Pipeline, pipelineFromDocument } from "./define.ts";
import { asWritten, normaliseGraph } from "./normalise.ts";
import { paramsSchemaOf } from "./params-form.ts";

const MAX_CHARS = 10 * 1024 * 1024;
const MAX_ALIASES = 100;

/** A problem with its place in the file; lines and columns count from 1. */
export interface PlacedProblem extends Problem {
  file: string;
  line: number;
  column: number;
  /** The line, and a caret below the place. */
  excerpt: string;
}

interface Source {
  text: string;
  file: string;
  lines: LineCounter;
}

/**
 * The pipeline that a YAML text declares; `file` names it in errors and is where its relative paths begin.
 * @throws invalid_definition, `details.problems` being a list of PlacedProblem
 */
export function loadYamlPipeline(text: string, options: { file: string }): Pipeline {
  const source: Source = { text, file: options.file, lines: new LineCounter() };
  if (text.length > MAX_CHARS)
    throw yamlError(source, [placed(source, problem([], "is larger than 10 MB", "Put data into files."), 0)]);
  const { document, value } = parse(source);
  const problems: Problem[] = [];
  const pipeline = documentOf(value, problems);
  if (pipeline === null || problems.length > 0) {
    throw yamlError(
      source,
      problems.map((found) => placed(source, found, locate(document, found))),
    );
  }
  return pipelineFromDocument(pipeline, options.file);
}

/** What a YAML text holds, read with the same care; null if it can't be read as YAML at all. */
export function valueInYaml(text: string, options: { file: string }): unknown {
  if (text.length > MAX_CHARS) return null;
  try {
    return parse({ text, file: options.file, lines: new LineCounter() }).value;
  } catch {
    // Whoever loads it as a pipeline says what is wrong with it.
    return null;
  }
}

function documentOf(value: unknown, problems: Problem[]): PipelineDocument | null {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    const found = value === null ? "is empty" : "must be a map of keys";
    problems.push(problem([], found, "Begin with name: and stages:."));
    return null;
  }
  const form: Record<string, unknown> = { ...value };
  if (form.params !== undefined) {
    const params = paramsSchemaOf(form.params, problems);
    if (params === undefined) delete form.params;
    else form.params = params;
  }
  const normalised = normaliseGraph(form);
  problems.push(
    ...(normalised.document === null ? normalised.problems : asWritten(validateDocument(normalised.document), form)),
  );
  return normalised.document;
}

function parse(source: Source): { document: Document; value: unknown } {
  try {
    const document = parseDocument(source.text, {
      lineCounter: source.lines,
      prettyErrors: false,
      merge: true,
      uniqueKeys: true,
      logLevel: "error",
    });
    const errors = [...document.errors, ...document.warnings];
    // The parser reports its own exhausted stack as one error per bracket.
    if (errors.some((error) => error.message.includes("call stack"))) throw new RangeError("nested too deeply");
    const found = errors.map((error) => {
      const { message, hint } = explain(error.code, error.message);
      return placed(source, problem([], message, hint), error.pos[0]);
    });
    if (found.length === 0) found.push(...oddKeys(source, document));
    if (found.length > 0) throw yamlError(source, found);
    return { document, value: document.toJS({ maxAliasCount: MAX_ALIASES }) };
  } catch (error) {
    if (error instanceof TenutoError) throw error;
    throw yamlError(source, [unreadable(source, error as Error)]);
  }
}

/** The parser's own failures: exhausted stack, too many aliases, an alias without its anchor. */
function unreadable(source: Source, error: Error): PlacedProblem {
  const alias = /^Unresolved alias[^:]*: (\S+)/.exec(error.message)?.[1];
  if (alias !== undefined) {
    const hint = `Define &${alias} before it is used, or put quotes around a text that begins with *.`;
    return placed(
      source,
      problem([], `there is no anchor "${alias}"`, hint),
      Math.max(0, source.text.indexOf(`*${alias}`)),
    );
  }
  const aliases = `expands more than ${MAX_ALIASES} aliases`;
  const message =
    error instanceof RangeError
      ? "is nested too deeply"
      : error instanceof ReferenceError
        ? aliases
        : `can't be read: ${error.message}`;
  return placed(source, problem([], message, "Write it out, or put data into files."), 0);
}

/** Keys that are maps or lists: what YAML makes of a placeholder without quotes. */
function oddKeys(source: Source, document: Document): PlacedProblem[] {
  const found: PlacedProblem[] = [];
  visit(document, {
    Pair(_, { key }) {
      if (!isMap(key) && !isSeq(key)) return;
      const [start, end] = [key.range?.[0] ?? 0, key.range?.[1] ?? 0];
      const hint = `Put a placeholder in quotes: "{${source.text.slice(start, end).slice(0, 60)}}".`;
      found.push(placed(source, problem([], "a map or list can't be a key", hint), Math.max(0, start - 1)));
    },
  });
  return found;
}

/** The parser's messages in the words of this project. */
function explain(code: string, message: string): { message: string; hint: string } {
  switch (code) {
    case "DUPLICATE_KEY":
      return { message: "this key is there twice in one map", hint: "Keep one of them." };
    case "MULTIPLE_DOCS":
      return { message: "there is more than one document in the file", hint: "Write one pipeline per file." };
    case "TAB_AS_INDENT":
      return { message: "a tab is used for indentation", hint: "Indent with spaces." };
    case "TAG_RESOLVE_FAILED":
      return {
        message: message.replace(/^Unresolved tag: /, "unknown tag "),
        hint: "Tags are not used here; remove it.",
      };
    case "BAD_ALIAS":
      return { message, hint: "Define the anchor (&name) before it is used." };
    case "MISSING_CHAR":
    case "BLOCK_AS_IMPLICIT_KEY":
    case "UNEXPECTED_TOKEN":
      return { message, hint: "Check quotes, brackets and colons here; text that begins with {{ needs quotes." };
    default:
      return { message, hint: "Check the YAML syntax here." };
  }
}

/** Offset in the text of what a problem's path points to, or of the nearest thing above it that was written. */
function locate(document: Document, found: Problem): number {
  let node: unknown = document.contents;
  let offset = startOf(node);
  const segments = pathSegments(found.path);
  const isKeyProblem = found.message.startsWith("unknown key");
  for (let i = 0; i < segments.length; i++) {
    const segment = segments[i]!;
    const pair = pairOf(node, segment);
    if (pair !== undefined) {
      const last = i === segments.length - 1;
      offset =
        startOf(last && (isKeyProblem || !hasRange(pair.value)) ? pair.key : pair.value) ?? startOf(pair.key) ?? offset;
      node = pair.value;
      continue;
    }
    if (isSeq(node) && typeof segment === "number" && segment < node.items.length) {
      node = node.items[segment];
      offset = startOf(node) ?? offset;
    }
    // A step that only the document has (`jobs:` without stages, a list for argv, env beside shell): stay and go on.
  }
  return offset ?? 0;
}

function pairOf(node: unknown, key: Segment): Pair | undefined {
  if (!isMap(node)) return undefined;
  return node.items.find((pair) => isPair(pair) && isScalar(pair.key) && String(pair.key.value) === String(key));
}

function hasRange(node: unknown): boolean {
  return startOf(node) !== undefined && !(isScalar(node) && node.value === null);
}

function startOf(node: unknown): number | undefined {
  return (node as Node | null | undefined)?.range?.[0];
}

function placed(source: Source, found: Problem, offset: number): PlacedProblem {
  const { line, col } = source.lines.linePos(Math.min(offset, source.text.length));
  const at = { line: Math.max(1, line), column: Math.max(1, col) };
  return { ...found, file: source.file, ...at, excerpt: excerptOf(source, at.line, at.column) };
}

function excerptOf(source: Source, line: number, column: number): string {
  const start = source.lines.lineStarts[line - 1] ?? 0;
  const end = source.text.indexOf("\n", start);
  const whole = source.text
    .slice(start, end < 0 ? undefined : end)
    .replace(/\r$/, "")
    .replaceAll("\t", " ");
  const from = column > 100 ? column - 60 : 0;
  const shown = `${from > 0 ? "…" : ""}${whole.slice(from, from + 120)}${whole.length > from + 120 ? "…" : ""}`;
  const number = String(line);
  const indent = " ".repeat(column - 1 - from + (from > 0 ? 1 : 0));
  return `  ${number} | ${shown}\n  ${" ".repeat(number.length)} | ${indent}^`;
}

function yamlError(source: Source, problems: PlacedProblem[]): TenutoError {
  const sorted = problems.toSorted((a, b) => a.line - b.line || a.column - b.column);
  const blocks = sorted.slice(0, 50).map(({ file, line, column, path, message, hint, excerpt }) => {
    return `${file}:${line}:${column}: ${path === "" ? "" : `${path}: `}${message}. ${hint}\n${excerpt}`;
  });
  if (sorted.length > 50) blocks.push(`… and ${sorted.length - 50} more`);
  const count = sorted.length === 1 ? "1 problem" : `${sorted.length} problems`;
  return new TenutoError("invalid_definition", `${basename(source.file)} has ${count}:\n${blocks.join("\n")}`, {
    hint: "Nothing was started or stored.",
    details: { file: source.file, problems: sorted },
  });
}
