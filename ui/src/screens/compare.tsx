/** Two runs side by side, by their addresses: params, versions, and jobs that ended otherwise or took another time. */
import { useQuery } from "@tanstack/react-query";
import { useId, useState } from "react";
import { address, call, type GraphNode, type Page, type Run, type RunSummary } from "../api/client.ts";
import { graph, run } from "../api/queries.ts";
import { Changes, difference, JsonDiff } from "../parts/diff.tsx";
import { Empty, Facts, Fault, Head, Loading, useTitle } from "../parts/screen.tsx";
import { State } from "../parts/state.tsx";
import { Ago, Duration, durationText } from "../parts/time.tsx";
import { A, useSearch, useSetSearch } from "../url.tsx";

export function CompareScreen() {
  useTitle("Compare");
  const { a, b } = useSearch();
  const set = useSetSearch();
  return (
    <div className="screen">
      <Head title="Compare two runs">
        <Choose label="One run" value={a} choose={(id) => set({ a: id })} />
        <button
          type="button"
          className="quiet"
          onClick={() => set({ a: b, b: a })}
          disabled={!a || !b}
          aria-label="Swap"
        >
          ⇄
        </button>
        <Choose label="Another run" value={b} like={a} choose={(id) => set({ b: id })} />
      </Head>
      {a === undefined || b === undefined ? (
        <Empty title="Name two runs.">
          The fastest way to a cause is often the last run that went well. Both are in the address of this page.
        </Empty>
      ) : (
        <Both a={a} b={b} />
      )}
    </div>
  );
}

interface ChooseProps {
  label: string;
  value: string | undefined;
  like?: string | undefined;
  choose: (id: string) => void;
}

function Choose({ label, value, like, choose }: ChooseProps) {
  const [text, setText] = useState(value ?? "");
  const id = useId();
  const of = useQuery({ ...run(like ?? ""), enabled: like !== undefined }).data?.pipeline;
  const found = useQuery({
    queryKey: ["choose", text, of],
    queryFn: () =>
      call<Page<RunSummary>>(address("/api/runs", { q: text === "" ? undefined : text, pipeline: of, limit: 12 })),
  });
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        choose(text);
      }}
    >
      <input
        list={id}
        aria-label={label}
        placeholder={label}
        className="mono"
        value={text}
        onChange={(event) => {
          setText(event.target.value);
          if (found.data?.items.some((one) => one.id === event.target.value)) choose(event.target.value);
        }}
        onBlur={() => text !== (value ?? "") && choose(text)}
      />
      <datalist id={id}>
        {found.data?.items.map((one) => (
          <option key={one.id} value={one.id}>
            {one.pipeline}, {one.state}
          </option>
        ))}
      </datalist>
    </form>
  );
}

function Both({ a, b }: { a: string; b: string }) {
  const left = useQuery(run(a));
  const right = useQuery(run(b));
  const nodesLeft = useQuery(graph(a));
  const nodesRight = useQuery(graph(b));
  const error = left.error ?? right.error ?? nodesLeft.error ?? nodesRight.error;
  if (error !== null) return <Fault error={error} />;
  if (!left.data || !right.data || !nodesLeft.data || !nodesRight.data) return <Loading />;
  return (
    <>
      <div className="two">
        <Summary run={left.data} />
        <Summary run={right.data} />
      </div>
      <section>
        <h2>Params</h2>
        <JsonDiff before={left.data.params} after={right.data.params} />
      </section>
      <Jobs left={nodesLeft.data.nodes} right={nodesRight.data.nodes} a={a} b={b} />
      <section>
        <h2>Output</h2>
        <JsonDiff before={left.data.output} after={right.data.output} />
      </section>
      {(left.data.error !== null || right.data.error !== null) && (
        <section>
          <h2>First error</h2>
          <Changes list={difference(left.data.error?.message ?? "", right.data.error?.message ?? "")} />
        </section>
      )}
    </>
  );
}

function Summary({ run: one }: { run: Run }) {
  return (
    <section>
      <h2>
        <State state={one.state} />{" "}
        <A to={`/runs/${one.id}`} className="mono">
          {one.id}
        </A>
      </h2>
      <Facts
        list={[
          ["Pipeline", one.pipeline],
          ["Version", <code key="v">{one.version.slice(0, 12)}</code>],
          ["Duration", <Duration key="d" from={one.startedAt} to={one.endedAt} />],
          ["Jobs", `${one.jobs.total}, ${one.jobs.failed} failed`],
          ["Created", <Ago key="c" at={one.createdAt} />],
        ]}
      />
    </section>
  );
}

const ms = (node: GraphNode | undefined) =>
  node?.startedAt == null || node.endedAt === null ? null : Date.parse(node.endedAt) - Date.parse(node.startedAt);
const MOST = 300;
const NOTABLE_MS = 100;

function Jobs({ left, right, a, b }: { left: GraphNode[]; right: GraphNode[]; a: string; b: string }) {
  const search = useSearch();
  const set = useSetSearch();
  const all = search["all"] === "1";
  const inRight = new Map(right.map((node) => [node.id, node]));
  const inLeft = new Set(left.map((node) => node.id));
  const pairs = [
    ...left.map((node) => [node, inRight.get(node.id)] as const),
    ...right.filter((node) => !inLeft.has(node.id)).map((node) => [undefined, node] as const),
  ];
  const differs = ([x, y]: (typeof pairs)[number]) => {
    if (x?.state !== y?.state || x?.agent !== y?.agent || x?.attempt !== y?.attempt) return true;
    const [p, q] = [ms(x) ?? 0, ms(y) ?? 0];
    return Math.abs(p - q) > NOTABLE_MS && Math.max(p, q) > 2 * Math.min(p, q);
  };
  const rows = all ? pairs : pairs.filter(differs);
  return (
    <section>
      <h2>Jobs</h2>
      <label className="check">
        <input
          type="checkbox"
          checked={all}
          onChange={(event) => set({ all: event.target.checked ? "1" : undefined })}
        />
        Also those that are alike
      </label>
      {rows.length === 0 ? (
        <p className="dim">All {pairs.length} jobs ended alike, in about the same time.</p>
      ) : (
        <div className="scroll" tabIndex={0} role="region" aria-label="Jobs of both runs">
          <table className="plain-table">
            <thead>
              <tr>
                <th>Job</th>
                <th>{a}</th>
                <th className="right">took</th>
                <th>{b}</th>
                <th className="right">took</th>
              </tr>
            </thead>
            <tbody>
              {rows.slice(0, MOST).map(([x, y]) => (
                <tr key={(x ?? y)?.id}>
                  <td className="mono">{(x ?? y)?.id}</td>
                  <Half node={x} run={a} />
                  <Half node={y} run={b} />
                </tr>
              ))}
            </tbody>
          </table>
          {rows.length > MOST && <p className="dim">and {rows.length - MOST} more</p>}
        </div>
      )}
    </section>
  );
}

function Half({ node, run: id }: { node: GraphNode | undefined; run: string }) {
  const took = ms(node);
  return (
    <>
      <td>
        {node === undefined ? (
          <span className="dim">not there</span>
        ) : (
          <A to={`/runs/${id}`} search={{ job: node.id }} className="plain">
            <State state={node.state} />
            {node.attempt > 1 && <span className="tag">attempt {node.attempt}</span>}
          </A>
        )}
      </td>
      <td className="right num">{took === null ? "–" : durationText(took)}</td>
    </>
  );
}
