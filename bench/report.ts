/** Figures of the benchmarks: a measured value beside its reference of the same run, and whether the target is met. */

export interface Figure {
  workload: string;
  what: string;
  value: number;
  unit: string;
  /** The physical limit or peer, measured in the same run. */
  reference?: { what: string; value: number };
  /** Value against reference, or against a plain bound. */
  target?: { text: string; met: boolean };
}

export function median(values: readonly number[]): number {
  return percentile(values, 0.5);
}

export function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

export function print(figure: Figure): void {
  const reference =
    figure.reference === undefined
      ? ""
      : `  | ${figure.reference.what}: ${show(figure.reference.value)} (ratio ${(figure.value / figure.reference.value).toFixed(2)})`;
  const target =
    figure.target === undefined ? "" : `  | ${figure.target.met ? "met" : "MISSED"}: ${figure.target.text}`;
  console.log(
    `${figure.workload.padEnd(12)} ${figure.what.padEnd(44)} ${show(figure.value).padStart(10)} ${figure.unit}${reference}${target}`,
  );
}

function show(value: number): string {
  return Math.abs(value) >= 100 ? Math.round(value).toLocaleString("en-US") : value.toFixed(2);
}
