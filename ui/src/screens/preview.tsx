/**
 * The content of an artifact, by its media type: text, JSON, rows of JSONL and CSV, Markdown, images.
 *
 * Invariants: (1) everything becomes text nodes; HTML and SVG are shown as source; (2) an image is drawn from a data URL of an
 * allowed type, where nothing in it can run; (3) at most the first `MOST_BYTES` are read.
 */
import { useQuery } from "@tanstack/react-query";
import { type Artifact, blobOf } from "../api/client.ts";
import { Ansi } from "../parts/ansi.tsx";
import { bytesText } from "../parts/bytes.ts";
import { Diff } from "../parts/diff.tsx";
import { Json, Text } from "../parts/json.tsx";
import { Markdown } from "../parts/markdown.tsx";
import { Empty, Loaded } from "../parts/screen.tsx";
import { A, useSearch } from "../url.tsx";
import { type Rows, rowsOfCsv, rowsOfJsonl } from "./rows.ts";

const MOST_BYTES = 2_000_000;
const MOST_IMAGE = 10_000_000;
const IMAGES = new Set(["image/png", "image/jpeg", "image/gif", "image/webp", "image/avif"]);
const TEXT = /^(text\/|application\/(json|x-ndjson|jsonl|yaml|xml|toml|x-sh|javascript|typescript))|\+(json|xml)$/;

export function Preview({ artifact }: { artifact: Artifact }) {
  const { sha256, mediaType, bytes } = artifact;
  if (IMAGES.has(mediaType))
    return bytes > MOST_IMAGE ? <TooLarge artifact={artifact} /> : <Image artifact={artifact} />;
  if (TEXT.test(mediaType)) return <TextPreview key={sha256} artifact={artifact} />;
  return (
    <Empty title="There is no preview of this type.">
      {mediaType}, {bytesText(bytes)}. Download it to look at it.
    </Empty>
  );
}

function TooLarge({ artifact }: { artifact: Artifact }) {
  return <Empty title={`${bytesText(artifact.bytes)} are too much for a preview.`}>Download it to look at it.</Empty>;
}

function Image({ artifact }: { artifact: Artifact }) {
  const query = useQuery({
    queryKey: ["image", artifact.sha256],
    queryFn: async ({ signal }) => {
      const blob = await blobOf(`/api/artifacts/${artifact.sha256}/content`, signal);
      return await asDataUrl(new Blob([blob], { type: artifact.mediaType }));
    },
    staleTime: Number.POSITIVE_INFINITY,
  });
  return <Loaded query={query}>{(url) => <img className="preview-image" src={url} alt={artifact.name} />}</Loaded>;
}

function asDataUrl(blob: Blob): Promise<string> {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(String(reader.result));
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(blob);
  });
}

async function firstText(path: string, signal: AbortSignal): Promise<string> {
  const answer = await fetch(path, { headers: { range: `bytes=0-${MOST_BYTES - 1}` }, signal });
  if (!answer.ok) throw new Error(`The server answered ${answer.status}.`);
  return await answer.text();
}

function TextPreview({ artifact }: { artifact: Artifact }) {
  const search = useSearch();
  const query = useQuery({
    queryKey: ["content", artifact.sha256],
    queryFn: ({ signal }) =>
      artifact.bytes === 0 ? "" : firstText(`/api/artifacts/${artifact.sha256}/content`, signal),
    staleTime: Number.POSITIVE_INFINITY,
  });
  const cut = artifact.bytes > MOST_BYTES;
  const source = search["source"] === "1";
  return (
    <Loaded query={query}>
      {(text) => (
        <>
          <p className="note">
            {cut && `The first ${bytesText(MOST_BYTES)} of ${bytesText(artifact.bytes)}. `}
            <A to="." search={{ ...search, source: source ? undefined : "1" }}>
              {source ? "Preview" : "Source"}
            </A>
          </p>
          {source ? <Text text={text} label="Source" /> : <Content artifact={artifact} text={text} cut={cut} />}
        </>
      )}
    </Loaded>
  );
}

function Content({
  artifact: { name, mediaType, type },
  text,
  cut,
}: {
  artifact: Artifact;
  text: string;
  cut: boolean;
}) {
  if (text === "") return <Empty title="It is empty." />;
  if (/jsonl|ndjson/.test(mediaType) || type === "dataset" || name.endsWith(".jsonl"))
    return <Sheet rows={rowsOfJsonl(text, cut)} />;
  if (/json/.test(mediaType) && !cut) {
    try {
      return <Json value={JSON.parse(text)} label={name} />;
    } catch {
      return <Text text={text} label={name} />;
    }
  }
  if (mediaType === "text/csv") return <Sheet rows={rowsOfCsv(text, cut)} />;
  if (mediaType === "text/markdown" || name.endsWith(".md")) return <Markdown text={text} />;
  if (/\.(diff|patch)$/.test(name) || mediaType === "text/x-diff") return <Diff text={text} />;
  return (
    <pre className="text" role="region" tabIndex={0} aria-label={name}>
      <Ansi text={text} />
    </pre>
  );
}

const MOST_ROWS = 500;

function Sheet({ rows: { columns, rows } }: { rows: Rows }) {
  return (
    <>
      <p className="note">
        {rows.length.toLocaleString()} rows{rows.length > MOST_ROWS && `, the first ${MOST_ROWS} are shown`}
      </p>
      <div className="scroll" tabIndex={0} role="region" aria-label="Rows">
        <table className="plain-table sheet">
          <thead>
            <tr>
              {columns.map((name) => (
                <th key={name}>{name}</th>
              ))}
            </tr>
          </thead>
          <tbody>
            {rows.slice(0, MOST_ROWS).map((row, i) => (
              <tr key={i}>
                {row.map((cell, k) => (
                  <td key={k}>{cell}</td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </>
  );
}
