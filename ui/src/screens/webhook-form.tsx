/** Makes or changes a webhook: where to, on which occasions, of which pipeline. */
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { call, type Webhook } from "../api/client.ts";
import { brief } from "../api/queries.ts";
import { CopyAs } from "../parts/copy.tsx";
import { Confirm } from "../parts/dialog.tsx";

const OCCASIONS = ["completed", "failed", "cancelled", "approval", "progress"] as const;
type Occasion = (typeof OCCASIONS)[number];

interface FormProps {
  close: () => void;
  made: (webhook: Webhook) => void;
  /** The one that is changed; none: a new one. */
  one?: Webhook;
}

export function WebhookForm({ close, made, one }: FormProps) {
  const client = useQueryClient();
  const known = useQuery(brief).data?.items ?? [];
  const [name, setName] = useState(one?.id ?? "");
  const [url, setUrl] = useState(one?.url ?? "");
  const [occasions, setOccasions] = useState<readonly Occasion[]>(one?.occasions ?? ["failed", "approval"]);
  const [pipeline, setPipeline] = useState(one?.pipeline ?? "");
  const [seconds, setSeconds] = useState(one?.intervalSeconds ?? 900);
  const [enabled, setEnabled] = useState(one?.enabled ?? true);
  const path = `/api/webhooks/${encodeURIComponent(name)}`;
  const body = { url, occasions, intervalSeconds: seconds, enabled, ...(pipeline === "" ? {} : { pipeline }) };
  const act = async () => {
    if (occasions.length === 0) throw new Error("Choose at least one occasion.");
    made(await call<Webhook>(path, { method: "PUT", body }));
    await client.invalidateQueries({ queryKey: ["webhooks"] });
  };
  const toggle = (occasion: Occasion) =>
    setOccasions(
      occasions.includes(occasion) ? occasions.filter((each) => each !== occasion) : [...occasions, occasion],
    );
  return (
    <Confirm
      title={one === undefined ? "Add a webhook" : `Change ${one.id}`}
      verb={one === undefined ? "Add" : "Change"}
      close={close}
      act={act}
    >
      {one === undefined && (
        <label className="field">
          <span>Name</span>
          <input required value={name} onChange={(event) => setName(event.target.value)} />
        </label>
      )}
      <label className="field">
        <span>Address</span>
        <input
          type="url"
          required
          placeholder="https://"
          value={url}
          onChange={(event) => setUrl(event.target.value)}
        />
      </label>
      <fieldset className="field-group">
        <legend>It is told when a run</legend>
        <div className="field-row">
          {OCCASIONS.map((occasion) => (
            <label key={occasion} className="check">
              <input type="checkbox" checked={occasions.includes(occasion)} onChange={() => toggle(occasion)} />
              {occasion === "approval"
                ? "waits for a person"
                : occasion === "progress"
                  ? "is at work"
                  : `is ${occasion}`}
            </label>
          ))}
        </div>
      </fieldset>
      {occasions.includes("progress") && (
        <label className="field">
          <span>Seconds between messages on progress</span>
          <input
            type="number"
            min={10}
            max={86_400}
            value={seconds}
            onChange={(event) => setSeconds(Number(event.target.value))}
          />
        </label>
      )}
      <label className="field">
        <span>Pipeline</span>
        <select value={pipeline} onChange={(event) => setPipeline(event.target.value)}>
          <option value="">All pipelines</option>
          {[...new Set([...known.map((each) => each.name), ...(pipeline === "" ? [] : [pipeline])])].map((each) => (
            <option key={each}>{each}</option>
          ))}
        </select>
      </label>
      <label className="check">
        <input type="checkbox" checked={enabled} onChange={(event) => setEnabled(event.target.checked)} />
        Enabled
      </label>
      <CopyAs path={path} send={{ method: "PUT", body }} />
    </Confirm>
  );
}
