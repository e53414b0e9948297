/**
 * A run as a graph: stages as lanes, states live, many like jobs as one node with counters, placed by a worker.
 *
 * Invariants: (1) all lines are one path, drawn once for a placing, so that moving costs no work for each of them; (2) from
 * far away, where no text can be read, a node is a box in the colour of its state.
 */
import {
  MiniMap,
  type Node,
  type NodeProps,
  Panel,
  ReactFlow,
  ReactFlowProvider,
  type ReactFlowState,
  useReactFlow,
  useStore,
  ViewportPortal,
} from "@xyflow/react";
import "@xyflow/react/dist/style.css";
import { memo, useEffect, useMemo, useRef, useState } from "react";
import type { GraphNode, JobState, RunGraph } from "../api/client.ts";
import { Empty, Loading } from "../parts/screen.tsx";
import { Legend, Mark } from "../parts/state.tsx";
import type { ViewProps } from "../run/run.tsx";
import { ItemBar, JobFilters, rowsOf, wasRetried } from "../run/table.tsx";
import { useSearch, useSetSearch } from "../url.tsx";
import { criticalPath } from "./critical.ts";
import { GROUP_FROM, type Layout } from "./layout.ts";
import { pathOf } from "./lines.ts";
import { HEIGHT, WIDTH } from "./sizes.ts";

/** More single nodes than this are not drawn. */
const MOST_SINGLE = 1_500;
const HEAD = 28;

function useLayout(graph: RunGraph, grouped: boolean): Layout | null {
  const [placed, setPlaced] = useState<Layout | null>(null);
  const worker = useRef<Worker | null>(null);
  const turn = useRef(0);
  // Only what stands where depends on these; states change far more often.
  const shape = `${graph.run.id} ${graph.nodes.length} ${graph.edges.length} ${grouped}`;
  useEffect(() => {
    const made = new Worker(new URL("./layout.worker.ts", import.meta.url), { type: "module" });
    made.onmessage = ({ data }: MessageEvent<{ id: number; layout: Layout }>) => {
      if (data.id === turn.current) setPlaced(data.layout);
    };
    worker.current = made;
    return () => made.terminate();
  }, []);
  // biome-ignore lint/correctness/useExhaustiveDependencies: see `shape`
  useEffect(() => {
    turn.current += 1;
    const barriers = new Set(graph.barriers);
    worker.current?.postMessage({
      id: turn.current,
      grouped,
      nodes: graph.nodes.map(({ id, stage, agent, state, parent, seq }) => ({
        id,
        stage,
        agent,
        state,
        parent,
        seq,
        barrier: barriers.has(id),
      })),
      edges: graph.edges.map(({ from, to }) => ({ from, to })),
    });
  }, [shape]);
  return placed;
}

interface JobData extends Record<string, unknown> {
  nodes: GraphNode[];
  dim: boolean;
  critical: boolean;
  chosen: boolean;
}
interface LaneData extends Record<string, unknown> {
  title: string;
}

/** Of several jobs the state that a person should see first. */
const FIRST: JobState[] = ["failed", "running", "waiting", "ready", "pending", "cancelled", "skipped", "completed"];

function stateOf(nodes: readonly GraphNode[]): JobState {
  if (nodes.length < 2) return nodes[0]?.state ?? "pending";
  const states = new Set(nodes.map(({ state }) => state));
  return FIRST.find((one) => states.has(one)) as JobState;
}

const FAR = 0.5;
const isFar = ({ transform }: ReactFlowState) => transform[2] < FAR;

const JobNode = memo(({ data }: NodeProps<Node<JobData>>) => {
  const [first] = data.nodes;
  const far = useStore(isFar);
  if (first === undefined) return null;
  const many = data.nodes.length > 1;
  const state = stateOf(data.nodes);
  return (
    <div
      className={`gnode s-${state}`}
      data-many={many || first.items !== null}
      data-dim={data.dim}
      data-critical={data.critical}
      data-chosen={data.chosen}
      data-far={far}
    >
      {!far && (
        <>
          <Mark state={state} />
          <span className="gnode-text">
            <span className="clip mono">{many ? first.agent : first.id}</span>
            {many ? (
              <Counters nodes={data.nodes} />
            ) : first.items === null ? (
              <Under node={first} />
            ) : (
              <ItemBar node={first} />
            )}
          </span>
        </>
      )}
    </div>
  );
});
JobNode.displayName = "JobNode";

