/** What a tool of the MCP server is: a name, a schema, and a function of checked arguments. */
import * as z from "zod";
import type { Json } from "../core/model.ts";

export interface Call {
  signal: AbortSignal;
  /** Tells the client how far it is, where it asked to be told. */
  progress(done: number, total: number | null, message: string): Promise<void>;
  /** Who is at the other end, for what is recorded. */
  client: string;
}

export interface Tool {
  name: string;
  title: string;
  description: string;
  input: z.ZodObject;
  /** Changes nothing. */
  reads: boolean;
  /** Ends or undoes what others may rely on. */
  destructive: boolean;
  /** Calling it again with the same arguments changes nothing more. */
  repeatable: boolean;
  run(input: any, call: Call): Promise<{ [key: string]: Json }>;
}

/** A tool whose function gets what its schema makes. */
export function tool<S extends z.ZodObject>(definition: {
  name: string;
  title: string;
  description: string;
  input: S;
  reads?: boolean;
  destructive?: boolean;
  repeatable?: boolean;
  run(input: z.output<S>, call: Call): Promise<{ [key: string]: unknown }>;
}): Tool {
  const { reads = false, destructive = false, repeatable = reads, run, ...rest } = definition;
  return { ...rest, reads, destructive, repeatable, run: run as Tool["run"] };
}

export const RUN = z.string().min(1).max(200).describe("Id of the run, the beginning of one, or `latest`.");
