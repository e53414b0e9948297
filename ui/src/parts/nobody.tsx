/**
 * Whether anybody works: without a worker that is alive, what is called running stands still.
 *
 * Invariant: a worker that has not been heard of for as long as its lease lasts counts as none, also where nobody is left to
 * find out that it is dead.
 */
import { useQuery } from "@tanstack/react-query";
import { helpers } from "../api/queries.ts";
import { Copy } from "./copy.tsx";

export interface Helpers {
  nobody: boolean;
  /** Agents that ready jobs ask for and nobody has. */
  missing: readonly string[];
}

const UNKNOWN: Helpers = { nobody: false, missing: [] };

/** What is known of those who could work; asked for only while something is to be done. */
export function useHelpers(asked: boolean): Helpers {
  const { data } = useQuery({ ...helpers, enabled: asked });
  return asked && data !== undefined ? data : UNKNOWN;
}

export function StartOne() {
  return (
    <>
      Start one: <code>tenuto worker</code> <Copy text="tenuto worker">Copy</Copy>
    </>
  );
}