function Under({ node }: { node: GraphNode }) {
  return (
    <span className="clip dim">
      {node.summary ?? node.agent}
      {wasRetried(node) ? ` · attempt ${node.attempt}` : ""}
      {node.children > 0 ? ` · ${node.children === 1 ? "1 child" : `${node.children} children`}` : ""}
    </span>
  );
}

function Counters({ nodes }: { nodes: readonly GraphNode[] }) {
  const counts = FIRST.map((state) => [state, nodes.filter((node) => node.state === state).length] as const);
  return (
    <span className="clip num dim">
      {nodes.length.toLocaleString()} jobs ·{" "}
      {counts
        .filter(([, count]) => count > 0)
        .map(([state, count]) => `${count.toLocaleString()} ${state}`)
        .join(", ")}
    </span>
  );
}

function Lane({ data }: NodeProps<Node<LaneData>>) {
  return (
    <div className="lane" data-far={useStore(isFar)}>
      <span>{data.title}</span>
    </div>
  );
}

const TYPES = { job: JobNode, lane: Lane };

export default function Graph(props: ViewProps) {
  return (
    <ReactFlowProvider>
      <Flow {...props} />
    </ReactFlowProvider>
  );
}

function Flow({ graph, chosen, choose }: ViewProps) {
  const search = useSearch();
  const set = useSetSearch();
  const flow = useReactFlow();
  const tooMany = graph.nodes.length > MOST_SINGLE;
  const grouped = tooMany || (search["group"] ?? (graph.nodes.length > 60 ? "1" : "0")) === "1";
  const placed = useLayout(graph, grouped);
  const critical = useMemo(
    () => (search["critical"] === "1" ? criticalPath(graph) : new Set<string>()),
    [graph, search],
  );
  const wanted = useMemo(
    () =>
      search["find"] === undefined && search["jobs"] === undefined
        ? null
        : new Set(rowsOf(graph, search).map(({ id }) => id)),
    [graph, search],
  );
  const nodes = useMemo(
    () => (placed === null ? [] : nodesOf(graph, placed, { chosen, critical, wanted })),
    [graph, placed, chosen, critical, wanted],
  );
  useEffect(() => {
    if (placed === null) return;
    // Few are shown so that they can be read, many as a whole.
    const minZoom = placed.nodes.length > 60 ? 0.22 : 0.6;
    requestAnimationFrame(() => {
      const pane = document.querySelector(".graph");
      const { x, width, height } = flow.getNodesBounds(flow.getNodes());
      // What is too wide to be read as a whole is shown from its beginning.
      if (pane !== null && width * minZoom > pane.clientWidth)
        void flow.setViewport({
          x: 16 - x * minZoom,
          y: Math.max(24, (pane.clientHeight - height * minZoom) / 2),
          zoom: minZoom,
        });
      else void flow.fitView({ maxZoom: 1, minZoom, padding: 0.06 });
    });
  }, [placed, flow]);
  const open = (node: Node) => {
    if (node.type !== "job") return;
    const [first, ...rest] = (node.data as JobData).nodes;
    if (first === undefined) return;
    if (rest.length === 0) choose(first.id);
    else set({ view: "table", find: first.parent === null ? first.agent : `${first.parent}/` }, { push: true });
  };
  if (graph.nodes.length === 0) return <Empty title="This run has no jobs yet." />;
  if (placed === null) return <Loading />;
  return (
    <>
      <JobFilters graph={graph} rows={graph.nodes}>
        <label className="check">
          <input
            type="checkbox"
            checked={grouped}
            disabled={tooMany}
            onChange={(event) => set({ group: event.target.checked ? "1" : "0" })}
          />
          Group {GROUP_FROM} and more
        </label>
        <label className="check">
          <input
            type="checkbox"
            checked={search["critical"] === "1"}
            onChange={(event) => set({ critical: event.target.checked ? "1" : undefined })}
          />
          Critical path
        </label>
      </JobFilters>
      <section
        className="graph"
        aria-label="Graph; the same jobs are in the table"
        onKeyDown={(event) => {
          const id = (event.target as HTMLElement).closest<HTMLElement>(".react-flow__node")?.dataset["id"];
          const node = event.key === "Enter" ? nodes.find((one) => one.id === id) : undefined;
          if (node !== undefined) open(node);
        }}
      >
        <ReactFlow
          nodes={nodes}
          nodeTypes={TYPES}
          nodesDraggable={false}
          nodesConnectable={false}
          edgesFocusable={false}
          onlyRenderVisibleElements
          minZoom={0.05}
          maxZoom={1.5}
          proOptions={{ hideAttribution: true }}
          onNodeClick={(_, node) => open(node)}
        >
          <Lines placed={placed} critical={critical} />
          {placed.nodes.length > 20 && (
            <MiniMap
              pannable
              zoomable
              ariaLabel="Small map"
              nodeClassName={(node) =>
                node.type === "lane" ? "m-lane" : `m-job s-${stateOf((node.data as JobData).nodes)}`
              }
            />
          )}
          <Panel position="bottom-left">
            <Legend />
          </Panel>
        </ReactFlow>
      </section>
    </>
  );
}

