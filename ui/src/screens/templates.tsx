/** What can be started: pipelines that the server knows, and templates in the ledger. */
import { useQuery } from "@tanstack/react-query";
import { pipelines, templates } from "../api/queries.ts";
import { counted } from "../parts/bytes.ts";
import { Empty, Head, Loaded, useTitle } from "../parts/screen.tsx";
import { Ago } from "../parts/time.tsx";
import { A } from "../url.tsx";

export function TemplatesScreen() {
  useTitle("Templates");
  const known = useQuery(pipelines);
  const kept = useQuery(templates);
  return (
    <div className="screen">
      <Head title="Templates and pipelines" />
      <section>
        <h2>Templates in the ledger</h2>
        <Loaded query={kept}>
          {({ items }) =>
            items.length === 0 ? (
              <Empty title="No templates yet.">
                A template is a pipeline as data, kept with all its versions: <code>tenuto templates push FILE</code>
              </Empty>
            ) : (
              <ul className="list">
                {items.map((one) => (
                  <li key={one.name}>
                    <A to={`/templates/${one.name}`} className="list-item">
                      <strong>{one.name}</strong>
                      <span className="clip dim">{one.description}</span>
                      <span className="dim num">
                        version {one.number} · {counted(one.jobs, "job")} · {counted(one.schedules, "schedule")} ·{" "}
                        <Ago at={one.updatedAt} />
                      </span>
                    </A>
                  </li>
                ))}
              </ul>
            )
          }
        </Loaded>
      </section>
      <section>
        <h2>Pipelines of this server</h2>
        <Loaded query={known}>
          {({ items }) =>
            items.length === 0 ? (
              <Empty title="This server knows no pipelines.">
                List them in <code>tenuto.config.ts</code>, or begin with <code>tenuto init</code>.
              </Empty>
            ) : (
              <ul className="list">
                {items.map((one) => (
                  <li key={one.name}>
                    <A to={`/pipelines/${one.name}`} className="list-item">
                      <strong>{one.name}</strong>
                      <span className="clip dim">{one.description}</span>
                      <span className="dim num">
                        {one.kind === "code"
                          ? "code"
                          : `${counted(one.stages.length, "stage")} · ${counted(
                              one.stages.reduce((sum, stage) => sum + stage.jobs.length, 0),
                              "job",
                            )}`}
                      </span>
                    </A>
                  </li>
                ))}
              </ul>
            )
          }
        </Loaded>
      </section>
    </div>
  );
}
