/**
 * A small graph that does not move: lanes, boxes and the lines between them, placed as graphs of runs are.
 *
 * Invariants: (1) boxes are ordinary elements in reading order, so that keyboard and screen reader find them; lines are
 * decoration; (2) it scrolls within itself and never widens the page.
 */
import { type ReactNode, useMemo } from "react";
import { HEIGHT, type InNode, layout, WIDTH } from "../graph/layout.ts";

interface DiagramProps {
  label: string;
  nodes: readonly InNode[];
  edges: readonly { from: string; to: string }[];
  /** Titles of lanes by their number; without them lanes are not drawn. */
  lanes?: readonly string[];
  render: (id: string) => ReactNode;
}

const PAD = 12;
const HEAD = 24;

export function Diagram({ label, nodes, edges, lanes, render }: DiagramProps) {
  const placed = useMemo(() => layout(nodes, edges, false), [nodes, edges]);
  const at = new Map(placed.nodes.map((node) => [node.id, node]));
  const top = lanes === undefined ? PAD : PAD + HEAD;
  const width = Math.max(...placed.lanes.map((lane) => lane.x + lane.width), WIDTH) + 2 * PAD;
  const height = Math.max(...placed.lanes.map((lane) => lane.height), HEIGHT) + top + PAD;
  return (
    <div className="diagram" role="region" aria-label={label} tabIndex={0}>
      <div className="diagram-inner" style={{ width, height }}>
        {lanes !== undefined &&
          placed.lanes.map((lane) => (
            <div
              key={lane.stage}
              className="diagram-lane"
              style={{ left: lane.x, width: lane.width + 2 * PAD, height: height - 1 }}
            >
              {lanes[lane.stage]}
            </div>
          ))}
        <svg width={width} height={height} aria-hidden="true">
          {placed.edges.map(({ from, to }) => {
            const [a, b] = [at.get(from), at.get(to)];
            if (a === undefined || b === undefined) return null;
            const x1 = a.x + WIDTH + PAD;
            const y1 = a.y + top + HEIGHT / 2;
            const x2 = b.x + PAD;
            const y2 = b.y + top + HEIGHT / 2;
            const bend = Math.max(16, (x2 - x1) / 2);
            return <path key={`${from}\n${to}`} d={`M${x1} ${y1}C${x1 + bend} ${y1} ${x2 - bend} ${y2} ${x2} ${y2}`} />;
          })}
        </svg>
        <ul>
          {placed.nodes.map(({ id, x, y }) => (
            <li key={id} style={{ left: x + PAD, top: y + top, width: WIDTH, height: HEIGHT }}>
              {render(id)}
            </li>
          ))}
        </ul>
      </div>
    </div>
  );
}
