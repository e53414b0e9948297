/** The frame of all screens: rail, top line, connection, palette. */
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Outlet, useRouterState } from "@tanstack/react-router";
import { useEffect, useLayoutEffect, useRef, useState } from "react";
import { ProblemError, whenLoggedOut } from "../api/client.ts";
import { live, useConnection } from "../api/live.ts";
import { counts, session } from "../api/queries.ts";
import { useFollowRuns } from "../api/sync.ts";
import { Fault, Loading } from "../parts/screen.tsx";
import { A, useGo, usePath } from "../url.tsx";
import { useKeys } from "./keys.ts";
import { Login } from "./login.tsx";
import { Palette } from "./palette.tsx";
import { Shortcuts } from "./shortcuts.tsx";

const ASK_MS = 3_000;

export function Frame() {
  const connection = useConnection();
  // A stream that is refused does not say why: whether the session has ended is asked for until it is back.
  const who = useQuery({ ...session, refetchInterval: connection === "lost" ? ASK_MS : false });
  const client = useQueryClient();
  // Who I am is asked again; the refusal of that shows the login.
  useEffect(() => whenLoggedOut(() => void client.refetchQueries({ queryKey: session.queryKey })), [client]);
  if (who.error instanceof ProblemError && who.error.problem.status === 401)
    return <Login ended={who.data !== undefined} />;
  if (who.data === undefined)
    return (
      <main className="login">
        {who.error === null ? <Loading lines={3} /> : <Fault error={who.error} again={() => void who.refetch()} />}
      </main>
    );
  return <Inside />;
}

const PLACES = [
  { to: "/", title: "Runs", key: "g r", icon: "M3 4h10M3 8h10M3 12h6" },
  { to: "/approvals", title: "Approvals", key: "g a", icon: "M3 8.5l3.2 3.2L13 5" },
  { to: "/templates", title: "Templates", key: "g t", icon: "M3 3h4v4H3zM9 9h4v4H9zM7 5h4v4" },
  { to: "/artifacts", title: "Artifacts", key: "g f", icon: "M4 2.5h5.5L12.5 5.5v8h-8.5zM9 2.8v3.2h3.2", wide: true },
  {
    to: "/schedules",
    title: "Schedules",
    key: "g s",
    icon: "M8 4.5V8l2.5 1.5M8 2.5a5.5 5.5 0 1 1 0 11a5.5 5.5 0 0 1 0-11",
  },
  {
    to: "/agents",
    title: "Agents",
    key: "g e",
    icon: "M8 2.8a2.4 2.4 0 1 1 0 4.8a2.4 2.4 0 0 1 0-4.8M3.2 13.4c.6-2.6 2.4-3.8 4.8-3.8s4.2 1.2 4.8 3.8",
  },
  { to: "/workers", title: "Workers", key: "g w", icon: "M2.5 3h11v4h-11zM2.5 9h11v4h-11zM5 5h.01M5 11h.01" },
  { to: "/settings", title: "Settings", key: "g ,", icon: "M3 5h6M12 5h1M3 11h1M7 11h6M10.5 3.5v3M5.5 9.5v3" },
] as const;

function Inside() {
  const connection = useConnection();
  const count = useQuery(counts);
  const [cursor, setCursor] = useState<string>();
  const [palette, setPalette] = useState(false);
  const [help, setHelp] = useState(false);
  const go = useGo();
  useEffect(() => live.begin(), []);
  useEffect(() => {
    if (count.data !== undefined) setCursor((old) => old ?? count.data.cursor);
  }, [count.data]);
  useFollowRuns(cursor);
  useKeys({
    "?": () => setHelp(true),
    ...Object.fromEntries(PLACES.map(({ key, to }) => [key, () => go(to)])),
  });
  useFocusKept();
  useLayoutEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if (event.key.toLowerCase() !== "k" || !(event.ctrlKey || event.metaKey)) return;
      event.preventDefault();
      setPalette(true);
    };
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  }, []);
  return (
    <div className="frame" data-connection={connection}>
      <a href="#content" className="skip">
        To the content
      </a>
      <Rail approvals={count.data?.openApprovals ?? 0} />
      <div className="page">
        <Top openPalette={() => setPalette(true)} />
        <main id="content" className="content" tabIndex={-1} aria-busy={connection === "lost"}>
          <Outlet />
        </main>
      </div>
      {palette && <Palette close={() => setPalette(false)} />}
      {help && <Shortcuts close={() => setHelp(false)} places={PLACES} />}
    </div>
  );
}

/** What had the focus has gone with its screen: keys and screen readers go on at the beginning of the new one. */
function useFocusKept(): void {
  const shown = useRouterState({ select: (state) => state.resolvedLocation?.pathname });
  const first = useRef(true);
  useEffect(() => {
    if (shown === undefined) return;
    if (first.current) first.current = false;
    else if (document.activeElement === document.body)
      document.getElementById("content")?.focus({ preventScroll: true });
  }, [shown]);
}

function Rail({ approvals }: { approvals: number }) {
  const path = usePath();
  const inRuns = path === "/" || path.startsWith("/runs") || path === "/compare";
  return (
    <nav className="rail" aria-label="Main">
      <A to="/" className="rail-logo" aria-label="Tenuto, all runs">
        <svg viewBox="0 0 16 16" width="24" height="24" aria-hidden="true" className="logo">
          <rect x="3" y="2" width="10" height="1.7" rx=".8" />
          <circle cx="8" cy="9.6" r="4" />
        </svg>
      </A>
      {PLACES.map(({ to, title, icon, key, ...more }) => (
        <A
          key={to}
          to={to}
          className={"wide" in more ? "rail-item only-wide" : "rail-item"}
          title={`${title} (${key})`}
          aria-current={(to === "/" ? inRuns : path.startsWith(to)) ? "page" : undefined}
        >
          <svg viewBox="0 0 16 16" width="18" height="18" aria-hidden="true" className="icon">
            <path d={icon} />
          </svg>
          <span>{title}</span>
          {to === "/approvals" && approvals > 0 && (
            <span className="badge">
              {approvals}
              <span className="hidden-text"> open</span>
            </span>
          )}
        </A>
      ))}
    </nav>
  );
}

/** Hashes by their beginning. */
const shortOf = (name: string) => (/^[0-9a-f]{64}$/.test(name) ? name.slice(0, 12) : name);

const WORDS = {
  connecting: "Connecting",
  live: "Live",
  stale: "No answer",
  lost: "Connection lost",
} as const;

function Top({ openPalette }: { openPalette: () => void }) {
  const connection = useConnection();
  const path = usePath();
  const parts = path.split("/").filter((part) => part !== "");
  const [area = "runs", name] = parts;
  return (
    <div className="top">
      <nav className="where" aria-label="Where">
        <A to={area === "runs" || area === "compare" ? "/" : area === "pipelines" ? "/templates" : `/${area}`}>
          {area === "compare" ? "runs" : area === "pipelines" ? "templates" : area}
        </A>
        {name !== undefined && <span className="where-name">{shortOf(decodeURIComponent(name))}</span>}
      </nav>
      <button type="button" className="search-button" onClick={openPalette}>
        <span>Search or do</span>
        <kbd>Ctrl K</kbd>
      </button>
      <output
        className={`connection c-${connection}`}
        title={connection === "live" ? "What you see is up to date" : undefined}
      >
        <i aria-hidden="true" />
        <span>{WORDS[connection]}</span>
        {connection === "lost" && (
          <button type="button" className="quiet" onClick={() => live.now()}>
            Try now
          </button>
        )}
      </output>
    </div>
  );
}
