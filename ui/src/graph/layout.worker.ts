/** Places graphs beside the page, so that it stays quick. */
import { type InNode, layout } from "./layout.ts";

interface Asked {
  id: number;
  nodes: InNode[];
  edges: { from: string; to: string }[];
  grouped: boolean;
}

self.onmessage = ({ data }: MessageEvent<Asked>) => {
  self.postMessage({ id: data.id, layout: layout(data.nodes, data.edges, { grouped: data.grouped }) });
};
