/** Shown in the place of runs where there are none. */
import { Copy } from "../parts/copy.tsx";
import { Empty } from "../parts/screen.tsx";
import { A } from "../url.tsx";

export function NoRuns({ filtered }: { filtered: boolean }) {
  if (filtered)
    return (
      <Empty title="No run is like this.">
        <A to="/">Show all runs</A>
      </Empty>
    );
  return (
    <Empty title="No runs yet.">
      <p>Runs are listed here as soon as they begin, the newest first.</p>
      <p>
        <A to="/templates" className="button primary">
          Start a run
        </A>{" "}
        or in a terminal: <code>tenuto run PIPELINE</code> <Copy text="tenuto run PIPELINE">Copy</Copy>
      </p>
    </Empty>
  );
}
