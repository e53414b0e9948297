/** JSON as text with folds; always text nodes, never markup. */
import { useState } from "react";
import { Copy } from "./copy.tsx";

const MANY = 100;
const OPEN_DEPTH = 2;

export function Json({ value, label }: { value: unknown; label: string }) {
  if (value === null || value === undefined) return <p className="dim">None.</p>;
  if (typeof value === "string" && value.includes("\n")) return <Text text={value} label={label} />;
  return (
    <div role="region" className="json" aria-label={label} tabIndex={0}>
      <span className="json-copy">
        <Copy text={() => (typeof value === "string" ? value : JSON.stringify(value, null, 2))}>Copy</Copy>
      </span>
      <Value value={value} depth={0} />
    </div>
  );
}

export function Text({ text, label }: { text: string; label: string }) {
  return (
    <pre className="text" role="region" aria-label={label} tabIndex={0}>
      {text}
    </pre>
  );
}

function Value({ value, depth, name }: { value: unknown; depth: number; name?: string }) {
  const key = name === undefined ? null : <span className="json-key">{name}: </span>;
  if (typeof value !== "object" || value === null)
    return (
      <div className="json-line">
        {key}
        <span className={`json-${value === null ? "null" : typeof value}`}>
          {typeof value === "string" ? JSON.stringify(value) : String(value)}
        </span>
      </div>
    );
  return <Branch value={value} depth={depth} head={key} />;
}

function Branch({ value, depth, head }: { value: object; depth: number; head: React.ReactNode }) {
  const entries: [string, unknown][] = Object.entries(value);
  const [open, setOpen] = useState(depth < OPEN_DEPTH && entries.length <= MANY);
  const [shown, setShown] = useState(MANY);
  const isList = Array.isArray(value);
  if (entries.length === 0)
    return (
      <div className="json-line">
        {head}
        {isList ? "[]" : "{}"}
      </div>
    );
  return (
    <div className="json-branch">
      <button type="button" className="json-fold" aria-expanded={open} onClick={() => setOpen(!open)}>
        {open ? "▾" : "▸"} {head}
        <span className="dim">
          {isList ? "[" : "{"}
          {entries.length}
          {isList ? "]" : "}"}
        </span>
      </button>
      {open && (
        <div className="json-inner">
          {entries.slice(0, shown).map(([name, part]) => (
            <Value key={name} value={part} depth={depth + 1} name={name} />
          ))}
          {entries.length > shown && (
            <button type="button" className="quiet" onClick={() => setShown(shown + MANY * 5)}>
              {entries.length - shown} more
            </button>
          )}
        </div>
      )}
    </div>
  );
}
