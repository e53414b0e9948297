/** The jobs of a pipeline that has not begun: stages as lanes. */
export interface Planned {
  name: string;
  jobs: { id: string; agent: string; needs: string[]; fanout: boolean }[];
}

export function Plan({ stages }: { stages: readonly Planned[] }) {
  return (
    <ol className="plan" tabIndex={0} aria-label="Stages">
      {stages.map((stage) => (
        <li key={stage.name}>
          <h3>{stage.name}</h3>
          <ul>
            {stage.jobs.map((job) => (
              <li key={job.id} className="plan-job" data-many={job.fanout}>
                <strong className="mono clip">{job.id}</strong>
                <span className="dim clip">
                  {job.agent}
                  {job.fanout && " · for each"}
                </span>
                {job.needs.length > 0 && <span className="dim clip">after {job.needs.join(", ")}</span>}
              </li>
            ))}
          </ul>
        </li>
      ))}
    </ol>
  );
}
