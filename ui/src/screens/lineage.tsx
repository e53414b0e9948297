/** Where an artifact came from and what was made of it, as a graph of artifacts and the jobs between them. */
import { useQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import type { Artifact, Lineage } from "../api/client.ts";
import { lineage } from "../api/queries.ts";
import type { InNode } from "../graph/layout.ts";
import { bytesText } from "../parts/bytes.ts";
import { Diagram } from "../parts/diagram.tsx";
import { Loaded } from "../parts/screen.tsx";
import { Ago } from "../parts/time.tsx";
import { A } from "../url.tsx";

type Use = Lineage["uses"][number];
interface Shape {
  nodes: InNode[];
  edges: { from: string; to: string }[];
  artifacts: Map<string, Artifact>;
  jobs: Map<string, { run: string; job: string; how: Use["how"] | null; at: string }>;
}

const nameOf = (id: number) => `artifact ${id}`;
const jobName = (run: string, job: string) => `job ${run} ${job}`;

/** Artifacts and jobs as boxes; each use is a line into a job, each thing made a line out of it. */
function shapeOf(data: Lineage): Shape {
  const artifacts = new Map([data.artifact, ...data.artifacts].map((one) => [nameOf(one.id), one]));
  const jobs: Shape["jobs"] = new Map();
  const edges = new Map<string, { from: string; to: string }>();
  const join = (from: string, to: string) => edges.set(`${from}\n${to}`, { from, to });
  for (const use of [...data.origins, ...data.uses]) {
    const job = jobName(use.run, use.job);
    jobs.set(job, { run: use.run, job: use.job, how: use.how, at: use.at });
    if (artifacts.has(nameOf(use.artifact))) join(nameOf(use.artifact), job);
    for (const made of use.made) if (artifacts.has(nameOf(made))) join(job, nameOf(made));
  }
  // What nothing is known to have led to was still made by a job.
  for (const [name, one] of artifacts) {
    const job = jobName(one.run, one.job);
    if (!jobs.has(job)) jobs.set(job, { run: one.run, job: one.job, how: null, at: one.at });
    join(job, name);
  }
  for (const { artifact, source } of data.takenOver)
    if (artifacts.has(nameOf(artifact)) && artifacts.has(nameOf(source))) join(nameOf(source), nameOf(artifact));
  const nodes = [...artifacts.keys(), ...jobs.keys()].map((id, seq) => ({
    id,
    stage: 0,
    agent: "",
    state: "completed",
    parent: null,
    seq,
    barrier: false,
  }));
  return { nodes, edges: [...edges.values()], artifacts, jobs };
}

export function LineageOf({ sha, id }: { sha: string; id: number }) {
  const query = useQuery(lineage(sha));
  return <Loaded query={query}>{(data) => <Drawn data={data} id={id} />}</Loaded>;
}

function Drawn({ data, id }: { data: Lineage; id: number }) {
  const { nodes, edges, artifacts, jobs } = useMemo(() => shapeOf(data), [data]);
  return (
    <>
      <p className="note">
        To the left is what it was made from{data.origins.length === 0 && ": nothing that is recorded"}; to the right
        what was made of it{data.uses.length === 0 && ": nothing that is recorded"}.
        {!data.complete && " There is more than is shown."}
      </p>
      <Diagram
        label="Lineage"
        nodes={nodes}
        edges={edges}
        everyEdge
        render={(name) => {
          const artifact = artifacts.get(name);
          const job = jobs.get(name);
          if (artifact !== undefined) return <ArtifactBox one={artifact} chosen={artifact.id === id} />;
          return job === undefined ? null : (
            <A to={`/runs/${job.run}`} search={{ job: job.job }} className="lineage-job">
              <span className="mono clip" title={job.job}>
                {job.job}
              </span>
              <span className="dim clip">
                {job.run} · <Ago at={job.at} />
              </span>
            </A>
          );
        }}
      />
    </>
  );
}

function ArtifactBox({ one, chosen }: { one: Artifact; chosen: boolean }) {
  return (
    <A
      to={`/artifacts/${one.sha256}`}
      search={{ view: "lineage", id: String(one.id) }}
      className="lineage-artifact"
      aria-current={chosen ? "true" : undefined}
    >
      <strong className="mono clip" title={one.name}>
        {one.name}
      </strong>
      <span className="dim clip">
        {one.type} · {bytesText(one.bytes)}
        {one.superseded && " · superseded"}
      </span>
    </A>
  );
}
