/** The jobs that decided when the run ended: from the last one back along whatever ended last before it. */
import type { RunGraph } from "../api/client.ts";

export function criticalPath(graph: RunGraph): ReadonlySet<string> {
  const nodes = new Map(graph.nodes.map((node) => [node.id, node]));
  const before = new Map<string, string[]>();
  for (const { from, to } of graph.edges) {
    const list = before.get(to);
    if (list === undefined) before.set(to, [from]);
    else list.push(from);
  }
  const barriers = new Set(graph.barriers);
  const lastOfStage = new Map<number, string>();
  const ended = (id: string) => Date.parse(nodes.get(id)?.endedAt ?? "") || 0;
  for (const { id, stage } of graph.nodes) {
    const known = lastOfStage.get(stage);
    if (ended(id) > 0 && (known === undefined || ended(id) > ended(known))) lastOfStage.set(stage, id);
  }
  const path = new Set<string>();
  let at = graph.nodes.reduce<string | null>(
    (best, { id }) => (ended(id) > 0 && (best === null || ended(id) > ended(best)) ? id : best),
    null,
  );
  while (at !== null && !path.has(at)) {
    path.add(at);
    const node = nodes.get(at);
    const candidates = [...(before.get(at) ?? [])];
    const previous = node === undefined ? undefined : lastOfStage.get(node.stage - 1);
    if (barriers.has(at) && previous !== undefined) candidates.push(previous);
    if (node?.parent != null) candidates.push(node.parent);
    at = candidates.filter((id) => ended(id) > 0).sort((a, b) => ended(b) - ended(a))[0] ?? null;
  }
  return path;
}
