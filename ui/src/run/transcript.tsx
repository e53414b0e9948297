/** What an LLM agent was told and did: its messages, tool calls with what they gave, and what it cost. */
import { useQuery } from "@tanstack/react-query";
import type { Budget, Job, Run, Usage } from "../api/client.ts";
import { textOf } from "../api/client.ts";
import { agents, artifacts } from "../api/queries.ts";
import { counted, numberText } from "../parts/bytes.ts";
import { Json, Text } from "../parts/json.tsx";
import { Empty, Loaded } from "../parts/screen.tsx";
import { A } from "../url.tsx";

export const TRANSCRIPT = "transcript.json";

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

/** The conversation of a job's last attempt, with what the run has used of the agent's budget. */
export function Transcript({ run, job }: { run: Run; job: Job }) {
  const kept = useQuery(artifacts(run.id, job.id));
  const found = kept.data?.items.filter(({ name }) => name === TRANSCRIPT).at(-1);
  const agent = useQuery(agents).data?.items.find(({ name }) => name === job.agent);
  return (
    <div className="sections">
      <Spent title="This job" usage={job.usage} budget={null} />
      {agent?.budget != null && <Spent title="The run, of its budget" usage={run.usage} budget={agent.budget} />}
      {kept.data !== undefined && found === undefined ? (
        <Empty title="No transcript yet.">It is kept when the attempt ends.</Empty>
      ) : (
        found !== undefined && <TranscriptOf sha={found.sha256} />
      )}
    </div>
  );
}

export function TranscriptOf({ sha }: { sha: string }) {
  const query = useQuery({
    queryKey: ["transcript", sha],
    queryFn: async ({ signal }) => JSON.parse(await textOf(`/api/artifacts/${sha}/content`, signal)) as Told,
    staleTime: Number.POSITIVE_INFINITY,
  });
  return (
    <Loaded query={query}>
      {(told) => (
        <>
          <p className="dim">
            {told.agent} with {told.model} · <A to={`/artifacts/${sha}`}>as an artifact</A>
          </p>
          <details>
            <summary>Instructions and {counted(told.tools.length, "tool")}</summary>
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
  );
}

function Content({ content }: { content: string | Part[] }) {
  if (typeof content === "string") return <p className="said">{content}</p>;
  if (!Array.isArray(content)) return <Json value={content} label="Message" />;
  return content.map((part, i) =>
    typeof part.text === "string" ? (
      <p key={i} className="said">
        {part.text}
      </p>
    ) : (
      <Call key={i} part={part} />
    ),
  );
}

/** Providers wrap what a tool gave: `{ type: "text", value }`. */
function unwrapped(value: unknown): unknown {
  const wrapped = value as { type?: unknown; value?: unknown } | null;
  const isWrapped = typeof wrapped === "object" && wrapped !== null && /^(text|json)$/.test(String(wrapped.type));
  return isWrapped && "value" in wrapped ? wrapped.value : value;
}

/** A call of a tool, or what it gave: named on one line, whole when opened. */
function Call({ part }: { part: Part }) {
  const name = String(part["toolName"] ?? part["name"] ?? part.type ?? "part");
  const gave = /result/.test(part.type ?? "");
  const value = unwrapped(part["input"] ?? part["args"] ?? part["output"] ?? part["result"] ?? part);
  const line = typeof value === "string" ? value.replaceAll("\n", " ") : (JSON.stringify(value) ?? "");
  return (
    <details className="tool" data-gave={gave}>
      <summary>
        <code>{name}</code> <span className="dim">{gave ? "gave" : "called with"}</span>{" "}
        <span className="dim mono tool-line">{line.length > 160 ? `${line.slice(0, 160)}…` : line}</span>
      </summary>
      <Json value={value} label={gave ? `What ${name} gave` : `Call of ${name}`} />
    </details>
  );
}

const money = (millionths: number) => (millionths / 1_000_000).toFixed(4);

const usageText = (usage: Usage) =>
  `${counted(usage.calls, "call")} · ${numberText(usage.inputTokens)} tokens in · ${numberText(usage.outputTokens)} out · ${money(usage.cost)}`;

/** Used, and how much of what is allowed; one bar for each limit. */
export function Spent({ title, usage, budget }: { title: string; usage: Usage | null; budget: Budget | null }) {
  if (usage === null && budget === null) return null;
  const { calls, inputTokens, outputTokens, cost } = usage ?? { calls: 0, inputTokens: 0, outputTokens: 0, cost: 0 };
  const bars = [
    ["tokens", inputTokens + outputTokens, budget?.tokens, numberText],
    ["cost", cost, budget?.cost == null ? null : budget.cost * 1_000_000, money],
    ["calls", calls, budget?.calls, numberText],
  ] as const;
  return (
    <section className="spent">
      <h3>{title}</h3>
      {usage !== null && <p className="num">{usageText(usage)}</p>}
      {bars.map(([name, used, most, text]) =>
        most == null ? null : (
          <div key={name} className="spent-bar">
            <span className="dim">{name}</span>
            <span
              className="bar"
              role="meter"
              aria-label={`${name} used`}
              aria-valuemin={0}
              aria-valuemax={most}
              aria-valuenow={Math.min(used, most)}
            >
              <i
                className={used >= most ? "b-failed" : used > most * 0.8 ? "b-waiting" : "b-completed"}
                style={{ width: `${Math.min(100, (100 * used) / most)}%` }}
              />
            </span>
            <span className="num">
              {text(used)} of {text(most)}
            </span>
          </div>
        ),
      )}
      {budget?.wallSeconds != null && (
        <p className="dim num">at most {budget.wallSeconds} s from the first call of the run</p>
      )}
    </section>
  );
}
