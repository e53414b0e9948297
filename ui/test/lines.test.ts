/** Where a graph's boxes stand and where its lines run. */
import { describe, expect, it } from "vitest";
import { type InNode, layout } from "../src/graph/layout.ts";
import { pathOf } from "../src/graph/lines.ts";
import { HEIGHT, WIDTH } from "../src/graph/sizes.ts";

const node = (id: string, stage: number, more: Partial<InNode> = {}): InNode => ({
  id,
  stage,
  agent: id,
  state: "pending",
  parent: null,
  seq: 0,
  barrier: false,
  ...more,
});
const edge = (text: string) => {
  const [from = "", to = ""] = text.split(">");
  return { from, to };
};
const drawn = (nodes: readonly InNode[], edges: readonly string[], everyEdge = false) =>
  layout(nodes, edges.map(edge), { everyEdge })
    .edges.map(({ from, to }) => `${from}>${to}`)
    .sort();

/** Points of a path, with those between the ends of its straight parts and bends. */
function pointsOf(path: string): [number, number][] {
  const numbers = [...path.matchAll(/([MLQC])([^MLQC]+)/g)].map(
    ([, letter, rest]) => [letter as string, (rest as string).trim().split(/\s+/).map(Number)] as const,
  );
  const points: [number, number][] = [];
  let [x, y] = [0, 0];
  for (const [letter, values] of numbers) {
    const [tx, ty] = values.slice(-2) as [number, number];
    if (letter !== "M") for (let i = 1; i <= 200; i++) points.push(between(letter, [x, y], values, i / 200));
    [x, y] = [tx, ty];
  }
  return points;
}

function between(letter: string, from: [number, number], values: readonly number[], t: number): [number, number] {
  const curve = [from, ...Array.from({ length: values.length / 2 }, (_, i) => values.slice(2 * i, 2 * i + 2))];
  let points = curve as [number, number][];
  if (letter === "L") points = [from, values.slice(-2) as [number, number]];
  while (points.length > 1)
    points = points.slice(1).map(([x, y], i) => {
      const [fx, fy] = points[i] as [number, number];
      return [fx + (x - fx) * t, fy + (y - fy) * t];
    });
  return points[0] as [number, number];
}

describe("lines of a graph", () => {
  it("leaves out what a longer way says as well, unless all are asked for", () => {
    const nodes = ["a", "b", "c", "d"].map((id, stage) => node(id, stage));
    const edges = ["a>b", "b>c", "c>d", "a>c", "a>d", "b>d"];
    expect(drawn(nodes, edges)).toEqual(["a>b", "b>c", "c>d"]);
    expect(drawn(nodes, edges, true)).toEqual([...edges].sort());
  });

  it("takes the order of stages for a way, but only where a job waits for it", () => {
    const stages = (barrier: boolean) => [node("a", 0), node("b", 1, { barrier }), node("c", 2)];
    expect(drawn(stages(true), ["a>c", "b>c"])).toEqual(["b>c"]);
    expect(drawn(stages(false), ["a>c", "b>c"])).toEqual(["a>c", "b>c"]);
  });

  it("finds the ways where hundreds wait for hundreds", () => {
    const many = (stage: number) =>
      Array.from({ length: 500 }, (_, i) => node(`${stage}-${i}`, stage, { barrier: stage > 0 }));
    const last = node("last", 3);
    const edges = [0, 1, 2].flatMap((stage) => many(stage).map(({ id }) => `${id}>last`));
    expect(drawn([...many(0), ...many(1), ...many(2), last], edges).length).toBe(500);
  });

  it("keeps both ways around, and lines of a circle of groups", () => {
    const nodes = ["a", "b", "c", "d"].map((id) => node(id, 0));
    expect(drawn(nodes, ["a>b", "a>c", "b>d", "c>d"])).toEqual(["a>b", "a>c", "b>d", "c>d"]);
    expect(drawn([node("a", 0), node("b", 0)], ["a>b", "b>a"])).toEqual(["a>b", "b>a"]);
  });

  it("crosses no box, also to a child that stands further left", () => {
    const nodes = [
      ...["a", "b", "c"].map((id, i) => node(id, i)),
      node("d", 1),
      node("e", 2),
      node("f", 3),
      node("f/child", 1, { parent: "f" }),
      node("e/child", 0, { parent: "e" }),
    ];
    const placed = layout(nodes, ["a>f", "a>b", "b>c", "d>f", "a>e"].map(edge));
    const path = pathOf(placed, () => true);
    expect(placed.edges.length).toBe(7);
    const inside = pointsOf(path).filter(([x, y]) =>
      placed.nodes.some((one) => x > one.x + 1 && x < one.x + WIDTH - 1 && y > one.y + 1 && y < one.y + HEIGHT - 1),
    );
    expect(inside).toEqual([]);
  });
});
