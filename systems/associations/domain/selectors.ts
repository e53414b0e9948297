/** Selectors of schemas: CSS as it is, and the part of XPath that directories need, translated to CSS. */
import { ConfigError } from "./errors.ts";

export interface Selector {
  css: string;
  /** Attribute named by the XPath itself (`…/@href`). */
  attribute: string | null;
}

/** What to look for. @throws ConfigError for XPath beyond tag, attribute, contains(), position, `/`, `//`, `@attr` and `text()` */
export function compileSelector(source: string): Selector {
  if (!source.startsWith("//") && !source.startsWith(".//")) return { css: source, attribute: null };
  let rest = source.replace(/^\./, "");
  let css = "";
  let attribute: string | null = null;
  while (rest !== "") {
    const axis = rest.startsWith("//") ? "//" : rest.startsWith("/") ? "/" : null;
    if (axis === null) throw unsupported(source, rest);
    rest = rest.slice(axis.length);
    const ending = /^(?:@([\w:-]+)|text\(\)|normalize-space\(\))$/.exec(rest);
    if (ending !== null) {
      attribute = ending[1] ?? null;
      break;
    }
    const name = /^(?:child::|descendant::)?([\w-]+|\*)/.exec(rest);
    if (name === null) throw unsupported(source, rest);
    rest = rest.slice(name[0].length);
    css += `${css === "" ? "" : axis === "//" ? " " : " > "}${name[1]}`;
    while (rest.startsWith("[")) {
      const end = closingBracket(rest);
      if (end < 0) throw unsupported(source, rest);
      css += predicate(rest.slice(1, end).trim(), source);
      rest = rest.slice(end + 1);
    }
  }
  return { css, attribute };
}

function predicate(text: string, source: string): string {
  return text
    .split(/\s+and\s+/)
    .map((part) => {
      if (/^\d+$/.test(part)) return `:nth-of-type(${part})`;
      if (part === "last()") return ":last-of-type";
      const has = /^@([\w:-]+)$/.exec(part);
      if (has !== null) return `[${has[1]}]`;
      const equals = /^@([\w:-]+)\s*=\s*(['"])(.*)\2$/.exec(part);
      if (equals !== null) return `[${equals[1]}="${quote(equals[3]!)}"]`;
      const call = /^(contains|starts-with)\(\s*(@[\w:-]+|text\(\)|\.)\s*,\s*(['"])(.*)\3\s*\)$/.exec(part);
      if (call !== null && call[2]!.startsWith("@")) {
        return `[${call[2]!.slice(1)}${call[1] === "contains" ? "*=" : "^="}"${quote(call[4]!)}"]`;
      }
      if (call !== null && call[1] === "contains") return `:contains("${quote(call[4]!)}")`;
      throw unsupported(source, `[${part}]`);
    })
    .join("");
}

function closingBracket(text: string): number {
  let quoted: string | null = null;
  for (let index = 1; index < text.length; index++) {
    const sign = text[index]!;
    if (quoted !== null) quoted = sign === quoted ? null : quoted;
    else if (sign === '"' || sign === "'") quoted = sign;
    else if (sign === "]") return index;
  }
  return -1;
}

function quote(text: string): string {
  return text.replace(/["\\]/g, "\\$&");
}

function unsupported(source: string, rest: string): ConfigError {
  return new ConfigError(`XPath ${source} cannot be used: ${rest} is not understood`, {
    hint: "Write it as a CSS selector.",
  });
}
