/**
 * How a limiter is: what of it was used, and whether it holds anybody back.
 *
 * Invariant: counters of another day or month than the present one are over, and count as nothing.
 */
import type { Limiter } from "../api/client.ts";
import { Ago, useNow } from "./time.tsx";

const DAY_MS = 86_400_000;
const count = (value: unknown) => (typeof value === "number" ? value : 0);
const iso = (at: number) => new Date(at).toISOString();

export function LimiterRow({ one }: { one: Limiter }) {
  const now = useNow();
  const { state } = one;
  const today = count(state["day"]) === Math.floor(now / DAY_MS);
  const date = new Date(now);
  const present = count(state["month"]) === (date.getUTCFullYear() - 1970) * 12 + date.getUTCMonth();
  const spent = count(state["spentTotal"]) / 1_000_000;
  return (
    <tr>
      <td>{one.name}</td>
      <td className="mono">{one.key === "" ? "–" : one.key}</td>
      <td>
        <Now state={state} now={now} />
      </td>
      <td className="right num">{count(state["holders"]).toLocaleString()}</td>
      <td className="right num">{(today ? count(state["usedDay"]) : 0).toLocaleString()}</td>
      <td className="right num">{(present ? count(state["usedMonth"]) : 0).toLocaleString()}</td>
      <td className="right num">{spent === 0 ? "–" : spent.toFixed(4)}</td>
      <td className="right dim">
        <Ago at={count(state["seenAt"]) === 0 ? null : iso(count(state["seenAt"]))} />
      </td>
    </tr>
  );
}

function Now({ state, now }: { state: Limiter["state"]; now: number }) {
  const openUntil = count(state["openUntil"]);
  const failures = count(state["failures"]);
  if (openUntil > now)
    return (
      <span className="s-failed">
        closed after {failures} failures, tried again <Ago at={iso(openUntil)} />
      </span>
    );
  if (openUntil > 0) return <span className="s-waiting">lets one try through</span>;
  const free = count(state["tat"]) - now;
  if (failures > 0) return <span className="s-waiting">{failures} failures in a row</span>;
  return free > 1_000 ? <span className="s-waiting">at its rate</span> : <span className="dim">free</span>;
}
