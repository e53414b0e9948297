/** What an LLM agent was told and did: its messages, tool calls with what they gave, and what it cost. */
import { useQuery } from "@tanstack/react-query";
import type { Job } from "../api/client.ts";
import { textOf } from "../api/client.ts";
import { artifacts } from "../api/queries.ts";
import { numberText } from "../parts/bytes.ts";
import { Json, Text } from "../parts/json.tsx";
import { Empty, Loaded } from "../parts/screen.tsx";
import { A } from "../url.tsx";

const NAME = "transcript.json";

interface Part {
  type?: string;
  text?: string;
  [name: string]: unknown;
}
interface Told {
  agent: string;
  model: string;
  system: string;
  tools: string[];
  messages: { role: string; content: string | Part[] }[];
  error: { code: string; message: string } | null;
}

export function Transcript({ run, job }: { run: string; job: Job }) {
  const kept = useQuery(artifacts(run, job.id));
  const found = kept.data?.items.filter(({ name }) => name === NAME).at(-1);
  const query = useQuery({
    queryKey: ["transcript", found?.sha256],
    enabled: found !== undefined,
    queryFn: async ({ signal }) => JSON.parse(await textOf(`/api/artifacts/${found?.sha256}/content`, signal)) as Told,
  });
  return (
    <div className="sections">
      <Budget job={job} />
      {kept.data !== undefined && found === undefined ? (
        <Empty title="No transcript yet.">It is kept when the attempt ends.</Empty>
      ) : (
        <Loaded query={query}>
          {(told) => (
            <>
              <p className="dim">
                {told.agent} with {told.model}
                {found !== undefined && (
                  <>
                    {" · "}
                    <A to={`/artifacts/${found.sha256}`}>as an artifact</A>
                  </>
                )}
              </p>
              <details>
                <summary>Instructions and {told.tools.length} tools</summary>
                <Text text={told.system} label="Instructions" />
                <p className="mono dim">{told.tools.join(", ")}</p>
              </details>
              <ol className="talk">
                {told.messages.map((message, i) => (
                  <li key={i} data-role={message.role}>
                    <h3>{message.role}</h3>
                    <Content content={message.content} />
                  </li>
                ))}
              </ol>
              {told.error !== null && (
                <div className="fault">
                  <strong>{told.error.message}</strong>
                </div>
              )}
            </>
          )}
        </Loaded>
      )}
    </div>
  );
}

function Content({ content }: { content: string | Part[] }) {
  if (typeof content === "string") return <p className="said">{content}</p>;
  if (!Array.isArray(content)) return <Json value={content} label="Message" />;
  return content.map((part, i) => {
    if (typeof part.text === "string")
      return (
        <p key={i} className="said">
          {part.text}
        </p>
      );
    const name = part["toolName"] ?? part["name"] ?? part.type ?? "part";
    return (
      <details key={i} className="tool">
        <summary>
          <code>{String(name)}</code> <span className="dim">{part.type}</span>
        </summary>
        <Json value={part["input"] ?? part["args"] ?? part["output"] ?? part["result"] ?? part} label="Tool call" />
      </details>
    );
  });
}

/** Used and allowed tokens, where the job declares a budget. */
function Budget({ job }: { job: Job }) {
  const { usage } = job;
  if (usage === null) return null;
  const spec = job.spec as { budget?: { maxTokens?: number; tokens?: number } } | null;
  const most = spec?.budget?.maxTokens ?? spec?.budget?.tokens;
  const used = usage.inputTokens + usage.outputTokens;
  return (
    <div className="budget">
      <span className="num">
        {numberText(usage.calls)} calls · {numberText(usage.inputTokens)} tokens in · {numberText(usage.outputTokens)}{" "}
        out · {(usage.cost / 1_000_000).toFixed(4)}
      </span>
      {most !== undefined && (
        <meter min={0} max={most} value={used} aria-label="Tokens used of the budget">
          {used} of {most}
        </meter>
      )}
    </div>
  );
}
