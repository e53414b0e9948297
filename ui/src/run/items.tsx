/** Items of a fan-out: filtered, and what failed retried, all or some. */
import { useInfiniteQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { call, type Item, type Job, type Run, runPath } from "../api/client.ts";
import { items as itemsQuery } from "../api/queries.ts";
import { counted } from "../parts/bytes.ts";
import { argument, CopyAs } from "../parts/copy.tsx";
import { Confirm } from "../parts/dialog.tsx";
import { Json } from "../parts/json.tsx";
import { Empty, Fault, Loading } from "../parts/screen.tsx";
import { State } from "../parts/state.tsx";
import { useSearch, useSetSearch } from "../url.tsx";

const STATES = ["failed", "skipped", "completed", "running", "pending", "cancelled"];

export function Items({ run, job }: { run: Run; job: Job }) {
  const search = useSearch();
  const set = useSetSearch();
  const state = search["items"];
  const query = useInfiniteQuery(itemsQuery(run.id, job.id, state));
  const [asked, ask] = useState(false);
  const rows = query.data?.pages.flatMap((page) => page.items) ?? [];
  const canRetry = run.state === "failed" || run.state === "cancelled";
  const counts = job.items;
  return (
    <div className="items">
      {counts !== null && (
        <p className="dim">
          {counted(counts.total, "item")}: {counts.completed.toLocaleString()} completed,{" "}
          {counts.failed.toLocaleString()} failed, {counts.skipped.toLocaleString()} skipped,{" "}
          {counts.duplicates.toLocaleString()} duplicates
        </p>
      )}
      <div className="filters">
        <select
          aria-label="State of items"
          value={state ?? ""}
          onChange={(event) => set({ items: event.target.value || undefined })}
        >
          <option value="">All states</option>
          {STATES.map((one) => (
            <option key={one}>{one}</option>
          ))}
        </select>
        {canRetry && (
          <button type="button" className="primary" onClick={() => ask(true)}>
            Retry what failed
          </button>
        )}
      </div>
      {query.error !== null && query.data === undefined ? (
        <Fault error={query.error} again={() => void query.refetch()} />
      ) : query.data === undefined ? (
        <Loading />
      ) : rows.length === 0 ? (
        <Empty title="No item is like this.">Items that nothing has happened to have no row yet.</Empty>
      ) : (
        <ul className="item-list">
          {rows.map((item) => (
            <ItemRow key={item.ordinal} item={item} />
          ))}
        </ul>
      )}
      {query.hasNextPage && (
        <button type="button" disabled={query.isFetchingNextPage} onClick={() => void query.fetchNextPage()}>
          More
        </button>
      )}
      {asked && <Retry run={run} job={job} close={() => ask(false)} />}
    </div>
  );
}

function ItemRow({ item }: { item: Item }) {
  return (
    <li>
      <div className="item-line">
        <span className="num dim">{item.ordinal}</span>
        <State state={item.state} />
        {item.attempts > 1 && <span className="tag">attempt {item.attempts}</span>}
        {item.error !== null && <span className="clip">{item.error.message}</span>}
      </div>
      {item.error === null && item.result !== null && (
        <Json value={item.result} label={`Result of item ${item.ordinal}`} />
      )}
    </li>
  );
}

function Retry({ run, job, close }: { run: Run; job: Job; close: () => void }) {
  const client = useQueryClient();
  const path = runPath(run.id, "/retry");
  const send = { method: "POST" as const, body: {} };
  const act = async () => {
    await call(path, send);
    await client.invalidateQueries();
  };
  return (
    <Confirm title={`Retry items of ${job.id}`} verb="Retry" close={close} act={act}>
      <p>
        Items that did not complete run again, and whatever else in the run did not complete. Completed items are kept.
      </p>
      <CopyAs cli={`tenuto runs retry ${argument(run.id)}`} path={path} send={send} />
    </Confirm>
  );
}
