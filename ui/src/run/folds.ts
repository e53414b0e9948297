/**
 * The scale of a timeline: long gaps in which nothing runs are folded to a fixed width.
 *
 * Invariant: the scale is monotonic; what is later is never further left.
 */
export interface Span {
  from: number;
  to: number;
}

export interface Scale {
  /** Position of a time, in hundredths of the width. */
  at(time: number): number;
  folds: readonly { at: number; ms: number }[];
  ticks: readonly { at: number; time: number }[];
}

const FOLD_SHARE = 0.08;
const FOLD_WIDTH = 0.02;
const TICKS = 6;

/** Times in which something happens, joined where they touch. */
function joined(spans: readonly Span[]): Span[] {
  const sorted = [...spans].sort((a, b) => a.from - b.from);
  const parts: Span[] = [];
  for (const span of sorted) {
    const last = parts.at(-1);
    if (last !== undefined && span.from <= last.to) last.to = Math.max(last.to, span.to);
    else parts.push({ ...span });
  }
  return parts;
}

export function scaleOf(spans: readonly Span[], fold: boolean): Scale {
  const parts = joined(spans);
  if (parts.length === 0) return { at: () => 0, folds: [], ticks: [] };
  const first = (parts[0] as Span).from;
  const last = Math.max(first + 1, (parts.at(-1) as Span).to);
  const busy = parts.reduce((sum, { from, to }) => sum + to - from, 0) || 1;
  // Points of a broken line from time to width, before it is stretched to 100.
  const points: { time: number; at: number }[] = [{ time: first, at: 0 }];
  const folds: { at: number; ms: number }[] = [];
  let at = 0;
  parts.forEach((part, i) => {
    const before = parts[i - 1];
    if (before !== undefined) {
      const gap = part.from - before.to;
      const folded = fold && gap > busy * FOLD_SHARE;
      if (folded) folds.push({ at: at + (busy * FOLD_WIDTH) / 2, ms: gap });
      at += folded ? busy * FOLD_WIDTH : gap;
      points.push({ time: part.from, at });
    }
    at += part.to - part.from;
    points.push({ time: part.to, at });
  });
  const whole = at || 1;
  const place = (time: number): number => {
    if (time <= first) return 0;
    if (time >= last) return 100;
    let low = 0;
    let high = points.length - 1;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if ((points[middle] as { time: number }).time <= time) low = middle;
      else high = middle;
    }
    const a = points[low] as { time: number; at: number };
    const b = points[high] as { time: number; at: number };
    const share = b.time === a.time ? 0 : (time - a.time) / (b.time - a.time);
    return (100 * (a.at + share * (b.at - a.at))) / whole;
  };
  return {
    at: place,
    folds: folds.map(({ at: where, ms }) => ({ at: (100 * where) / whole, ms })),
    ticks: ticksOf(points, whole),
  };
}

function ticksOf(points: readonly { time: number; at: number }[], whole: number): { at: number; time: number }[] {
  const ticks: { at: number; time: number }[] = [];
  for (let i = 0; i < TICKS; i++) {
    const wanted = (whole * i) / TICKS;
    const next = points.findIndex(({ at }) => at > wanted);
    const b = points[Math.max(1, next)];
    const a = points[Math.max(1, next) - 1];
    if (a === undefined || b === undefined) continue;
    const share = b.at === a.at ? 0 : (wanted - a.at) / (b.at - a.at);
    ticks.push({ at: (100 * wanted) / whole, time: a.time + share * (b.time - a.time) });
  }
  return ticks;
}
