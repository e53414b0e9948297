/** One job beside the view it was chosen in: first why it is as it is, then its error, then everything else. */
import { useQuery } from "@tanstack/react-query";
import { useLayoutEffect, useState } from "react";
import { address, type Job, jobPath, type Run, runPath, type StoredError, textOf } from "../api/client.ts";
import { graph, job as jobQuery } from "../api/queries.ts";
import { Ansi } from "../parts/ansi.tsx";
import { counted, numberText } from "../parts/bytes.ts";
import { argument, Copy, CopyAs } from "../parts/copy.tsx";
import { Json } from "../parts/json.tsx";
import { Facts, Fault, Loading } from "../parts/screen.tsx";
import { State } from "../parts/state.tsx";
import { Tabs } from "../parts/tabs.tsx";
import { Ago, Duration } from "../parts/time.tsx";
import { useMay } from "../shell/role.ts";
import { useSearch, useSetSearch } from "../url.tsx";
import { JobArtifacts } from "./artifact-list.tsx";
import { Attempts } from "./attempts.tsx";
import { blockedBy } from "./blocked.ts";
import { CommandOf } from "./command.tsx";
import { Items } from "./items.tsx";
import { Logs } from "./logs.tsx";
import { Rerun } from "./rerun.tsx";
import { RetryJob } from "./retry.tsx";
import { SinceGood } from "./since-good.tsx";
import { filledText } from "./summaries.ts";
import { Transcript } from "./transcript.tsx";

interface PanelProps {
  run: Run;
  id: string;
  close: () => void;
  choose: (job: string) => void;
}

export function Panel({ run, id, close, choose }: PanelProps) {
  const query = useQuery(jobQuery(run.id, id));
  const { data: job, error } = query;
  useLayoutEffect(
    () => () => {
      // Closed from within: the focus goes back to the jobs beside it.
      if (document.querySelector("#panel :focus") !== null)
        document.querySelector<HTMLElement>(".split-main [tabindex='0']")?.focus();
    },
    [],
  );
  return (
    <aside className="panel" id="panel" aria-label={`Job ${id}`}>
      <header className="panel-head">
        {job !== undefined && <State state={job.state} />}
        <h2 className="mono clip" title={id}>
          {id}
        </h2>
        <button type="button" className="quiet" onClick={close} aria-label="Close the job">
          ✕
        </button>
      </header>
      {job === undefined ? (
        error === null ? (
          <Loading />
        ) : (
          <Fault error={error} again={() => void query.refetch()} />
        )
      ) : (
        <Inside run={run} job={job} choose={choose} />
      )}
    </aside>
  );
}

function Inside({ run, job, choose }: { run: Run; job: Job; choose: (job: string) => void }) {
  const tab = useSearch()["tab"] ?? "job";
  const isAgent = job.usage !== null;
  return (
    <>
      {!(tab === "job" && job.error !== null && job.why.includes(job.error.message)) && (
        <p className="why" data-state={job.state}>
          {job.why}
        </p>
      )}
      <Buttons run={run} job={job} />
      <Tabs
        label="Parts of this job"
        name="tab"
        chosen={tab}
        tabs={[
          { id: "job", title: "Job" },
          ...(isAgent ? [{ id: "talk", title: "Transcript" }] : []),
          { id: "log", title: "Log" },
          ...(job.items === null ? [] : [{ id: "items", title: "Items", count: job.items.total }]),
          { id: "attempts", title: "Attempts", count: job.attempts.length },
          { id: "artifacts", title: "Artifacts" },
        ]}
      />
      {tab === "log" ? (
        <Logs run={run.id} job={job.id} ended={job.endedAt !== null} />
      ) : tab === "items" && job.items !== null ? (
        <Items run={run} job={job} />
      ) : tab === "attempts" ? (
        <Attempts job={job} />
      ) : tab === "artifacts" ? (
        <JobArtifacts run={run.id} job={job} />
      ) : tab === "talk" ? (
        <Transcript run={run} job={job} />
      ) : (
        <About run={run} job={job} choose={choose} />
      )}
    </>
  );
}

