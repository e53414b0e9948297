/** A step's key as text: parts are joined with `/`, and a `/` inside a part is escaped, so that different keys stay different. */
import type { StepKey } from "./agent.ts";

export function stepKeyText(key: StepKey): string {
  if (typeof key === "string") return key;
  return key.map((part) => String(part).replaceAll(/[\\/]/g, "\\$&")).join("/");
}
