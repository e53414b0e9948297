/** Shown to whoever has no session: how to get in. */
import { useState } from "react";
import { call, type Problem } from "../api/client.ts";
import { client } from "../api/queries.ts";
import { Fault } from "../parts/screen.tsx";

let refused: Problem | null | undefined;
export function sayLogin(problem: Problem | null): void {
  refused = problem;
}

/** A token, or the whole link that was printed. */
function tokenIn(text: string): string {
  const trimmed = text.trim();
  const at = trimmed.indexOf("#");
  return at < 0 ? trimmed : trimmed.slice(at + 1);
}

export function Login({ ended }: { ended: boolean }) {
  const [text, setText] = useState("");
  const [error, setError] = useState<unknown>(null);
  const open = async () => {
    setError(null);
    try {
      await call("/api/session", { method: "POST", body: { token: tokenIn(text) } });
      await client.invalidateQueries();
    } catch (caught) {
      setError(caught);
    }
  };
  return (
    <main className="login">
      <svg viewBox="0 0 16 16" width="40" height="40" aria-hidden="true" className="logo">
        <rect x="3" y="2" width="10" height="1.7" rx=".8" />
        <circle cx="8" cy="9.6" r="4" />
      </svg>
      <h1>Tenuto</h1>
      {refused !== undefined && error === null && (
        <p role="alert">That link was used already, or has run out. Make another one:</p>
      )}
      {refused === undefined && (
        <p>
          {ended
            ? "Your session has ended. Make another link:"
            : "Open the link that the server printed, or make another one:"}
        </p>
      )}
      <pre className="text">tenuto tokens link</pre>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          void open();
        }}
      >
        <label className="field">
          <span>Token or link</span>
          <input
            type="password"
            autoComplete="off"
            spellCheck={false}
            value={text}
            onChange={(event) => setText(event.target.value)}
            required
          />
        </label>
        <button type="submit" className="primary">
          Log in
        </button>
      </form>
      {error !== null && <Fault error={error} />}
    </main>
  );
}