function Buttons({ run, job }: { run: Run; job: Job }) {
  const [asked, ask] = useState<"retry" | "rerun" | null>(null);
  const may = useMay("operator");
  const canRetry =
    (job.state === "failed" || job.state === "cancelled" || job.state === "skipped") &&
    (run.state === "failed" || run.state === "cancelled");
  if (!may || (!canRetry && run.endedAt === null)) return null;
  return (
    <div className="panel-actions">
      {canRetry && (
        <button type="button" className="primary" onClick={() => ask("retry")}>
          Retry this job
        </button>
      )}
      {run.endedAt !== null && job.parent === null && (
        <button type="button" onClick={() => ask("rerun")}>
          Run again from here
        </button>
      )}
      {asked === "retry" && <RetryJob run={run} job={job} close={() => ask(null)} />}
      {asked === "rerun" && <Rerun run={run} close={() => ask(null)} from={{ job: job.id, input: job.input }} />}
    </div>
  );
}

function About({ run, job, choose }: { run: Run; job: Job; choose: (job: string) => void }) {
  return (
    <div className="sections">
      {job.error !== null && <ErrorOf error={job.error} />}
      {job.state === "failed" && <LastLines run={run.id} job={job} />}
      {job.state === "failed" && <SinceGood run={run} job={job} />}
      <Blocks run={run} job={job} choose={choose} />
      {job.needs.length > 0 && (
        <section>
          <h3>Needs</h3>
          <ul className="plain-list">
            {job.needs.map((need) => (
              <li key={need.job}>
                <State state={need.state} word={false} />{" "}
                <button type="button" className="link mono" onClick={() => choose(need.job)}>
                  {need.job}
                </button>
                {need.on !== "success" && <span className="dim"> on {need.on}</span>}
              </li>
            ))}
          </ul>
        </section>
      )}
      <CommandOf job={job} />
      {job.gates.length > 0 && <Gates job={job} />}
      {job.usage !== null && <Usage job={job} />}
      <section>
        <h3>Input</h3>
        <Json value={job.input} label="Input" />
      </section>
      <section>
        <h3>Output</h3>
        <Json value={job.output} label="Output" />
      </section>
      <JobFacts run={run} job={job} choose={choose} />
      <section>
        <h3>Steps</h3>
        {job.steps.length === 0 ? (
          <p className="dim">None.</p>
        ) : (
          <ul className="plain-list">
            {job.steps.slice(0, 200).map((step) => (
              <li key={`${step.item} ${step.key}`}>
                <code>{step.key}</code> {step.item >= 0 && <span className="dim">item {step.item} </span>}
                <Duration from={step.startedAt} to={step.endedAt} />
              </li>
            ))}
          </ul>
        )}
      </section>
      <section>
        <h3>As declared</h3>
        <Json value={job.spec} label="As declared" />
      </section>
    </div>
  );
}

/** What waits for it; of a failed one what could not run because of it. */
function Blocks({ run, job, choose }: { run: Run; job: Job; choose: (job: string) => void }) {
  const whole = useQuery(graph(run.id)).data;
  const failed = job.state === "failed";
  const ids = failed && whole !== undefined ? blockedBy(whole, job) : failed ? [] : job.blocks;
  if (ids.length === 0) return null;
  return (
    <section>
      <h3>{failed ? `It kept ${counted(ids.length, "job")} from running` : "Needed by"}</h3>
      <Chips ids={ids} choose={choose} />
    </section>
  );
}

function ErrorOf({ error }: { error: StoredError }) {
  return (
    <section className="fault">
      <strong>{error.message}</strong>
      {error.hint !== undefined && <div>{error.hint}</div>}
      <div className="fault-foot">
        <code>{error.code}</code>
        <span>{error.category}</span>
        <Copy text={() => JSON.stringify(error, null, 2)}>Copy</Copy>
      </div>
      {error.details !== undefined && <Json value={error.details} label="Details of the error" />}
    </section>
  );
}

const TAIL_BYTES = 8_192;
const TAIL_LINES = 50;

