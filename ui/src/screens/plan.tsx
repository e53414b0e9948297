/** The jobs of a pipeline that has not begun, as a graph: stages as lanes, what follows what. */
import { useMemo } from "react";
import type { InNode } from "../graph/layout.ts";
import { Diagram } from "../parts/diagram.tsx";
import { Empty } from "../parts/screen.tsx";

export interface Planned {
  name: string;
  jobs: { id: string; agent: string; needs: string[]; fanout: boolean }[];
}

/** More boxes than this are a list of stages with numbers. */
const MOST = 300;

export function Plan({ stages }: { stages: readonly Planned[] }) {
  const jobs = useMemo(() => new Map(stages.flatMap((stage) => stage.jobs.map((job) => [job.id, job]))), [stages]);
  const nodes = useMemo(
    () =>
      stages.flatMap((stage, i) =>
        stage.jobs.map(
          (job, seq): InNode => ({
            id: job.id,
            stage: i,
            agent: job.agent,
            state: "pending",
            parent: null,
            seq,
            barrier: job.needs.length === 0,
          }),
        ),
      ),
    [stages],
  );
  const edges = useMemo(
    () => [...jobs.values()].flatMap((job) => job.needs.map((from) => ({ from, to: job.id }))),
    [jobs],
  );
  if (jobs.size === 0) return <Empty title="Its jobs come from code: they are seen in a run." />;
  if (jobs.size > MOST) return <Short stages={stages} />;
  return (
    <Diagram
      label="Stages and jobs"
      nodes={nodes}
      edges={edges}
      lanes={stages.map(({ name }) => name)}
      render={(id) => {
        const job = jobs.get(id);
        return (
          <div className="plan-job" data-many={job?.fanout}>
            <strong className="mono clip" title={id}>
              {id}
            </strong>
            <span className="dim clip">
              {job?.agent}
              {job?.fanout && " · for each"}
            </span>
          </div>
        );
      }}
    />
  );
}

function Short({ stages }: { stages: readonly Planned[] }) {
  return (
    <ol className="plain-list">
      {stages.map(({ name, jobs }) => (
        <li key={name}>
          <strong>{name}</strong> <span className="num dim">{jobs.length.toLocaleString()} jobs</span>
        </li>
      ))}
    </ol>
  );
}