interface Marks {
  chosen: string | null;
  critical: ReadonlySet<string>;
  wanted: ReadonlySet<string> | null;
}

function nodesOf(graph: RunGraph, placed: Layout, { chosen, critical, wanted }: Marks): Node[] {
  const known = new Map(graph.nodes.map((node) => [node.id, node]));
  const lanes: Node[] = placed.lanes.map(({ stage, x, width, height }) => ({
    id: `lane:${stage}`,
    type: "lane",
    position: { x: x - 12, y: -HEAD },
    data: { title: graph.stages[stage]?.name ?? "" },
    width: width + 24,
    height: height + HEAD + 12,
    selectable: false,
    focusable: false,
    zIndex: -1,
  }));
  const jobs: Node[] = placed.nodes.map(({ id, x, y, members }) => ({
    id,
    type: "job",
    position: { x, y },
    width: WIDTH,
    height: HEIGHT,
    ariaLabel: members.length === 1 ? `${id}, ${known.get(id)?.state}` : `${members.length} jobs`,
    data: {
      nodes: members.map((member) => known.get(member)).filter((node) => node !== undefined),
      dim: wanted !== null && !members.some((member) => wanted.has(member)),
      critical: members.some((member) => critical.has(member)),
      chosen: members.some((member) => member === chosen),
    },
  }));
  return [...lanes, ...jobs];
}

/** From lane to lane, where one waits for the whole of the other. */
function orderOf({ lanes }: Layout): string {
  const y = -HEAD / 2;
  return lanes
    .map(({ x, waits }, i) => {
      const before = lanes[i - 1];
      if (before === undefined || !waits) return "";
      const [x1, x2] = [before.x + before.width + 12, x - 12];
      return `M${x1} ${y}L${x2} ${y}M${x2 - 5} ${y - 3}L${x2} ${y}L${x2 - 5} ${y + 3}`;
    })
    .join("");
}

const Lines = memo(({ placed, critical }: { placed: Layout; critical: ReadonlySet<string> }) => {
  const needs = useMemo(() => pathOf(placed, ({ spawned }) => !spawned), [placed]);
  const children = useMemo(() => pathOf(placed, ({ spawned }) => spawned), [placed]);
  const stages = useMemo(() => orderOf(placed), [placed]);
  const members = useMemo(() => new Map(placed.nodes.map((node) => [node.id, node.members])), [placed]);
  const marked = useMemo(() => {
    const on = (id: string) => members.get(id)?.some((member) => critical.has(member)) === true;
    return critical.size === 0 ? "" : pathOf(placed, ({ from, to }) => on(from) && on(to));
  }, [placed, critical, members]);
  return (
    <ViewportPortal>
      <svg className="graph-lines" width="1" height="1" aria-hidden="true">
        <path d={needs} />
        <path d={children} className="spawned" />
        <path d={stages} className="order" />
        {marked !== "" && <path d={marked} className="critical" />}
      </svg>
    </ViewportPortal>
  );
});
Lines.displayName = "Lines";
