/**
 * Markdown as elements of a fixed list: headings, paragraphs, lists, code, quotes, tables as text, emphasis, links.
 *
 * Invariants: (1) no markup of the text is taken over; (2) a link goes to http or https only, without opener.
 */
import type { ReactNode } from "react";

const INLINE = /`([^`]+)`|\*\*([^*]+)\*\*|\*([^*\s][^*]*)\*|\[([^\]]*)\]\(([^)\s]+)\)/g;

function inline(text: string): ReactNode[] {
  const parts: ReactNode[] = [];
  let from = 0;
  for (const match of text.matchAll(INLINE)) {
    parts.push(text.slice(from, match.index));
    from = match.index + match[0].length;
    const [whole, code, strong, soft, label, target = ""] = match;
    const key = match.index;
    if (code !== undefined) parts.push(<code key={key}>{code}</code>);
    else if (strong !== undefined) parts.push(<strong key={key}>{strong}</strong>);
    else if (soft !== undefined) parts.push(<em key={key}>{soft}</em>);
    else if (/^https?:\/\//i.test(target))
      parts.push(
        <a key={key} href={target} target="_blank" rel="noopener noreferrer nofollow">
          {label}
        </a>,
      );
    else parts.push(whole);
  }
  parts.push(text.slice(from));
  return parts;
}

type Block =
  | { kind: "heading"; level: number; text: string }
  | { kind: "code" | "text" | "quote" | "plain"; text: string }
  | { kind: "list"; lines: string[] };

function blocksOf(text: string): Block[] {
  const blocks: Block[] = [];
  const lines = text.replaceAll("\r", "").split("\n");
  for (let i = 0; i < lines.length; i++) {
    const line = lines[i] as string;
    const heading = /^(#{1,6})\s+(.*)$/.exec(line);
    if (/^```/.test(line)) {
      const code: string[] = [];
      for (i += 1; i < lines.length && !/^```/.test(lines[i] as string); i++) code.push(lines[i] as string);
      blocks.push({ kind: "code", text: code.join("\n") });
    } else if (heading !== null)
      blocks.push({ kind: "heading", level: heading[1]!.length, text: heading[2] as string });
    else if (/^\s*([-*+]|\d+[.)])\s+/.test(line)) {
      const list: string[] = [];
      for (; i < lines.length && /^\s*([-*+]|\d+[.)])\s+/.test(lines[i] as string); i++)
        list.push((lines[i] as string).replace(/^\s*([-*+]|\d+[.)])\s+/, ""));
      i -= 1;
      blocks.push({ kind: "list", lines: list });
    } else if (line.startsWith(">")) blocks.push({ kind: "quote", text: line.replace(/^>\s?/, "") });
    else if (line.startsWith("|")) {
      const rows: string[] = [];
      for (; i < lines.length && (lines[i] as string).startsWith("|"); i++) rows.push(lines[i] as string);
      i -= 1;
      blocks.push({ kind: "plain", text: rows.join("\n") });
    } else if (line.trim() !== "") {
      const last = blocks.at(-1);
      const joins = last?.kind === "text" && (lines[i - 1] ?? "").trim() !== "";
      if (joins) last.text += ` ${line.trim()}`;
      else blocks.push({ kind: "text", text: line.trim() });
    }
  }
  return blocks;
}

export function Markdown({ text }: { text: string }) {
  return (
    <article className="markdown">
      {blocksOf(text).map((block, i) => (
        <Shown key={i} block={block} />
      ))}
    </article>
  );
}

function Shown({ block }: { block: Block }) {
  switch (block.kind) {
    case "heading":
      return block.level === 1 ? <h2>{inline(block.text)}</h2> : <h3>{inline(block.text)}</h3>;
    case "code":
    case "plain":
      return (
        <pre className="text" tabIndex={0}>
          {block.text}
        </pre>
      );
    case "quote":
      return <blockquote>{inline(block.text)}</blockquote>;
    case "list":
      return (
        <ul>
          {block.lines.map((line, i) => (
            <li key={i}>{inline(line)}</li>
          ))}
        </ul>
      );
    case "text":
      return <p>{inline(block.text)}</p>;
  }
}
