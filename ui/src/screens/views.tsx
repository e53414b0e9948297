/**
 * Filters of the runs that somebody wants to see again, under a name of theirs, kept in this browser.
 *
 * Invariant: what is kept is an address and a name; what can't be read is as if there were none.
 */
import { useState, useSyncExternalStore } from "react";
import { Confirm } from "../parts/dialog.tsx";
import { type Search, useGo, useSearch, writeSearch } from "../url.tsx";

interface View {
  name: string;
  search: string;
}

const KEY = "tenuto.views";
const MOST = 50;
const watchers = new Set<() => void>();
let views = read();

function read(): readonly View[] {
  try {
    const kept: unknown = JSON.parse(localStorage.getItem(KEY) ?? "[]");
    if (!Array.isArray(kept)) return [];
    return kept
      .filter((one): one is View => typeof one?.name === "string" && typeof one?.search === "string")
      .slice(0, MOST);
  } catch {
    return [];
  }
}

function keep(next: readonly View[]): void {
  views = next.slice(0, MOST);
  localStorage.setItem(KEY, JSON.stringify(views));
  for (const call of watchers) call();
}

addEventListener("storage", ({ key }) => {
  if (key !== KEY) return;
  views = read();
  for (const call of watchers) call();
});

const watch = (call: () => void) => {
  watchers.add(call);
  return () => watchers.delete(call);
};

const ordered = (search: Search) =>
  writeSearch(Object.fromEntries(Object.entries(search).sort(([a], [b]) => a.localeCompare(b))));

export function Views() {
  const list = useSyncExternalStore(watch, () => views);
  const search = useSearch();
  const go = useGo();
  const [asked, ask] = useState(false);
  const [name, setName] = useState("");
  const here = ordered(search);
  const chosen = list.find((view) => view.search === here);
  if (list.length === 0 && here === "") return null;
  return (
    <>
      {list.length > 0 && (
        <select
          aria-label="Saved views"
          value={chosen?.name ?? ""}
          onChange={({ target }) => {
            const view = list.find((one) => one.name === target.value);
            go("/", Object.fromEntries(new URLSearchParams(view?.search ?? "")));
          }}
        >
          <option value="">{chosen === undefined ? "Saved views" : "All runs"}</option>
          {list.map((view) => (
            <option key={view.name}>{view.name}</option>
          ))}
        </select>
      )}
      {chosen !== undefined ? (
        <button type="button" className="quiet" onClick={() => keep(list.filter((one) => one !== chosen))}>
          Forget view
        </button>
      ) : (
        here !== "" && (
          <button type="button" className="quiet" onClick={() => ask(true)}>
            Save view
          </button>
        )
      )}
      {asked && (
        <Confirm
          title="Save this view"
          verb="Save"
          close={() => ask(false)}
          act={async () =>
            keep([...list.filter((one) => one.name !== name.trim()), { name: name.trim(), search: here }])
          }
        >
          <label className="field">
            <span>Name</span>
            <input required maxLength={60} value={name} onChange={(event) => setName(event.target.value)} />
            <span className="dim">Kept in this browser. The address does the same for others.</span>
          </label>
        </Confirm>
      )}
    </>
  );
}
