/** The URL is the state of the page: plain strings after `?`, read and changed here. */
import { Link, useNavigate, useRouterState } from "@tanstack/react-router";
import { type ComponentProps, type ReactNode, useCallback } from "react";

export type Search = Record<string, string | undefined>;

export function parseSearch(text: string): Search {
  return Object.fromEntries(new URLSearchParams(text));
}

export function writeSearch(search: Record<string, unknown>): string {
  const given = new URLSearchParams();
  for (const [name, value] of Object.entries(search))
    if (value !== undefined && value !== null && value !== "") given.set(name, String(value));
  return given.size === 0 ? "" : `?${given}`;
}

export function useSearch(): Search {
  return useRouterState({ select: (state) => state.location.search as Search });
}

export function usePath(): string {
  return useRouterState({ select: (state) => state.location.pathname });
}

/** Changes some of it and keeps the rest; by default without an entry in the history. */
export function useSetSearch(): (change: Search, options?: { push?: boolean }) => void {
  const navigate = useNavigate();
  return useCallback(
    (change, { push = false } = {}) =>
      void navigate({
        to: ".",
        search: ((old: Search) => ({ ...old, ...change })) as never,
        replace: !push,
        resetScroll: false,
      } as never),
    [navigate],
  );
}

export function useGo(): (to: string, search?: Search) => void {
  const navigate = useNavigate();
  return useCallback((to, search = {}) => void navigate({ to, search } as never), [navigate]);
}

interface LinkProps extends Omit<ComponentProps<"a">, "href" | "ref"> {
  to: string;
  search?: Search;
  children: ReactNode;
}

export function A({ to, search, ...rest }: LinkProps) {
  const Any = Link as unknown as (props: Record<string, unknown>) => ReactNode;
  return <Any to={to} search={search ?? {}} {...rest} />;
}
