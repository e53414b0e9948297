/**
 * Colours of terminals as classes. Only SGR is understood; all other control sequences and characters are dropped.
 *
 * Invariant: what comes out are text nodes in spans whose class is one of a fixed list.
 */
import type { ReactNode } from "react";

const SEQUENCE =
  /\u001b\[([0-9;:]*)m|\u001b\[[0-?]*[ -/]*[@-~]|\u001b[\]PX^_][^\u0007\u001b\u009c]*(?:\u0007|\u001b\\|\u009c|$)|\u001b.?/g;

const CONTROLS = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g;
const NAMES = ["black", "red", "green", "yellow", "blue", "magenta", "cyan", "white"];

interface Style {
  color: string;
  bold: boolean;
  dim: boolean;
  italic: boolean;
  underline: boolean;
}
const PLAIN: Style = { color: "", bold: false, dim: false, italic: false, underline: false };

export function Ansi({ text, find = "" }: { text: string; find?: string }): ReactNode {
  if (!text.includes("\u001b")) return marked(text.replace(CONTROLS, ""), find);
  const parts: ReactNode[] = [];
  let style = PLAIN;
  let from = 0;
  const push = (piece: string) => {
    const clean = piece.replace(CONTROLS, "");
    if (clean === "") return;
    const name = classOf(style);
    parts.push(
      <span key={parts.length} className={name === "" ? undefined : name}>
        {marked(clean, find)}
      </span>,
    );
  };
  for (const match of text.matchAll(SEQUENCE)) {
    push(text.slice(from, match.index));
    from = match.index + match[0].length;
    if (match[1] !== undefined) style = styled(style, match[1]);
  }
  push(text.slice(from));
  return parts;
}

/** Without sequences and control characters, for copying. */
export function plainText(text: string): string {
  return text.replace(SEQUENCE, "").replace(CONTROLS, "");
}

function marked(text: string, find: string): ReactNode {
  if (find === "") return text;
  const parts: ReactNode[] = [];
  const low = text.toLowerCase();
  const wanted = find.toLowerCase();
  let from = 0;
  for (let at = low.indexOf(wanted); at >= 0; at = low.indexOf(wanted, from)) {
    parts.push(text.slice(from, at), <mark key={at}>{text.slice(at, at + wanted.length)}</mark>);
    from = at + wanted.length;
  }
  parts.push(text.slice(from));
  return parts;
}

function classOf(style: Style): string {
  const names: string[] = [];
  if (style.color !== "") names.push(`a-${style.color}`);
  for (const name of ["bold", "dim", "italic", "underline"] as const) if (style[name]) names.push(`a-${name}`);
  return names.join(" ");
}

function styled(before: Style, codes: string): Style {
  let style = before;
  const list = codes.split(/[;:]/).map(Number);
  for (let i = 0; i < list.length; i++) {
    const code = list[i] as number;
    if (code === 0) style = PLAIN;
    else if (code === 1) style = { ...style, bold: true };
    else if (code === 2) style = { ...style, dim: true };
    else if (code === 3) style = { ...style, italic: true };
    else if (code === 4) style = { ...style, underline: true };
    else if (code === 22) style = { ...style, bold: false, dim: false };
    else if (code === 23) style = { ...style, italic: false };
    else if (code === 24) style = { ...style, underline: false };
    else if (code === 39) style = { ...style, color: "" };
    else if (code === 38 || code === 48) i += list[i + 1] === 5 ? 2 : 4;
    else if ((code >= 30 && code <= 37) || (code >= 90 && code <= 97))
      style = { ...style, color: NAMES[code % 10] as string };
  }
  return style;
}
