/**
 * A field whose text is in the address.
 *
 * Invariants: (1) what is typed is never taken back by an address that is older; (2) the address follows a moment after the last
 * key, so that a quick typist asks once; (3) when the address changes by other hands, back and forward, the field follows.
 */
import { type Ref, useEffect, useRef, useState } from "react";
import { type Search, useSearch, useSetSearch } from "../url.tsx";

const PAUSE_MS = 200;

interface TypedProps {
  name: string;
  label: string;
  placeholder: string;
  /** What else changes with it. */
  also?: Search;
  field?: Ref<HTMLInputElement>;
}

export function Typed({ name, label, placeholder, also, field }: TypedProps) {
  const value = useSearch()[name] ?? "";
  const set = useSetSearch();
  const [text, setText] = useState(value);
  const written = useRef(value);
  useEffect(() => {
    if (value === written.current) return;
    written.current = value;
    setText(value);
  }, [value]);
  // biome-ignore lint/correctness/useExhaustiveDependencies: only what is typed begins a pause
  useEffect(() => {
    if (text === written.current) return;
    const timer = setTimeout(() => {
      written.current = text;
      set({ ...also, [name]: text || undefined });
    }, PAUSE_MS);
    return () => clearTimeout(timer);
  }, [text]);
  return (
    <input
      ref={field}
      type="search"
      className="filter-text"
      placeholder={placeholder}
      aria-label={label}
      value={text}
      onChange={(event) => setText(event.target.value)}
    />
  );
}
