/** Keys of the whole page. Off while something is typed or a dialog is open. */
import { useEffect, useRef } from "react";

export type Keys = Record<string, (event: KeyboardEvent) => void>;

function isTyping(event: KeyboardEvent): boolean {
  const target = event.target as HTMLElement | null;
  if (target?.closest("dialog") || document.querySelector("dialog[open]")) return true;
  return target !== null && (/^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName) || target.isContentEditable);
}

const SECOND_MS = 1_000;

/** `g r` is one key after the other; a single character is one key. */
export function useKeys(keys: Keys): void {
  const present = useRef(keys);
  present.current = keys;
  useEffect(() => {
    let before = "";
    let at = 0;
    const onKey = (event: KeyboardEvent) => {
      if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event)) return;
      const two = event.timeStamp - at < SECOND_MS ? `${before} ${event.key}` : "";
      const act = present.current[two] ?? present.current[event.key];
      before = event.key;
      at = event.timeStamp;
      if (act === undefined) return;
      event.preventDefault();
      before = "";
      act(event);
    };
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  }, []);
}
