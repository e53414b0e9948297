/**
 * Places the nodes of a graph: stages are lanes from left to right, within a stage a node stands right of what it depends on.
 * Linear in nodes and edges, so that depth costs nothing.
 *
 * Invariants: (1) pure, runs in a worker; (2) a node never stands left of one that it depends on; (3) many like nodes are one
 * group with counters.
 */
import { type Link, withoutImplied } from "./lines.ts";
import { GAP_X, GAP_Y, HEIGHT, WIDTH } from "./sizes.ts";

export interface InNode {
  id: string;
  stage: number;
  agent: string;
  state: string;
  parent: string | null;
  seq: number;
  /** It waits for the whole stage before. */
  barrier: boolean;
}
export interface Layout {
  nodes: { id: string; x: number; y: number; members: string[] }[];
  edges: Link[];
  lanes: { stage: number; x: number; width: number; height: number; waits: boolean }[];
}

const LANE_GAP = 40;
/** A column is broken into several when it would be higher; with many nodes higher, so that the whole is twice as wide as high. */
const COLUMN = 24;
const columnOf = (nodes: number) =>
  Math.max(COLUMN, Math.ceil(Math.sqrt((nodes * (WIDTH + GAP_X)) / (2 * (HEIGHT + GAP_Y)))));
/** So many like nodes become one. */
export const GROUP_FROM = 12;

export function groupsOf(nodes: readonly InNode[], grouped: boolean): Map<string, string> {
  const key = (node: InNode) => `${node.stage} ${node.parent ?? ""} ${node.agent}`;
  const sizes = new Map<string, number>();
  for (const node of nodes) sizes.set(key(node), (sizes.get(key(node)) ?? 0) + 1);
  return new Map(
    nodes.map((node) => [
      node.id,
      grouped && (sizes.get(key(node)) as number) >= GROUP_FROM ? `group:${key(node)}` : node.id,
    ]),
  );
}

export function layout(
  nodes: readonly InNode[],
  edges: readonly { from: string; to: string }[],
  { grouped = false, everyEdge = false }: { grouped?: boolean; everyEdge?: boolean } = {},
): Layout {
  const group = groupsOf(nodes, grouped);
  const members = new Map<string, InNode[]>();
  for (const node of [...nodes].sort((a, b) => a.stage - b.stage || a.seq - b.seq)) {
    const id = group.get(node.id) as string;
    const list = members.get(id);
    if (list === undefined) members.set(id, [node]);
    else list.push(node);
  }
  const links = linksOf(nodes, edges, group);
  const rank = ranksOf(members, links);
  const waiting = waitingOf(members);
  const most = columnOf(members.size);
  const placed: Layout["nodes"] = [];
  const lanes: Layout["lanes"] = [];
  const row = new Map<string, number>();
  let x = 0;
  const stages = [...new Set(nodes.map(({ stage }) => stage))].sort((a, b) => a - b);
  for (const stage of stages) {
    const columns = new Map<number, string[]>();
    for (const [id, list] of members) {
      if ((list[0] as InNode).stage !== stage) continue;
      const column = columns.get(rank.get(id) ?? 0);
      if (column === undefined) columns.set(rank.get(id) ?? 0, [id]);
      else column.push(id);
    }
    const begin = x;
    let height = 0;
    for (const [, ids] of [...columns].sort(([a], [b]) => a - b)) {
      const wanted = new Map(ids.map((id) => [id, wantedRow(id, links, row)]));
      ids.sort((a, b) => (wanted.get(a) as number) - (wanted.get(b) as number));
      const broken = Math.ceil(ids.length / most);
      ids.forEach((id, i) => {
        const line = Math.floor(i / broken);
        row.set(id, line);
        const y = line * (HEIGHT + GAP_Y);
        placed.push({ id, x: x + (i % broken) * (WIDTH + GAP_Y), y, members: members.get(id)!.map((one) => one.id) });
        height = Math.max(height, y + HEIGHT);
      });
      x += broken * (WIDTH + GAP_Y) - GAP_Y + GAP_X;
    }
    x -= GAP_X;
    lanes.push({ stage, x: begin, width: x - begin, height, waits: waiting.has(stage) });
    x += LANE_GAP + GAP_X / 2;
  }
  const order = {
    stageOf: (id: string) => members.get(id)?.[0]?.stage,
    waiting: (stage: number) => waiting.get(stage) ?? [],
  };
  return { nodes: placed, edges: everyEdge ? links : withoutImplied(links, order), lanes };
}

/** Of each stage what waits for the whole stage before; of a group all must. */
function waitingOf(members: ReadonlyMap<string, InNode[]>): Map<number, string[]> {
  const waiting = new Map<number, string[]>();
  for (const [id, list] of members) {
    const { stage } = list[0] as InNode;
    if (stage === 0 || !list.every(({ barrier }) => barrier)) continue;
    const known = waiting.get(stage);
    if (known === undefined) waiting.set(stage, [id]);
    else known.push(id);
  }
  return waiting;
}

/** Edges between groups, each once, with those from parents to spawned children. */
function linksOf(
  nodes: readonly InNode[],
  edges: readonly { from: string; to: string }[],
  group: ReadonlyMap<string, string>,
): Link[] {
  const seen = new Map<string, Link>();
  const add = (a: string, b: string, spawned: boolean) => {
    const from = group.get(a);
    const to = group.get(b);
    if (from !== undefined && to !== undefined && from !== to) seen.set(`${from}\n${to}`, { from, to, spawned });
  };
  for (const { from, to } of edges) add(from, to, false);
  for (const { id, parent } of nodes) if (parent !== null) add(parent, id, true);
  return [...seen.values()];
}

/** How many nodes of its own stage must end before it, at most. Kahn's order; what is left in a cycle of groups stays at 0. */
function ranksOf(members: ReadonlyMap<string, InNode[]>, links: readonly { from: string; to: string }[]) {
  const stage = (id: string) => members.get(id)?.[0]?.stage;
  const out = new Map<string, string[]>();
  const open = new Map<string, number>();
  const rank = new Map<string, number>();
  for (const id of members.keys()) {
    rank.set(id, 0);
    open.set(id, 0);
  }
  for (const { from, to } of links) {
    if (stage(from) !== stage(to)) continue;
    const list = out.get(from);
    if (list === undefined) out.set(from, [to]);
    else list.push(to);
    open.set(to, (open.get(to) as number) + 1);
  }
  const free = [...members.keys()].filter((id) => open.get(id) === 0);
  for (let at = 0; at < free.length; at++) {
    const id = free[at] as string;
    for (const next of out.get(id) ?? []) {
      rank.set(next, Math.max(rank.get(next) as number, (rank.get(id) as number) + 1));
      const left = (open.get(next) as number) - 1;
      open.set(next, left);
      if (left === 0) free.push(next);
    }
  }
  return rank;
}

const incoming = new WeakMap<readonly { from: string; to: string }[], Map<string, string[]>>();

/** Mean row of what it depends on. */
function wantedRow(
  id: string,
  links: readonly { from: string; to: string }[],
  row: ReadonlyMap<string, number>,
): number {
  let index = incoming.get(links);
  if (index === undefined) {
    index = new Map();
    for (const { from, to } of links) {
      const list = index.get(to);
      if (list === undefined) index.set(to, [from]);
      else list.push(from);
    }
    incoming.set(links, index);
  }
  const rows = (index.get(id) ?? []).map((from) => row.get(from)).filter((line) => line !== undefined);
  return rows.length === 0 ? Number.MAX_SAFE_INTEGER : rows.reduce((sum, line) => sum + line, 0) / rows.length;
}
