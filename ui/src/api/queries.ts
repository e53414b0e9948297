/** What is read from the server, under which key it is kept. */
import { infiniteQueryOptions, QueryClient, queryOptions } from "@tanstack/react-query";
import { present } from "../parts/time.tsx";
import * as api from "./client.ts";
import { address, call, jobPath, runPath } from "./client.ts";

export const client = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: 5_000,
      retry: (count, error) => count < 1 && error instanceof api.ProblemError && error.problem.status === 0,
      refetchOnWindowFocus: true,
    },
  },
});

export interface RunFilter {
  state?: string | undefined;
  pipeline?: string | undefined;
  q?: string | undefined;
  label?: string | undefined;
  from?: string | undefined;
}

export const session = queryOptions({
  queryKey: ["session"],
  queryFn: () => call<api.Session>("/api/session"),
  staleTime: 60_000,
  retry: false,
});
export const counts = queryOptions({ queryKey: ["counts"], queryFn: () => call<api.RunCounts>("/api/run-counts") });

const RUNS_A_PAGE = 100;
export const runs = (filter: RunFilter) =>
  infiniteQueryOptions({
    queryKey: ["runs", filter],
    queryFn: ({ pageParam, signal }) =>
      call<api.Page<api.RunListed>>(
        address("/api/runs", { ...filter, after: pageParam, limit: RUNS_A_PAGE, failures: true }),
        { signal },
      ),
    initialPageParam: null as string | null,
    getNextPageParam: (page) => page.next,
    maxPages: 200,
  });

/** The newest run of a pipeline before another one that has completed. */
export const lastGood = (pipeline: string, before: number) =>
  queryOptions({
    queryKey: ["last good", pipeline, before],
    queryFn: async () => {
      const query = { pipeline, state: "completed", after: before, limit: 1 };
      return (await call<api.Page<api.RunSummary>>(address("/api/runs", query))).items[0] ?? null;
    },
    staleTime: 60_000,
  });

export const run = (id: string) =>
  queryOptions({ queryKey: ["run", id], queryFn: () => call<api.Run>(runPath(id)), enabled: id !== "" });

/** All nodes of a graph, however many pages they have. */
export const graph = (id: string) =>
  queryOptions({
    queryKey: ["graph", id],
    enabled: id !== "",
    queryFn: async ({ signal }) => {
      const first = await call<api.RunGraph>(runPath(id, "/graph"), { signal });
      const edges = [first.edges];
      const nodes = [first.nodes];
      const barriers = [first.barriers];
      for (let next = first.next; next !== null; ) {
        const page: api.RunGraph = await call(address(runPath(id, "/graph"), { after: next }), { signal });
        nodes.push(page.nodes);
        edges.push(page.edges);
        barriers.push(page.barriers);
        next = page.next;
      }
      return { ...first, nodes: nodes.flat(), edges: edges.flat(), barriers: barriers.flat(), next: null };
    },
  });

const EVENTS = 5_000;
const MOST_EVENTS = 40_000;
export const events = (id: string) =>
  queryOptions({
    queryKey: ["events", id],
    queryFn: async ({ signal }) => {
      const all: api.Event[] = [];
      for (let after: string | null = "0"; after !== null && all.length < MOST_EVENTS; ) {
        const page: api.Page<api.Event> = await call(address(runPath(id, "/events"), { after, limit: EVENTS }), {
          signal,
        });
        all.push(...page.items);
        after = page.next;
      }
      return all;
    },
  });

export const job = (runId: string, id: string) =>
  queryOptions({ queryKey: ["job", runId, id], queryFn: () => call<api.Job>(jobPath(runId, id)) });

export const items = (runId: string, id: string, state: string | undefined) =>
  infiniteQueryOptions({
    queryKey: ["items", runId, id, state],
    queryFn: ({ pageParam }) =>
      call<api.Page<api.Item>>(address(jobPath(runId, id, "/items"), { state, after: pageParam, limit: 200 })),
    initialPageParam: null as string | null,
    getNextPageParam: (page) => page.next,
  });

export const artifacts = (runId: string, of?: string) =>
  queryOptions({
    queryKey: ["artifacts", runId, of ?? ""],
    queryFn: () => call<api.Page<api.Artifact>>(address(runPath(runId, "/artifacts"), { job: of, limit: 1_000 })),
  });
