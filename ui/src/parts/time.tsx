/**
 * Times relative, with the exact ones on hover; durations that go on by themselves.
 *
 * Invariant: what is relative is told by the server's clock, so that a computer whose own clock is wrong shows the same.
 */
import { useSyncExternalStore } from "react";

const watchers = new Set<() => void>();
/** How far the server's clock is ahead of this one. A way of some milliseconds is no difference of clocks. */
let ahead = 0;
const SAME_MS = 2_000;

export function present(): number {
  return Date.now() + ahead;
}

let now = present();
const tick = () => {
  now = present();
  for (const call of watchers) call();
};
setInterval(() => !document.hidden && tick(), 1_000);
document.addEventListener("visibilitychange", () => !document.hidden && tick());

/** Told with each sign of life of the server. */
export function hearClock(at: number): void {
  const difference = at - Date.now();
  const next = Math.abs(difference) < SAME_MS ? 0 : difference;
  if (Math.abs(next - ahead) < SAME_MS) return;
  ahead = next;
  tick();
}

/** The present second. */
export function useNow(): number {
  return useSyncExternalStore(
    (call) => {
      watchers.add(call);
      return () => watchers.delete(call);
    },
    () => now,
  );
}

export function durationText(ms: number): string {
  if (ms < 0) return "0 ms";
  if (ms < 1_000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1_000).toFixed(ms < 10_000 ? 1 : 0)} s`;
  const minutes = Math.floor(ms / 60_000);
  if (minutes < 60) return `${minutes} m ${String(Math.floor((ms % 60_000) / 1_000)).padStart(2, "0")} s`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return `${hours} h ${String(minutes % 60).padStart(2, "0")} m`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

function agoText(ms: number): string {
  const seconds = Math.round(Math.abs(ms) / 1_000);
  const say = (count: number, unit: string) => (ms >= 0 ? `${count} ${unit} ago` : `in ${count} ${unit}`);
  if (seconds < 5) return ms >= 0 ? "just now" : "now";
  if (seconds < 60) return say(seconds, "s");
  if (seconds < 3_600) return say(Math.floor(seconds / 60), "min");
  if (seconds < 86_400 * 2) return say(Math.floor(seconds / 3_600), "h");
  return say(Math.floor(seconds / 86_400), "days");
}

export function exact(at: string): string {
  const date = new Date(at);
  return `${date.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" })} · ${date.toISOString()}`;
}

export function Ago({ at }: { at: string | null }) {
  const second = useNow();
  if (at === null) return <span className="dim">–</span>;
  return (
    <time dateTime={at} title={exact(at)}>
      {agoText(second - Date.parse(at))}
    </time>
  );
}

/** From one time to another, or to now. */
export function Duration({ from, to }: { from: string | null; to: string | null }) {
  return to === null && from !== null ? <Running from={from} /> : <Ended from={from} to={to} />;
}

function Running({ from }: { from: string }) {
  const second = useNow();
  return <span className="num">{durationText(Math.max(0, second - Date.parse(from)))}</span>;
}

function Ended({ from, to }: { from: string | null; to: string | null }) {
  if (from === null || to === null) return <span className="dim">–</span>;
  return <span className="num">{durationText(Date.parse(to) - Date.parse(from))}</span>;
}

export function clock(at: string): string {
  const date = new Date(at);
  const two = (n: number) => String(n).padStart(2, "0");
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${String(date.getMilliseconds()).padStart(3, "0")}`;
}
