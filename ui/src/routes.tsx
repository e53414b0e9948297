/**
 * Which address shows which screen. The first one is loaded alone; the others follow once the page is quiet, so that they
 * open while the server is away.
 */
import {
  createRootRoute,
  createRoute,
  createRouter,
  lazyRouteComponent,
  type RouteComponent,
} from "@tanstack/react-router";
import { Empty, Fault, Head } from "./parts/screen.tsx";
import { RunsScreen } from "./screens/runs.tsx";
import { Frame } from "./shell/frame.tsx";
import { A, parseSearch, writeSearch } from "./url.tsx";

const root = createRootRoute({
  component: Frame,
  notFoundComponent: () => (
    <div className="screen">
      <Head title="Nothing here" />
      <Empty title="There is nothing at this address.">
        <A to="/">All runs</A>
      </Empty>
    </div>
  ),
  errorComponent: ({ error, reset }) => <Fault error={error} again={reset} />,
});

const page = (path: string, component: RouteComponent) => createRoute({ getParentRoute: () => root, path, component });

const loaders: (() => Promise<unknown>)[] = [() => import("./graph/graph.tsx")];

const lazy = <T extends Record<string, unknown>>(load: () => Promise<T>, name: keyof T & string) => {
  loaders.push(load);
  return lazyRouteComponent(load as () => Promise<Record<string, RouteComponent>>, name) as RouteComponent;
};

/** One after the other. What can't be loaded now is asked for again when it is opened. */
export async function loadScreens(): Promise<void> {
  for (const load of loaders) await load().catch(() => undefined);
}

const tree = root.addChildren([
  page("/", RunsScreen),
  page(
    "/runs/$run",
    lazy(() => import("./run/run.tsx"), "RunScreen"),
  ),
  page(
    "/approvals",
    lazy(() => import("./screens/approvals.tsx"), "ApprovalsScreen"),
  ),
  page("/runs", RunsScreen),
  page(
    "/artifacts",
    lazy(() => import("./screens/artifacts.tsx"), "ArtifactsScreen"),
  ),
  page(
    "/artifacts/$sha",
    lazy(() => import("./screens/artifact.tsx"), "ArtifactScreen"),
  ),
  page(
    "/templates",
    lazy(() => import("./screens/templates.tsx"), "TemplatesScreen"),
  ),
  page(
    "/templates/$name",
    lazy(() => import("./screens/template.tsx"), "TemplateScreen"),
  ),
  page(
    "/pipelines/$name",
    lazy(() => import("./screens/template.tsx"), "PipelineScreen"),
  ),
  page(
    "/schedules",
    lazy(() => import("./screens/schedules.tsx"), "SchedulesScreen"),
  ),
  page(
    "/agents",
    lazy(() => import("./screens/agents.tsx"), "AgentsScreen"),
  ),
  page(
    "/workers",
    lazy(() => import("./screens/workers.tsx"), "WorkersScreen"),
  ),
  page(
    "/webhooks",
    lazy(() => import("./screens/webhooks.tsx"), "WebhooksScreen"),
  ),
  page(
    "/compare",
    lazy(() => import("./screens/compare.tsx"), "CompareScreen"),
  ),
  page(
    "/settings",
    lazy(() => import("./screens/settings.tsx"), "SettingsScreen"),
  ),
]);

export const router = createRouter({
  routeTree: tree,
  parseSearch: parseSearch as never,
  stringifySearch: writeSearch,
  defaultPreload: "intent",
});
