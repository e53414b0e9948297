/** What can go wrong with a provider beside what goes wrong with pages: its key, its quota, its answers. */
import { PageError, type PageErrorFacts } from "../errors.ts";

/** The key was refused: nothing of this provider will work, and a person must act. Stops the run; `retry` goes on with it. */
export class ProviderKeyError extends PageError {
  constructor(message: string, facts: PageErrorFacts = {}) {
    super("ProviderKeyError", "provider_key_refused", "critical", message, facts);
  }
}

/** The account may not do this, or has used up what it paid for: the provider is left out, the others go on. */
export class ProviderRefusedError extends PageError {
  constructor(message: string, facts: PageErrorFacts = {}) {
    super("ProviderRefusedError", "provider_refused", "skippable", message, facts);
  }
}
