/**
 * The lines of a graph: which of them are drawn, and where they run.
 *
 * Invariants: (1) pure; (2) a line that says no more than a longer way of others does is left out, so that chains look like
 * chains; (3) no line crosses a box: what can't go straight runs between the rows.
 */
import { GAP_Y, HEIGHT, WIDTH } from "./sizes.ts";

export interface Link {
  from: string;
  to: string;
  /** From a job to one that it has spawned. */
  spawned: boolean;
}

/** Of more lines than this all are drawn: to look for ways around each would take too long. */
const MOST = 2_000;
/** No id of a job begins so. */
const END = "\n";

/** What a job waits for beside its own needs. */
export interface Order {
  stageOf(id: string): number | undefined;
  /** Jobs of a stage that wait for the whole stage before. */
  waiting(stage: number): readonly string[];
}

/** Without those between two jobs that are joined by others as well, or by the order of stages. */
export function withoutImplied(links: readonly Link[], order: Order): Link[] {
  if (links.length > MOST) return [...links];
  const after = new Map<string, string[]>();
  for (const { from, to } of links) {
    const list = after.get(from);
    if (list === undefined) after.set(from, [to]);
    else list.push(to);
  }
  // The end of a stage stands for all jobs that wait for it: one step for each job, not one for each pair.
  const next = (id: string): readonly string[] => {
    if (id.startsWith(END)) return order.waiting(Number(id.slice(END.length)) + 1);
    const stage = order.stageOf(id);
    const direct = after.get(id) ?? [];
    return stage === undefined ? direct : [...direct, `${END}${stage}`];
  };
  return links.filter(({ from, to, spawned }) => spawned || !leadsTo(next, from, to));
}

/** Whether another way than the line itself leads there. */
function leadsTo(next: (id: string) => readonly string[], from: string, to: string): boolean {
  const open = next(from).filter((one) => one !== to);
  const seen = new Set([from, ...open]);
  for (let at = open.pop(); at !== undefined; at = open.pop())
    for (const one of next(at)) {
      if (one === to) return true;
      if (!seen.has(one)) {
        seen.add(one);
        open.push(one);
      }
    }
  return false;
}

interface Place {
  x: number;
  y: number;
}

interface Placed {
  nodes: readonly (Place & { id: string })[];
  edges: readonly Link[];
}

const CHANNEL = GAP_Y / 2;
const BEND = 5;
const OUT = 10;

/** One path for all these lines: drawn once, however many they are. */
export function pathOf(placed: Placed, wanted: (link: Link) => boolean): string {
  const at = new Map(placed.nodes.map((node) => [node.id, node]));
  const taken = rowsOf(placed.nodes);
  return placed.edges
    .filter(wanted)
    .map(({ from, to }) => {
      const [a, b] = [at.get(from), at.get(to)];
      return a === undefined || b === undefined ? "" : lineOf(a, b, taken);
    })
    .join("");
}

/** Of each row where boxes stand, from left to right. */
function rowsOf(nodes: readonly Place[]): Map<number, number[]> {
  const rows = new Map<number, number[]>();
  for (const { x, y } of nodes) {
    const row = rows.get(y);
    if (row === undefined) rows.set(y, [x]);
    else row.push(x);
  }
  for (const row of rows.values()) row.sort((a, b) => a - b);
  return rows;
}

function isTaken(rows: ReadonlyMap<number, number[]>, a: Place, b: Place): boolean {
  const [top, bottom] = a.y < b.y ? [a.y, b.y] : [b.y, a.y];
  for (let y = top; y <= bottom; y += HEIGHT + GAP_Y)
    if (rows.get(y)?.some((x) => x > a.x && x < b.x) === true) return true;
  return false;
}

function lineOf(a: Place, b: Place, taken: ReadonlyMap<number, number[]>): string {
  const [x1, y1, x2, y2] = [a.x + WIDTH, a.y + HEIGHT / 2, b.x, b.y + HEIGHT / 2];
  if (x2 <= a.x) return backOf(a, b);
  const head = `M${x2 - 5} ${y2 - 3}L${x2} ${y2}L${x2 - 5} ${y2 + 3}`;
  if (x2 < x1 + 2 * OUT || !isTaken(taken, a, b)) {
    const bend = Math.max(24, Math.abs(x2 - x1) / 2);
    return `M${x1} ${y1}C${x1 + bend} ${y1} ${x2 - bend} ${y2} ${x2} ${y2}${head}`;
  }
  const channel = b.y > a.y ? b.y - CHANNEL : b.y + HEIGHT + CHANNEL;
  return `${cornered([
    [x1, y1],
    [x1 + OUT, y1],
    [x1 + OUT, channel],
    [x2 - OUT, channel],
    [x2 - OUT, y2],
    [x2, y2],
  ])}${head}`;
}

/** To a box further left, as to a child in an earlier stage: from below or above, into its right side. */
function backOf(a: Place, b: Place): string {
  const above = b.y < a.y;
  const y1 = above ? a.y : a.y + HEIGHT;
  const channel = above ? y1 - CHANNEL : y1 + CHANNEL;
  const [x2, y2] = [b.x + WIDTH, b.y + HEIGHT / 2];
  const line = cornered([
    [a.x + 24, y1],
    [a.x + 24, channel],
    [x2 + OUT, channel],
    [x2 + OUT, y2],
    [x2, y2],
  ]);
  return `${line}M${x2 + 5} ${y2 - 3}L${x2} ${y2}L${x2 + 5} ${y2 + 3}`;
}

/** Straight parts with round corners. */
function cornered(points: readonly (readonly [number, number])[]): string {
  const [first, ...rest] = points as [readonly [number, number], ...(readonly [number, number])[]];
  let path = `M${first[0]} ${first[1]}`;
  rest.forEach(([x, y], i) => {
    const [fx, fy] = points[i] as readonly [number, number];
    const next = rest[i + 1];
    if (next === undefined) path += `L${x} ${y}`;
    else {
      const before = towards(x, y, fx, fy);
      const after = towards(x, y, next[0], next[1]);
      path += `L${before[0]} ${before[1]}Q${x} ${y} ${after[0]} ${after[1]}`;
    }
  });
  return path;
}

/** The point that is a bend's length from here on the way there, at most half of it. */
function towards(x: number, y: number, tx: number, ty: number): [number, number] {
  const length = Math.hypot(tx - x, ty - y);
  if (length === 0) return [x, y];
  const part = Math.min(BEND, length / 2) / length;
  return [x + (tx - x) * part, y + (ty - y) * part];
}
