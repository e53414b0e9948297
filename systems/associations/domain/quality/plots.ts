/** Plots as inline SVG: no script, nothing loaded, readable in light and dark, and for those who cannot see them. */

export interface Bar {
  label: string;
  value: number;
  /** Shown behind the bar. Default: the value. */
  text?: string;
}

export interface BarOptions {
  title: string;
  /** The value that fills the width. Default: the largest. */
  max?: number;
}

const ROW = 24;
const LABELS = 170;
const WIDTH = 640;
const FIGURES = 110;

/** Horizontal bars, one a row. */
export function horizontalBars(bars: readonly Bar[], { title, max }: BarOptions): string {
  const largest = max ?? Math.max(1, ...bars.map(({ value }) => value));
  const room = WIDTH - LABELS - FIGURES;
  const rows = bars.map(({ label, value, text }, at) => {
    const y = at * ROW;
    const width = Math.max(value > 0 ? 1 : 0, (Math.min(value, largest) / largest) * room);
    return (
      `<text class="label" x="${LABELS - 8}" y="${y + 16}" text-anchor="end">${escapeHtml(short(label))}</text>` +
      `<rect class="bar" x="${LABELS}" y="${y + 4}" width="${width.toFixed(1)}" height="${ROW - 8}" rx="2"/>` +
      `<text class="figure" x="${(LABELS + width + 6).toFixed(1)}" y="${y + 16}">${escapeHtml(text ?? String(value))}</text>`
    );
  });
  return svg({ title, height: Math.max(ROW, bars.length * ROW), content: rows.join("") });
}

/** Upright bars side by side, for a distribution; `mark` draws a line at a share of the width. */
export function histogram(
  bars: readonly Bar[],
  { title, mark }: { title: string; mark?: { at: number; label: string } },
): string {
  const height = 200;
  const floor = height - 24;
  const largest = Math.max(1, ...bars.map(({ value }) => value));
  const step = WIDTH / Math.max(1, bars.length);
  const columns = bars.map(({ label, value }, at) => {
    const tall = (value / largest) * (floor - 24);
    const middle = (at + 0.5) * step;
    return (
      `<rect class="bar" x="${(at * step + 4).toFixed(1)}" y="${(floor - tall).toFixed(1)}" width="${(step - 8).toFixed(1)}" height="${tall.toFixed(1)}" rx="2"/>` +
      `<text class="figure" x="${middle.toFixed(1)}" y="${(floor - tall - 6).toFixed(1)}" text-anchor="middle">${value}</text>` +
      `<text class="label" x="${middle.toFixed(1)}" y="${height - 6}" text-anchor="middle">${escapeHtml(label)}</text>`
    );
  });
  const line =
    mark === undefined
      ? ""
      : `<line class="mark" x1="${(mark.at * WIDTH).toFixed(1)}" x2="${(mark.at * WIDTH).toFixed(1)}" y1="0" y2="${floor}"/>` +
        `<text class="label" x="${(mark.at * WIDTH + 5).toFixed(1)}" y="12">${escapeHtml(mark.label)}</text>`;
  return svg({ title, height, content: columns.join("") + line });
}

function svg({ title, height, content }: { title: string; height: number; content: string }): string {
  return `<svg viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="${escapeHtml(title)}"><title>${escapeHtml(title)}</title>${content}</svg>`;
}

function short(label: string): string {
  return label.length > 24 ? `${label.slice(0, 23)}…` : label;
}

/** Text that is safe inside elements and attributes. */
export function escapeHtml(text: string): string {
  return text.replace(/\p{Cc}/gu, " ").replace(/[&<>"']/g, (sign) => `&#${sign.charCodeAt(0)};`);
}