export const everyArtifact = (filter: {
  type?: string | undefined;
  name?: string | undefined;
  pipeline?: string | undefined;
}) =>
  infiniteQueryOptions({
    queryKey: ["artifacts", "every", filter],
    queryFn: ({ pageParam, signal }) =>
      call<api.Page<api.Artifact>>(address("/api/artifacts", { ...filter, after: pageParam, limit: 200 }), { signal }),
    initialPageParam: null as string | null,
    getNextPageParam: (page) => page.next,
  });
/** Of all runs, the newest first. */
export const allArtifacts = (filter: { type?: string; name?: string; agent?: string; pipeline?: string }, limit = 50) =>
  queryOptions({
    queryKey: ["artifacts", "all", filter, limit],
    queryFn: () => call<api.Page<api.Artifact>>(address("/api/artifacts", { ...filter, limit })),
  });
export const artifact = (sha: string) =>
  queryOptions({
    queryKey: ["artifact", sha],
    queryFn: () => call<api.Page<api.Artifact>>(`/api/artifacts/${sha}`),
  });
export const lineage = (sha: string) =>
  queryOptions({ queryKey: ["lineage", sha], queryFn: () => call<api.Lineage>(`/api/artifacts/${sha}/lineage`) });

export const approvals = (state: string, runId?: string) =>
  queryOptions({
    queryKey: ["approvals", state, runId ?? ""],
    queryFn: () =>
      call<api.Page<api.Approval>>(
        address("/api/approvals", { state: state === "all" ? undefined : state, run: runId, limit: 500 }),
      ),
  });
/** Which runs wait for a person: enough of them for what a screen shows. */
export const asked = queryOptions({
  queryKey: ["approvals", "asked"],
  queryFn: async () => {
    const { items } = await call<api.Page<api.Approval>>("/api/approvals?state=open&limit=100");
    return items.map(({ run: of, id }) => [of, id] as const);
  },
});
/** One approval, decided or not. */
export const approval = (id: string) =>
  queryOptions({
    queryKey: ["approvals", "one", id],
    queryFn: () => call<api.Approval>(`/api/approvals/${encodeURIComponent(id)}`),
  });

const list = <T>(key: string, path: string) =>
  queryOptions({ queryKey: [key], queryFn: () => call<{ items: T[] }>(path) });
export const pipelines = list<api.PipelineInfo>("pipelines", "/api/known-pipelines");
/** Their names and versions, without stages and jobs. */
export const brief = list<api.PipelineInfo>("brief pipelines", "/api/known-pipelines?brief=true");
export const agents = list<api.AgentInfo>("agents", "/api/agents");
export const templates = list<api.TemplateInfo>("templates", "/api/templates");
export const schedules = list<api.Schedule>("schedules", "/api/schedules");
export const limiters = list<api.Limiter>("limiters", "/api/limiters");
export const tokens = list<api.Token>("tokens", "/api/tokens");
export const webhooks = list<api.Webhook>("webhooks", "/api/webhooks");
export const hooks = list<api.Hook>("hooks", "/api/hooks");
export const deliveries = (hook: string, state: string | undefined) =>
  queryOptions({
    queryKey: ["deliveries", hook, state ?? ""],
    queryFn: () =>
      call<api.Page<api.Delivery>>(address(`/api/webhooks/${encodeURIComponent(hook)}/deliveries`, { state })),
    refetchInterval: 5_000,
  });
export const workers = (state: string | undefined) =>
  queryOptions({
    queryKey: ["workers", state ?? ""],
    queryFn: () => call<{ items: api.Worker[]; missingAgents: string[] }>(address("/api/workers", { state })),
    refetchInterval: 5_000,
  });
const LEASE_MS = 30_000;
export const isSilent = ({ heartbeatAt }: api.Worker) => present() - Date.parse(heartbeatAt) > LEASE_MS;
/** Whether nobody is at work, and which agents nobody has. */
export const helpers = queryOptions({
  queryKey: ["workers", "helpers"],
  queryFn: async () => {
    const { items, missingAgents } = await call<{ items: api.Worker[]; missingAgents: string[] }>(
      "/api/workers?state=alive",
    );
    return { nobody: items.every(isSilent), missing: missingAgents };
  },
  refetchInterval: 10_000,
});
export const template = (name: string, version?: string) =>
  queryOptions({
    queryKey: ["template", name, version ?? ""],
    queryFn: () => call<api.Template>(address(`/api/templates/${encodeURIComponent(name)}`, { version })),
  });
export const versions = (name: string) =>
  queryOptions({
    queryKey: ["versions", name],
    queryFn: () =>
      call<{ items: { number: number; version: string; note: string | null; at: string }[] }>(
        `/api/templates/${encodeURIComponent(name)}/versions`,
      ),
  });
