/** Theme and density: remembered, and set on the document before the first paint by `theme.js`. */
import { useSyncExternalStore } from "react";

export type Theme = "light" | "dark" | "system";
export type Density = "normal" | "compact";
export interface Look {
  theme: Theme;
  density: Density;
}

const KEY = "tenuto.look";
const dark = matchMedia("(prefers-color-scheme: dark)");
const watchers = new Set<() => void>();
let look: Look = read();

function read(): Look {
  let kept: Partial<Look> = {};
  try {
    kept = JSON.parse(localStorage.getItem(KEY) ?? "{}") as Partial<Look>;
  } catch {
    // What can't be read is as if nothing were chosen.
  }
  return {
    theme: kept.theme === "dark" || kept.theme === "light" ? kept.theme : "system",
    density: kept.density === "compact" ? "compact" : "normal",
  };
}

function show(): void {
  const { dataset } = document.documentElement;
  dataset["theme"] = look.theme === "system" ? (dark.matches ? "dark" : "light") : look.theme;
  dataset["density"] = look.density;
}

dark.addEventListener("change", show);

export function setLook(change: Partial<Look>): void {
  look = { ...look, ...change };
  localStorage.setItem(KEY, JSON.stringify(look));
  show();
  for (const call of watchers) call();
}

export function useLook(): Look {
  return useSyncExternalStore(
    (call) => {
      watchers.add(call);
      return () => watchers.delete(call);
    },
    () => look,
  );
}

const narrow = matchMedia("(max-width: 700px)");
export function useNarrow(): boolean {
  return useSyncExternalStore(
    (call) => {
      narrow.addEventListener("change", call);
      return () => narrow.removeEventListener("change", call);
    },
    () => narrow.matches,
  );
}
