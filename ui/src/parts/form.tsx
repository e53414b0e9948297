/**
 * A form made from a JSON Schema: text, numbers, choices, yes and no, lists and objects; everything else as JSON.
 *
 * Invariant: a field that was left empty is left out, so that the pipeline's own default holds.
 */
import { useId } from "react";

export interface Schema {
  type?: string | string[];
  title?: string;
  description?: string;
  default?: unknown;
  enum?: unknown[];
  const?: unknown;
  properties?: Record<string, Schema>;
  required?: string[];
  items?: Schema;
  minimum?: number;
  maximum?: number;
  maxLength?: number;
  format?: string;
  anyOf?: Schema[];
  [name: string]: unknown;
}

interface FieldProps {
  schema: Schema;
  name: string;
  value: unknown;
  required: boolean;
  change: (value: unknown) => void;
}

function typeOf(schema: Schema): string {
  if (schema.enum !== undefined) return "enum";
  const type = Array.isArray(schema.type) ? schema.type.find((one) => one !== "null") : schema.type;
  if (type === "object" && schema.properties === undefined) return "json";
  if (type === "array") {
    const inner = typeOf(schema.items ?? {});
    return inner === "string" ? "lines" : "json";
  }
  return type ?? "json";
}

export function ParamsForm({
  schema,
  value,
  change,
}: {
  schema: Schema;
  value: Record<string, unknown>;
  change: (value: Record<string, unknown>) => void;
}) {
  const fields = Object.entries(schema.properties ?? {});
  const set = (name: string, next: unknown) => {
    const { [name]: _, ...rest } = value;
    change(next === undefined ? rest : { ...rest, [name]: next });
  };
  if (fields.length === 0) return <p className="dim">It takes no params.</p>;
  return (
    <div className="form">
      {fields.map(([name, part]) => (
        <Field
          key={name}
          name={name}
          schema={part}
          value={value[name]}
          required={(schema.required ?? []).includes(name) && part.default === undefined}
          change={(next) => set(name, next)}
        />
      ))}
    </div>
  );
}

function Field(props: FieldProps) {
  const { schema, name, value, required, change } = props;
  const id = useId();
  const type = typeOf(schema);
  if (type === "object")
    return (
      <fieldset className="field-group">
        <legend>{schema.title ?? name}</legend>
        {schema.description !== undefined && <p className="dim">{schema.description}</p>}
        <ParamsForm schema={schema} value={(value ?? {}) as Record<string, unknown>} change={change} />
      </fieldset>
    );
  return (
    <div className="field">
      <label htmlFor={id}>
        {schema.title ?? name}
        {required && <span className="dim"> needed</span>}
      </label>
      <Control {...props} id={id} type={type} />
      {schema.description !== undefined && <span className="dim">{schema.description}</span>}
      {schema.default !== undefined && value === undefined && (type === "json" || type === "lines") && (
        <span className="dim">
          Otherwise <code>{JSON.stringify(schema.default)}</code>{" "}
          <button type="button" className="quiet" onClick={() => change(schema.default)}>
            Edit
          </button>
        </span>
      )}
    </div>
  );
}

function Control({ schema, value, required, change, id, type }: FieldProps & { id: string; type: string }) {
  const text = value === undefined ? "" : typeof value === "string" ? value : JSON.stringify(value);
  if (type === "enum")
    return (
      <select
        id={id}
        value={value === undefined ? "" : JSON.stringify(value)}
        required={required}
        onChange={(event) => change(event.target.value === "" ? undefined : JSON.parse(event.target.value))}
      >
        <option value="">{schema.default === undefined ? "Choose" : `${String(schema.default)} (default)`}</option>
        {schema.enum?.map((one) => (
          <option key={String(one)} value={JSON.stringify(one)}>
            {String(one)}
          </option>
        ))}
      </select>
    );
  if (type === "boolean")
    return (
      <input
        id={id}
        type="checkbox"
        checked={Boolean(value ?? schema.default ?? false)}
        onChange={(event) => change(event.target.checked)}
      />
    );
  if (type === "number" || type === "integer")
    return (
      <input
        id={id}
        type="number"
        step={type === "integer" ? 1 : "any"}
        min={schema.minimum}
        max={schema.maximum !== undefined && schema.maximum < Number.MAX_SAFE_INTEGER ? schema.maximum : undefined}
        required={required}
        placeholder={schema.default === undefined ? "" : String(schema.default)}
        value={text}
        onChange={(event) => change(event.target.value === "" ? undefined : Number(event.target.value))}
      />
    );
  if (type === "lines")
    return (
      <textarea
        id={id}
        rows={3}
        required={required}
        placeholder="One a line"
        value={Array.isArray(value) ? value.join("\n") : ""}
        onChange={(event) => change(event.target.value === "" ? undefined : event.target.value.split("\n"))}
      />
    );
  if (type === "string")
    return (schema.maxLength ?? 10_000) <= 200 ? (
      <input
        id={id}
        required={required}
        value={text}
        placeholder={typeof schema.default === "string" ? schema.default : ""}
        onChange={(event) => change(event.target.value || undefined)}
      />
    ) : (
      <textarea
        id={id}
        rows={text.length > 80 || text.includes("\n") ? 5 : 1}
        required={required}
        value={text}
        placeholder={typeof schema.default === "string" ? schema.default : ""}
        onChange={(event) => change(event.target.value || undefined)}
      />
    );
  const types = schema.anyOf?.map((one) => one.type);
  const orText = types?.includes("string") === true;
  // A number where only texts and lists are taken is a text.
  const taken = (typed: unknown) => !orText || typeof typed === "object" || types?.includes(typeof typed) === true;
  return <JsonField id={id} value={value} required={required} orText={orText} taken={taken} change={change} />;
}

function JsonField({
  id,
  value,
  required,
  orText,
  taken,
  change,
}: {
  id: string;
  value: unknown;
  required: boolean;
  /** What is no JSON is a text. */
  orText: boolean;
  taken: (value: unknown) => boolean;
  change: (value: unknown) => void;
}) {
  return (
    <textarea
      id={id}
      rows={orText ? 1 : 3}
      className="mono"
      spellCheck={false}
      required={required}
      placeholder={orText ? "Text, or JSON" : "JSON"}
      defaultValue={
        value === undefined ? "" : orText && typeof value === "string" ? value : JSON.stringify(value, null, 2)
      }
      onChange={(event) => {
        const { target } = event;
        try {
          const typed: unknown = target.value.trim() === "" ? undefined : JSON.parse(target.value);
          change(typed === undefined || taken(typed) ? typed : target.value);
          target.setCustomValidity("");
        } catch (error) {
          if (orText) return change(target.value);
          target.setCustomValidity(error instanceof Error ? error.message : "not JSON");
        }
      }}
    />
  );
}
