/** A failed job beside the same job of the last run that went well: what differs is often the cause. */
import { useQuery } from "@tanstack/react-query";
import type { Job, Run } from "../api/client.ts";
import { job as jobQuery, lastGood, run as runQuery } from "../api/queries.ts";
import { JsonDiff } from "../parts/diff.tsx";
import { Ago, durationText } from "../parts/time.tsx";
import { A } from "../url.tsx";

const took = ({ startedAt, endedAt }: Job) =>
  startedAt === null || endedAt === null ? null : Date.parse(endedAt) - Date.parse(startedAt);

/** Everything that a job is made of and given, but not what became of it. */
const given = (job: Job, run: Run) => ({
  params: run.params,
  version: run.version.slice(0, 12),
  agent: job.agent,
  input: job.input,
  needs: job.needs.map(({ job: id, state }) => `${id} ${state}`),
  spec: job.spec,
});

export function SinceGood({ run, job }: { run: Run; job: Job }) {
  const good = useQuery(lastGood(run.pipeline, run.seq)).data ?? undefined;
  const found = useQuery({ ...jobQuery(good?.id ?? "", job.id), enabled: good !== undefined, retry: false });
  const whole = useQuery(runQuery(good?.id ?? ""));
  if (good === undefined) return null;
  const before = found.data;
  const [now, then] = [took(job), before === undefined ? null : took(before)];
  return (
    <section>
      <h3>
        Since it went well in{" "}
        <A to={`/runs/${good.id}`} search={{ job: job.id }}>
          {good.id}
        </A>
        , <Ago at={good.createdAt} />
      </h3>
      {found.error !== null && <p className="dim">That run had no such job.</p>}
      {now !== null && then !== null && (
        <p className="num">
          It took {durationText(now)}; then {durationText(then)}.
        </p>
      )}
      {before !== undefined && whole.data !== undefined && (
        <Given before={given(before, whole.data)} after={given(job, run)} />
      )}
      <p>
        <A to="/compare" search={{ a: good.id, b: run.id }}>
          Compare both runs
        </A>
      </p>
    </section>
  );
}

function Given({ before, after }: { before: ReturnType<typeof given>; after: ReturnType<typeof given> }) {
  if (JSON.stringify(before) === JSON.stringify(after))
    return <p>Params, input and definition are the same: look outside of this pipeline.</p>;
  const differs = (name: string) =>
    JSON.stringify(before[name as keyof typeof before]) !== JSON.stringify(after[name as keyof typeof after]);
  const only = (all: object) => Object.fromEntries(Object.entries(all).filter(([name]) => differs(name)));
  return <JsonDiff before={only(before)} after={only(after)} />;
}
