/** Starts the dashboard: takes a login from the address, then shows what the URL says. */
import "@fontsource-variable/inter/wght.css";
import "@fontsource-variable/jetbrains-mono/wght.css";
import "./style/tokens.css";
import "./style/base.css";
import "./style/screens.css";
import { QueryClientProvider } from "@tanstack/react-query";
import { RouterProvider } from "@tanstack/react-router";
import { createRoot } from "react-dom/client";
import { call, ProblemError } from "./api/client.ts";
import { client, counts, runs, session } from "./api/queries.ts";
import { loadScreens, router } from "./routes.tsx";
import { filterOf } from "./screens/runs.tsx";
import { sayLogin } from "./shell/login.tsx";
import { parseSearch } from "./url.tsx";

/** `/login#TOKEN`: the token is good once, and goes no further than this request. */
async function takeLogin(): Promise<void> {
  if (location.pathname !== "/login") return;
  const token = location.hash.slice(1);
  history.replaceState(null, "", "/");
  if (token === "") return;
  try {
    await call("/api/session", { method: "POST", body: { token } });
  } catch (error) {
    sayLogin(error instanceof ProblemError ? error.problem : null);
  }
}

await takeLogin();
// What the first screen needs is asked for at once, not one after the other.
void client.prefetchQuery(session);
if (location.pathname === "/") {
  void client.prefetchQuery(counts);
  void client.prefetchInfiniteQuery(runs(filterOf(parseSearch(location.search))));
}
createRoot(document.getElementById("root") as HTMLElement).render(
  <QueryClientProvider client={client}>
    <RouterProvider router={router} />
  </QueryClientProvider>,
);

const QUIET_MS = 2_000;
setTimeout(() => {
  // Not every browser says when it has nothing to do.
  if ("requestIdleCallback" in globalThis) requestIdleCallback(() => void loadScreens());
  else void loadScreens();
}, QUIET_MS);
