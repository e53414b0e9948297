/**
 * Keys of the whole page, in one place for all parts that are on the screen. Off while something is typed or a dialog is open.
 *
 * Invariants: (1) one press does one thing: of the parts that know a key the one that came last has it; (2) what follows a
 * first key, as `r` in `g r`, is never taken for the key alone; (3) a key that is held down does nothing but move.
 */
import { useLayoutEffect, useRef } from "react";

export type Keys = Record<string, (event: KeyboardEvent) => void>;

const parts: { current: Keys }[] = [];
const TOGETHER_MS = 2_000;
/** Keys that go on while they are held down. */
const MOVES = new Set(["j", "k"]);
let before = "";
let beforeAt = Number.NEGATIVE_INFINITY;

function isTyping(event: KeyboardEvent): boolean {
  const target = event.target as HTMLElement | null;
  if (target?.closest("dialog") || document.querySelector("dialog[open]")) return true;
  return target !== null && (/^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName) || target.isContentEditable);
}

/** Enter and Escape belong to the button or link that has the focus. */
function isForElement(event: KeyboardEvent): boolean {
  const target = event.target as HTMLElement | null;
  return event.key === "Enter" && target !== null && /^(A|BUTTON|SUMMARY)$/.test(target.tagName);
}

function handlerOf(name: string): Keys[string] | undefined {
  return parts.findLast(({ current }) => current[name] !== undefined)?.current[name];
}

function onKey(event: KeyboardEvent): void {
  if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event) || isForElement(event)) return;
  if (/^(Shift|CapsLock|AltGraph)$/.test(event.key) || (event.repeat && !MOVES.has(event.key))) return;
  const follows = before !== "" && event.timeStamp - beforeAt < TOGETHER_MS;
  const act = handlerOf(follows ? `${before} ${event.key}` : event.key);
  const begins =
    !follows && parts.some(({ current }) => Object.keys(current).some((name) => name.startsWith(`${event.key} `)));
  before = begins ? event.key : "";
  beforeAt = event.timeStamp;
  if (act === undefined) return;
  event.preventDefault();
  act(event);
}

/** `g r` is one key after the other; a single character is one key. */
export function useKeys(keys: Keys): void {
  const present = useRef(keys);
  present.current = keys;
  // In the commit that shows them: a key that is pressed as soon as something is seen counts.
  useLayoutEffect(() => {
    if (parts.length === 0) addEventListener("keydown", onKey);
    parts.push(present);
    return () => {
      parts.splice(parts.indexOf(present), 1);
      if (parts.length === 0) removeEventListener("keydown", onKey);
    };
  }, []);
}