/** The end of what the command said, or of the job's log. */
function LastLines({ run, job }: { run: string; job: Job }) {
  const isCommand = typeof job.spec === "object" && job.spec !== null && "command" in job.spec;
  const path = isCommand
    ? address(jobPath(run, job.id, "/output"), { tail: TAIL_BYTES })
    : address(runPath(run, "/logs"), { job: job.id, tail: TAIL_LINES });
  const query = useQuery({
    queryKey: ["job", run, job.id, "tail"],
    queryFn: async ({ signal }) => {
      const text = await textOf(path, signal);
      if (isCommand) return text.split("\n").slice(-TAIL_LINES).join("\n");
      const { items } = JSON.parse(text) as { items: { level: string; message: string }[] };
      return items.map(({ level, message }) => (level === "INFO" ? message : `${level} ${message}`)).join("\n");
    },
    retry: false,
  });
  if (query.data === undefined || query.data.trim() === "") return null;
  return (
    <section>
      <h3>{isCommand ? "Last lines of its output" : "Last lines of its log"}</h3>
      <pre className="text tail" role="region" tabIndex={0} aria-label="Last lines">
        <Ansi text={query.data} />
      </pre>
    </section>
  );
}

function Chips({ ids, choose }: { ids: readonly string[]; choose: (job: string) => void }) {
  const [shown, setShown] = useState(8);
  return (
    <p className="chips">
      {ids.slice(0, shown).map((id) => (
        <button key={id} type="button" className="chip mono" onClick={() => choose(id)}>
          {id}
        </button>
      ))}
      {ids.length > shown && (
        <button type="button" className="quiet" onClick={() => setShown(ids.length)}>
          {ids.length - shown} more
        </button>
      )}
    </p>
  );
}

function Gates({ job }: { job: Job }) {
  return (
    <section>
      <h3>Gates</h3>
      {job.gates.map((gate) => (
        <div key={`${gate.attempt} ${gate.at}`} className="gate" data-verdict={gate.verdict}>
          <strong>{gate.verdict.toLowerCase().replaceAll("_", " ")}</strong>{" "}
          <span className="dim">
            attempt {gate.attempt}, then {gate.action.replaceAll("_", " ")}
          </span>
          <Json value={gate.findings} label="Findings" />
        </div>
      ))}
    </section>
  );
}

function Usage({ job }: { job: Job }) {
  const { usage } = job;
  if (usage === null) return null;
  return (
    <section>
      <h3>Model</h3>
      <Facts
        list={[
          ["Calls", numberText(usage.calls)],
          ["Tokens in", numberText(usage.inputTokens)],
          ["Tokens out", numberText(usage.outputTokens)],
          ["Cost", (usage.cost / 1_000_000).toFixed(4)],
        ]}
      />
    </section>
  );
}

function JobFacts({ run, job, choose }: { run: Run; job: Job; choose: (job: string) => void }) {
  const set = useSetSearch();
  const nodes = useQuery(graph(run.id)).data?.nodes ?? [];
  const children = job.children === 0 ? [] : nodes.filter((node) => node.parent === job.id).map((node) => node.id);
  const { parent } = job;
  return (
    <section>
      <h3>Details</h3>
      <Facts
        list={[
          ["Stage", job.stage],
          ["Agent", <code key="a">{job.agent}</code>],
          ...(job.summary === null ? [] : ([["Summary", filledText(job.summary, run.params)]] as const)),
          ["Attempts", `${job.attempt}, ${job.failures} failed, ${job.crashes} crashed`],
          ["In the queue", <Duration key="q" from={job.readyAt} to={job.startedAt} />],
          ["At work", <Duration key="w" from={job.startedAt} to={job.endedAt} />],
          ["Ended", <Ago key="e" at={job.endedAt} />],
          ...(parent === null
            ? []
            : ([
                [
                  "Parent",
                  <button key="p" type="button" className="link mono" onClick={() => choose(parent)}>
                    {parent}
                  </button>,
                ],
              ] as const)),
          ["Priority", job.priority],
        ]}
      />
      {children.length > 0 && (
        <>
          <h3>Children</h3>
          <Chips ids={children} choose={choose} />
          <button type="button" className="quiet" onClick={() => set({ view: "table", find: `${job.id}/` })}>
            Show them as a table
          </button>
        </>
      )}
      <CopyAs cli={`tenuto runs show ${argument(run.id)} --job ${argument(job.id)}`} path={jobPath(run.id, job.id)} />
    </section>
  );
}
