/** Which jobs a log is of: none named means all of the run. */
import { useQuery } from "@tanstack/react-query";
import { useId } from "react";
import { graph } from "../api/queries.ts";
import { useSearch, useSetSearch } from "../url.tsx";

const MOST_OFFERED = 500;
/** As the server takes a list: commas within an id are written. */
const written = (id: string) => id.replaceAll("%", "%25").replaceAll(",", "%2C");
const read = (text: string) => text.replaceAll("%2C", ",").replaceAll("%25", "%");

export function LogJobs({ run }: { run: string }) {
  const search = useSearch();
  const set = useSetSearch();
  const id = useId();
  const nodes = useQuery(graph(run)).data?.nodes ?? [];
  const chosen = (search["of"] ?? "")
    .split(",")
    .filter((one) => one !== "")
    .map(read);
  const become = (next: string[]) => set({ of: next.map(written).join(",") || undefined, line: undefined });
  return (
    <>
      <input
        key={chosen.length}
        list={id}
        className="log-jobs"
        aria-label="Only of a job"
        placeholder={chosen.length === 0 ? "All jobs" : "And of"}
        onChange={({ target }) => {
          if (nodes.some((node) => node.id === target.value) && !chosen.includes(target.value))
            become([...chosen, target.value]);
        }}
      />
      <datalist id={id}>
        {nodes.slice(0, MOST_OFFERED).map((node) => (
          <option key={node.id} value={node.id} />
        ))}
      </datalist>
      {chosen.map((one) => (
        <button key={one} type="button" className="chip mono" onClick={() => become(chosen.filter((id) => id !== one))}>
          {one} <span aria-hidden="true">✕</span>
          <span className="hidden-text">leave out</span>
        </button>
      ))}
    </>
  );
}
