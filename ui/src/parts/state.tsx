/** States as shape and colour, with their word; one legend for all screens. */
import type { JobState, RunState } from "../api/client.ts";

export type AnyState = RunState | JobState;

const SHAPES: Record<AnyState, React.ReactNode> = {
  pending: <circle cx="8" cy="9" r="3.6" fill="none" strokeWidth="1.5" />,
  ready: (
    <>
      <circle cx="8" cy="9" r="5.4" fill="none" strokeWidth="1.2" />
      <circle cx="8" cy="9" r="2.2" fill="none" strokeWidth="1.4" />
    </>
  ),
  running: (
    <>
      <rect x="3" y="1.6" width="10" height="1.8" rx="0.9" className="solid" stroke="none" />
      <circle cx="8" cy="9.6" r="4" className="solid" stroke="none" />
    </>
  ),
  waiting: (
    <>
      <path d="M2.4 9.4a5.6 5.6 0 0 1 11.2 0" fill="none" strokeWidth="1.6" />
      <circle cx="8" cy="10" r="2.1" className="solid" stroke="none" />
    </>
  ),
  completed: <circle cx="8" cy="9" r="4.2" className="solid" stroke="none" />,
  failed: (
    <>
      <rect x="2.6" y="3.2" width="11" height="11" rx="1.4" className="solid" stroke="none" />
      <path d="M5.6 6.2l5 5m0-5l-5 5" className="cut" fill="none" strokeWidth="1.6" />
    </>
  ),
  skipped: <path d="M4 9h8" fill="none" strokeWidth="1.8" />,
  cancelled: (
    <>
      <circle cx="8" cy="9" r="4.6" fill="none" strokeWidth="1.4" />
      <path d="M4.8 12.2l6.4-6.4" fill="none" strokeWidth="1.4" />
    </>
  ),
};

export function Mark({ state }: { state: AnyState }) {
  return (
    <svg className={`mark s-${state}`} viewBox="0 0 16 16" width="16" height="16" aria-hidden="true">
      {SHAPES[state]}
    </svg>
  );
}

export function State({ state, word = true }: { state: AnyState; word?: boolean }) {
  return (
    <span className={`state s-${state}`} title={word ? undefined : state}>
      <Mark state={state} />
      {word ? <span>{state}</span> : <span className="hidden-text">{state}</span>}
    </span>
  );
}

const LEGEND: AnyState[] = ["pending", "ready", "running", "waiting", "completed", "failed", "skipped", "cancelled"];

export function Legend() {
  return (
    <ul className="legend" aria-label="States">
      {LEGEND.map((state) => (
        <li key={state}>
          <State state={state} />
        </li>
      ))}
    </ul>
  );
}
