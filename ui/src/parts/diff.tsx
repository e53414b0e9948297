/** Changes as lines: of a unified diff, or between two texts. */
import { type ReactNode, useMemo } from "react";

export type Change = { kind: "same" | "added" | "removed" | "note"; text: string };

export function linesOfDiff(text: string): Change[] {
  return text.split("\n").map((line) => {
    if (/^(@@|diff |index |--- |\+\+\+ )/.test(line)) return { kind: "note", text: line };
    if (line.startsWith("+")) return { kind: "added", text: line.slice(1) };
    if (line.startsWith("-")) return { kind: "removed", text: line.slice(1) };
    return { kind: "same", text: line.replace(/^ /, "") };
  });
}

const MOST_LINES = 2_000;

/** The lines of two texts, by their longest common subsequence. Beyond a size: all of one, then all of the other. */
export function difference(before: string, after: string): Change[] {
  const a = before.split("\n");
  const b = after.split("\n");
  let head = 0;
  while (head < a.length && head < b.length && a[head] === b[head]) head += 1;
  let tail = 0;
  while (tail < a.length - head && tail < b.length - head && a[a.length - 1 - tail] === b[b.length - 1 - tail])
    tail += 1;
  const x = a.slice(head, a.length - tail);
  const y = b.slice(head, b.length - tail);
  const same = (text: string): Change => ({ kind: "same", text });
  return [...a.slice(0, head).map(same), ...middle(x, y), ...a.slice(a.length - tail).map(same)];
}

function middle(x: readonly string[], y: readonly string[]): Change[] {
  const removed = (text: string): Change => ({ kind: "removed", text });
  const added = (text: string): Change => ({ kind: "added", text });
  if (x.length + y.length > MOST_LINES) return [...x.map(removed), ...y.map(added)];
  const width = y.length + 1;
  const length = new Uint16Array((x.length + 1) * width);
  for (let i = x.length - 1; i >= 0; i--)
    for (let j = y.length - 1; j >= 0; j--)
      length[i * width + j] =
        x[i] === y[j]
          ? (length[(i + 1) * width + j + 1] as number) + 1
          : Math.max(length[(i + 1) * width + j] as number, length[i * width + j + 1] as number);
  const changes: Change[] = [];
  let i = 0;
  let j = 0;
  while (i < x.length || j < y.length) {
    if (i < x.length && j < y.length && x[i] === y[j]) {
      changes.push({ kind: "same", text: x[i] as string });
      i += 1;
      j += 1;
    } else if (
      j >= y.length ||
      (i < x.length && (length[(i + 1) * width + j] as number) >= (length[i * width + j + 1] as number))
    ) {
      changes.push(removed(x[i] as string));
      i += 1;
    } else {
      changes.push(added(y[j] as string));
      j += 1;
    }
  }
  return changes;
}

const SIGNS = { same: " ", added: "+", removed: "-", note: " " };
const CONTEXT = 3;

export function Changes({ list, all = false }: { list: readonly Change[]; all?: boolean }): ReactNode {
  const shown = useMemo(() => {
    if (all) return list.map((_, i) => i);
    const near = new Set<number>();
    list.forEach((change, i) => {
      if (change.kind !== "same") for (let k = i - CONTEXT; k <= i + CONTEXT; k++) near.add(k);
    });
    return list.map((_, i) => i).filter((i) => near.has(i));
  }, [list, all]);
  if (shown.length === 0) return <p className="dim">No difference.</p>;
  return (
    <pre className="text diff" role="region" aria-label="Changes" tabIndex={0}>
      {shown.map((i, k) => {
        const change = list[i] as Change;
        const jump = k > 0 && shown[k - 1] !== i - 1;
        return (
          <span key={i} className={`d-${change.kind}`}>
            {jump && "⋯\n"}
            {SIGNS[change.kind]} {change.text}
            {"\n"}
          </span>
        );
      })}
    </pre>
  );
}

export function Diff({ text }: { text: string }) {
  const list = useMemo(() => linesOfDiff(text), [text]);
  return <Changes list={list} all />;
}

/** The difference of two values as JSON. */
export function JsonDiff({ before, after }: { before: unknown; after: unknown }) {
  const list = useMemo(
    () => difference(JSON.stringify(sorted(before), null, 2) ?? "", JSON.stringify(sorted(after), null, 2) ?? ""),
    [before, after],
  );
  return <Changes list={list} />;
}

/** Fields in one order, so that only values differ. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => a.localeCompare(b))
      .map(([name, part]) => [name, sorted(part)]),
  );
}
