/**
 * A small graph that does not move: lanes, boxes and the lines between them, placed as graphs of runs are.
 *
 * Invariants: (1) boxes are ordinary elements in reading order, so that keyboard and screen reader find them; lines are
 * decoration; (2) it scrolls within itself and never widens the page.
 */
import { type ReactNode, useMemo } from "react";
import { type InNode, layout } from "../graph/layout.ts";
import { pathOf } from "../graph/lines.ts";
import { HEIGHT, WIDTH } from "../graph/sizes.ts";

interface DiagramProps {
  label: string;
  nodes: readonly InNode[];
  edges: readonly { from: string; to: string }[];
  /** Also those that a longer way says. */
  everyEdge?: boolean;
  /** Titles of lanes by their number; without them lanes are not drawn. */
  lanes?: readonly string[];
  render: (id: string) => ReactNode;
}

const PAD = 12;
const HEAD = 24;

export function Diagram({ label, nodes, edges, everyEdge = false, lanes, render }: DiagramProps) {
  const placed = useMemo(() => layout(nodes, edges, { everyEdge }), [nodes, edges, everyEdge]);
  const path = useMemo(() => pathOf(placed, () => true), [placed]);
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
          <path d={path} transform={`translate(${PAD} ${top})`} />
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
