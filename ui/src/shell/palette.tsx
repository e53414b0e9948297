/** Ctrl-K: goes anywhere and starts anything, by a few letters. */
import { useQuery } from "@tanstack/react-query";
import { useDeferredValue, useEffect, useRef, useState } from "react";
import { address, call, type Page, type RunSummary } from "../api/client.ts";
import { pipelines, templates } from "../api/queries.ts";
import { Mark } from "../parts/state.tsx";
import { useGo, usePath } from "../url.tsx";
import { setLook } from "./look.ts";

interface Entry {
  id: string;
  title: string;
  hint: string;
  mark?: React.ReactNode;
  act: () => void;
}

function useEntries(text: string): Entry[] {
  const go = useGo();
  const path = usePath();
  const known = useQuery(pipelines).data?.items ?? [];
  const kept = useQuery(templates).data?.items ?? [];
  const found = useQuery({
    queryKey: ["palette", text],
    queryFn: () => call<Page<RunSummary>>(address("/api/runs", { q: text, limit: 8 })),
    placeholderData: (old) => old,
  });
  const fixed: Entry[] = [
    { id: "runs", title: "Runs", hint: "go", act: () => go("/") },
    { id: "failed", title: "Failed runs", hint: "go", act: () => go("/", { state: "failed" }) },
    { id: "running", title: "Runs at work", hint: "go", act: () => go("/", { state: "running,waiting,pending" }) },
    { id: "approvals", title: "Approvals", hint: "go", act: () => go("/approvals") },
    { id: "templates", title: "Templates", hint: "go", act: () => go("/templates") },
    { id: "schedules", title: "Schedules", hint: "go", act: () => go("/schedules") },
    { id: "agents", title: "Agents", hint: "go", act: () => go("/agents") },
    { id: "workers", title: "Workers and limits", hint: "go", act: () => go("/workers") },
    { id: "compare", title: "Compare two runs", hint: "go", act: () => go("/compare", runOf(path)) },
    { id: "settings", title: "Settings", hint: "go", act: () => go("/settings") },
    { id: "dark", title: "Dark", hint: "look", act: () => setLook({ theme: "dark" }) },
    { id: "light", title: "Light", hint: "look", act: () => setLook({ theme: "light" }) },
    { id: "compact", title: "Compact rows", hint: "look", act: () => setLook({ density: "compact" }) },
    { id: "normal", title: "Normal rows", hint: "look", act: () => setLook({ density: "normal" }) },
  ];
  const starts = known.map(({ name }) => ({
    id: `p ${name}`,
    title: `Start ${name}`,
    hint: "pipeline",
    act: () => go(`/pipelines/${name}`),
  }));
  const fromTemplates = kept.map(({ name }) => ({
    id: `t ${name}`,
    title: `Start ${name}`,
    hint: "template",
    act: () => go(`/templates/${name}`),
  }));
  const wanted = text
    .toLowerCase()
    .split(/\s+/)
    .filter((word) => word !== "");
  const matching = [...fixed, ...starts, ...fromTemplates].filter(({ title, hint }) =>
    wanted.every((word) => `${title} ${hint}`.toLowerCase().includes(word)),
  );
  const runs = (found.data?.items ?? []).map((run) => ({
    id: `r ${run.id}`,
    title: run.id,
    hint: run.pipeline,
    mark: <Mark state={run.state} />,
    act: () => go(`/runs/${run.id}`),
  }));
  return text === ""
    ? [...fixed.slice(0, 4), ...runs, ...fixed.slice(4), ...starts]
    : [...matching.slice(0, 12), ...runs];
}

function runOf(path: string): Record<string, string> {
  const [, area, name] = path.split("/");
  return area === "runs" && name !== undefined ? { a: name } : {};
}

export function Palette({ close }: { close: () => void }) {
  const [text, setText] = useState("");
  const [at, setAt] = useState(0);
  const ref = useRef<HTMLDialogElement>(null);
  const entries = useEntries(useDeferredValue(text));
  const chosen = Math.min(at, entries.length - 1);
  useEffect(() => ref.current?.showModal(), []);
  useEffect(() => document.getElementById(`palette-${chosen}`)?.scrollIntoView({ block: "nearest" }), [chosen]);
  const act = (entry: Entry | undefined) => {
    if (entry === undefined) return;
    close();
    entry.act();
  };
  const onKey = (event: React.KeyboardEvent) => {
    const step = event.key === "ArrowDown" ? 1 : event.key === "ArrowUp" ? -1 : 0;
    if (step !== 0) {
      event.preventDefault();
      setAt((chosen + step + entries.length) % Math.max(1, entries.length));
    } else if (event.key === "Enter") {
      event.preventDefault();
      act(entries[chosen]);
    }
  };
  return (
    <dialog ref={ref} className="palette" aria-label="Search or do" onClose={close}>
      <input
        role="combobox"
        aria-expanded="true"
        aria-controls="palette-list"
        aria-activedescendant={`palette-${chosen}`}
        aria-label="Search runs, screens and actions"
        placeholder="A run, a screen, or something to do"
        value={text}
        onKeyDown={onKey}
        onChange={(event) => {
          setText(event.target.value);
          setAt(0);
        }}
      />
      <div id="palette-list" role="listbox" aria-label="Found" className="palette-list">
        {entries.map((entry, i) => (
          // biome-ignore lint/a11y/useKeyWithClickEvents: the field above takes the keys
          <div
            key={entry.id}
            id={`palette-${i}`}
            role="option"
            tabIndex={-1}
            aria-selected={i === chosen}
            onClick={() => act(entry)}
            onPointerMove={() => setAt(i)}
          >
            {entry.mark}
            <span className="palette-title">{entry.title}</span>
            <span className="dim">{entry.hint}</span>
          </div>
        ))}
        {entries.length === 0 && <p className="dim">Nothing is called so.</p>}
      </div>
    </dialog>
  );
}
