/**
 * Providers by name: where they are, which variable holds their key, what they cost and how often they may be asked.
 *
 * Keys come from the environment only. `<NAME>_BASE_URL` sends requests elsewhere: to a proxy, or to a test's own server.
 */

import { ConfigError } from "../../domain/errors.ts";

export interface ProviderSettings {
  name: ProviderName;
  baseUrl: string;
  /** Variables that hold keys, all of them needed. */
  keyEnv: readonly string[];
  /** Dollars a request. */
  cost: number;
  rate: { count: number; perSeconds: number };
  requestsPerDay: number;
  /** Dollars a month. */
  budgetPerMonth: number;
}

export const PROVIDER_NAMES = [
  "clearbit",
  "zoominfo",
  "apollo",
  "builtwith",
  "hunter",
  "job_postings",
  "google_places",
] as const;
export type ProviderName = (typeof PROVIDER_NAMES)[number];

const all: readonly ProviderSettings[] = [
  provider("clearbit", "https://company.clearbit.com", ["CLEARBIT_API_KEY"], [0.05, 10, 10_000, 400]),
  provider("zoominfo", "https://api.zoominfo.com", ["ZOOMINFO_API_KEY"], [0.1, 1.5, 5_000, 300]),
  provider("apollo", "https://api.apollo.io", ["APOLLO_API_KEY"], [0.08, 0.8, 5_000, 240]),
  provider("builtwith", "https://api.builtwith.com", ["BUILTWITH_API_KEY"], [0.02, 5, 5_000, 100]),
  provider("hunter", "https://api.hunter.io", ["HUNTER_API_KEY"], [0.01, 5, 5_000, 50]),
  provider("job_postings", "https://api.adzuna.com", ["ADZUNA_APP_ID", "ADZUNA_APP_KEY"], [0, 0.4, 250, 10]),
  provider("google_places", "https://places.googleapis.com", ["GOOGLE_PLACES_API_KEY"], [0.003, 10, 5_000, 30]),
];

function provider(
  name: ProviderName,
  baseUrl: string,
  keyEnv: readonly string[],
  [cost, perSecond, requestsPerDay, budgetPerMonth]: readonly [number, number, number, number],
): ProviderSettings {
  const rate = perSecond >= 1 ? { count: perSecond, perSeconds: 1 } : { count: 1, perSeconds: 1 / perSecond };
  return { name, baseUrl, keyEnv, cost, rate, requestsPerDay, budgetPerMonth };
}

const byName = new Map(all.map((settings) => [settings.name, settings]));

export function providerSettings(name: ProviderName): ProviderSettings {
  return byName.get(name)!;
}

export type Environment = Readonly<Record<string, string | undefined>>;

/** A provider that can be asked. */
export interface Access {
  settings: ProviderSettings;
  baseUrl: string;
  keys: string[];
}

/** Access to a provider, or why there is none, as a sentence that says what to do. */
export function accessTo(name: ProviderName, env: Environment): Access | { reason: string } {
  const settings = providerSettings(name);
  const missing = settings.keyEnv.filter((variable) => !env[variable]?.trim());
  if (missing.length > 0) return { reason: `no key: set ${missing.join(" and ")}` };
  // Files and copying leave line ends on keys.
  const keys = settings.keyEnv.map((variable) => env[variable]!.trim());
  const unfit = settings.keyEnv.filter((_, index) => !/^[\x21-\x7e]+$/.test(keys[index]!));
  if (unfit.length > 0) return { reason: `${unfit.join(" and ")} holds signs that no key has` };
  const variable = `${name.toUpperCase()}_BASE_URL`;
  const baseUrl = env[variable]?.trim() || settings.baseUrl;
  if (!/^https?:\/\/[^\s@]+$/.test(baseUrl) || URL.parse(baseUrl) === null) {
    throw new ConfigError(`${variable} is no http(s) address`, {
      hint: `Unset ${variable}, or give the whole address.`,
    });
  }
  return { settings, baseUrl, keys };
}

/** What a limiter of the engine needs to keep a provider's terms. */
export interface ProviderLimiter {
  rate: { count: number; perSeconds: number };
  quota: { day: number };
  budget: { month: number };
  breaker: { failures: number; openSeconds: number };
}

/** After so many requests that came to nothing a provider is asked again in a minute, once. */
export const BREAKER = { failures: 5, openSeconds: 60 } as const;

/** The limiters `provider-<name>`, one for each provider, with other figures where given. */
export function providerLimiters(
  changes: Partial<
    Record<ProviderName, Partial<Pick<ProviderSettings, "rate" | "requestsPerDay" | "budgetPerMonth">>>
  > = {},
): Record<string, ProviderLimiter> {
  return Object.fromEntries(
    all.map((settings) => {
      const { rate, requestsPerDay, budgetPerMonth } = { ...settings, ...changes[settings.name] };
      return [
        limiterOf(settings.name),
        {
          rate,
          quota: { day: requestsPerDay },
          budget: { month: budgetPerMonth },
          breaker: BREAKER,
        },
      ];
    }),
  );
}

export function limiterOf(name: ProviderName): string {
  return `provider-${name}`;
}
