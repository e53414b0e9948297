/**
 * Summaries of jobs as they read in this run: what stands for a param is filled in.
 *
 * Invariant: what is not known here, or is no short value, stays as it is declared.
 */
import type { RunGraph } from "../api/client.ts";

const PARAM = /\{\{\s*params\.([\w.-]+)\s*\}\}/g;

function valueAt(params: unknown, path: string): unknown {
  let value = params;
  for (const name of path.split(".")) {
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, name)) return undefined;
    value = (value as Record<string, unknown>)[name];
  }
  return value;
}

export function filledText(summary: string, params: unknown): string {
  return summary.replace(PARAM, (whole, path: string) => {
    const value = valueAt(params, path);
    return typeof value === "string" || typeof value === "number" || typeof value === "boolean" ? String(value) : whole;
  });
}

export function filled(graph: RunGraph, params: unknown): RunGraph {
  if (!graph.nodes.some(({ summary }) => summary?.includes("{{"))) return graph;
  return {
    ...graph,
    nodes: graph.nodes.map((node) =>
      node.summary?.includes("{{") ? { ...node, summary: filledText(node.summary, params) } : node,
    ),
  };
}
