/** Items of a fan-out: filtered, and what failed retried, all or some. */
import { useInfiniteQuery } from "@tanstack/react-query";
import { useState } from "react";
import type { Item, Job, Run } from "../api/client.ts";
import { items as itemsQuery } from "../api/queries.ts";
import { counted } from "../parts/bytes.ts";
import { Json } from "../parts/json.tsx";
import { Empty, Fault, Loading } from "../parts/screen.tsx";
import { State } from "../parts/state.tsx";
import { useSearch, useSetSearch } from "../url.tsx";
import { RetryItems } from "./retry.tsx";

const STATES = ["failed", "skipped", "completed", "running", "pending", "cancelled"];

const canRunAgain = ({ state }: Item) => state === "failed" || state === "skipped" || state === "cancelled";

export function Items({ run, job }: { run: Run; job: Job }) {
  const search = useSearch();
  const set = useSetSearch();
  const state = search["items"];
  const query = useInfiniteQuery(itemsQuery(run.id, job.id, state));
  const [asked, ask] = useState(false);
  const rows = query.data?.pages.flatMap((page) => page.items) ?? [];
  const [selected, setSelected] = useState<ReadonlySet<number>>(new Set());
  const toggle = (ordinal: number) => {
    const next = new Set(selected);
    if (!next.delete(ordinal)) next.add(ordinal);
    setSelected(next);
  };
  const again = rows.filter(canRunAgain).map(({ ordinal }) => ordinal);
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
          <>
            <button type="button" className="primary" onClick={() => ask(true)}>
              {selected.size === 0 ? "Retry what failed" : `Retry ${selected.size} selected`}
            </button>
            {again.length > 0 && (
              <button
                type="button"
                className="quiet"
                onClick={() => setSelected(selected.size === 0 ? new Set(again) : new Set())}
              >
                {selected.size === 0 ? "Select all shown" : "Select none"}
              </button>
            )}
          </>
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
            <ItemRow
              key={item.ordinal}
              item={item}
              selected={selected.has(item.ordinal)}
              select={canRetry && canRunAgain(item) ? () => toggle(item.ordinal) : null}
            />
          ))}
        </ul>
      )}
      {query.hasNextPage && (
        <button type="button" disabled={query.isFetchingNextPage} onClick={() => void query.fetchNextPage()}>
          More
        </button>
      )}
      {asked && (
        <RetryItems
          run={run}
          job={job}
          ordinals={[...selected].sort((a, b) => a - b)}
          close={() => ask(false)}
          done={() => setSelected(new Set())}
        />
      )}
    </div>
  );
}

interface RowProps {
  item: Item;
  selected: boolean;
  select: (() => void) | null;
}

function ItemRow({ item, selected, select }: RowProps) {
  return (
    <li data-selected={selected}>
      <div className="item-line">
        {select !== null && (
          <input type="checkbox" aria-label={`Select item ${item.ordinal}`} checked={selected} onChange={select} />
        )}
        <span className="num dim">{item.ordinal}</span>
        <State state={item.state} />
        {item.attempts > 1 && <span className="tag">attempt {item.attempts}</span>}
        {item.error !== null && <span className="item-error">{item.error.message}</span>}
      </div>
      {item.error === null && item.result !== null && (
        <Json value={item.result} label={`Result of item ${item.ordinal}`} />
      )}
    </li>
  );
}
