/**
 * Ctrl-K: goes anywhere and starts anything, by a few letters.
 *
 * Invariants: (1) Enter acts on what the typed text means: while an answer that could put another entry first is under way it
 * waits, and acts when the answer is there; typing on or Escape calls it off; (2) an entry that was chosen by hand stays chosen
 * when others come before it.
 */
import { useQuery } from "@tanstack/react-query";
import { useEffect, useLayoutEffect, useRef, useState } from "react";
import { address, call, type Page, type RunSummary } from "../api/client.ts";
import { brief, templates } from "../api/queries.ts";
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

interface Found {
  entries: Entry[];
  /** Nothing that is still under way can put another entry first. */
  settled: boolean;
}

/** What is always there: screens and looks. */
function useFixed(): Entry[] {
  const go = useGo();
  const path = usePath();
  return [
    { id: "runs", title: "Runs", hint: "go", act: () => go("/") },
    { id: "failed", title: "Failed runs", hint: "go", act: () => go("/", { state: "failed" }) },
    { id: "running", title: "Runs at work", hint: "go", act: () => go("/", { state: "running,waiting,pending" }) },
    { id: "approvals", title: "Approvals", hint: "go", act: () => go("/approvals") },
    { id: "artifacts", title: "Artifacts", hint: "go", act: () => go("/artifacts") },
    { id: "templates", title: "Templates", hint: "go", act: () => go("/templates") },
    { id: "schedules", title: "Schedules", hint: "go", act: () => go("/schedules") },
    { id: "agents", title: "Agents", hint: "go", act: () => go("/agents") },
    { id: "workers", title: "Workers and limits", hint: "go", act: () => go("/workers") },
    { id: "webhooks", title: "Webhooks", hint: "go", act: () => go("/webhooks") },
    { id: "compare", title: "Compare two runs", hint: "go", act: () => go("/compare", runOf(path)) },
    { id: "settings", title: "Settings", hint: "go", act: () => go("/settings") },
    { id: "dark", title: "Dark", hint: "look", act: () => setLook({ theme: "dark" }) },
    { id: "light", title: "Light", hint: "look", act: () => setLook({ theme: "light" }) },
    { id: "compact", title: "Compact rows", hint: "look", act: () => setLook({ density: "compact" }) },
    { id: "normal", title: "Normal rows", hint: "look", act: () => setLook({ density: "normal" }) },
  ];
}

function useFound(text: string): Found {
  const go = useGo();
  const fixed = useFixed();
  const known = useQuery(brief);
  const kept = useQuery(templates);
  const found = useQuery({
    queryKey: ["palette", text],
    queryFn: ({ signal }) => call<Page<RunSummary>>(address("/api/runs", { q: text, limit: 8 }), { signal }),
    placeholderData: (old) => old,
  });
  const starts = (known.data?.items ?? []).map(({ name }) => ({
    id: `p ${name}`,
    title: `Start ${name}`,
    hint: "pipeline",
    act: () => go(`/pipelines/${name}`),
  }));
  const fromTemplates = (kept.data?.items ?? []).map(({ name }) => ({
    id: `t ${name}`,
    title: `Start ${name}`,
    hint: "template",
    act: () => go(`/templates/${name}`),
  }));
  const wanted = text
    .toLowerCase()
    .split(/\s+/)
    .filter((word) => word !== "");
  const fits = ({ title, hint }: Entry) => wanted.every((word) => `${title} ${hint}`.toLowerCase().includes(word));
  const low = text.trim().toLowerCase();
  const runs = (found.data?.items ?? [])
    // Until the answer to this text is there: of the one before what fits this text too.
    .filter(({ id, pipeline }) => `${id} ${pipeline}`.toLowerCase().includes(low))
    .map((run) => ({
      id: `r ${run.id}`,
      title: run.id,
      hint: run.pipeline,
      mark: <Mark state={run.state} />,
      act: () => go(`/runs/${run.id}`),
    }));
  if (low === "") return { entries: [...fixed.slice(0, 4), ...runs, ...fixed.slice(4), ...starts], settled: true };
  const mine = fixed.filter(fits);
  const startable = [...starts, ...fromTemplates].filter(fits);
  const listsThere = !known.isPending && !kept.isPending;
  const first = mine.length > 0 || (listsThere && startable.length > 0);
  return {
    entries: [...[...mine, ...startable].slice(0, 12), ...runs],
    settled: first || (listsThere && !found.isPending && !found.isPlaceholderData),
  };
}

function runOf(path: string): Record<string, string> {
  const [, area, name] = path.split("/");
  return area === "runs" && name !== undefined ? { a: name } : {};
}

export function Palette({ close }: { close: () => void }) {
  const [text, setText] = useState("");
  const [at, setAt] = useState<string | null>(null);
  const [entered, setEntered] = useState(false);
  const ref = useRef<HTMLDialogElement>(null);
  const { entries, settled } = useFound(text);
  const chosen = Math.max(
    0,
    entries.findIndex(({ id }) => id === at),
  );
  const waits = entered && !settled;
  useLayoutEffect(() => {
    ref.current?.showModal();
  }, []);
  useEffect(() => {
    // Gives a promise in newer browsers, which is nothing to clean up with.
    document.getElementById(`palette-${chosen}`)?.scrollIntoView({ block: "nearest" });
  }, [chosen]);
  const act = (entry: Entry | undefined) => {
    setEntered(false);
    if (entry === undefined) return;
    close();
    entry.act();
  };
  // biome-ignore lint/correctness/useExhaustiveDependencies: it acts once, when the answer is there
  useEffect(() => {
    if (entered && settled) act(entries[chosen]);
  }, [entered, settled]);
  const onKey = (event: React.KeyboardEvent) => {
    const step = event.key === "ArrowDown" ? 1 : event.key === "ArrowUp" ? -1 : 0;
    if (step !== 0) {
      event.preventDefault();
      setEntered(false);
      setAt(entries[(chosen + step + entries.length) % Math.max(1, entries.length)]?.id ?? null);
    } else if (event.key === "Enter" && !event.nativeEvent.isComposing) {
      event.preventDefault();
      if (settled || entries[chosen]?.id === at) act(entries[chosen]);
      else setEntered(true);
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
          setAt(null);
          setEntered(false);
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
            onPointerMove={(event) => (event.movementX !== 0 || event.movementY !== 0) && setAt(entry.id)}
          >
            {entry.mark}
            <span className="palette-title">{entry.title}</span>
            <span className="dim">{entry.hint}</span>
          </div>
        ))}
        {(waits || entries.length === 0) && (
          <p className="dim palette-note" role="status">
            {settled ? "Nothing is called so." : "Looking"}
          </p>
        )}
      </div>
    </dialog>
  );
}
