/** Are there as many members as the association is known to have? Warning below 95 %, failed below 50 %. */

export interface Finding {
  level: "info" | "warning" | "error";
  message: string;
}

export interface Verdict {
  verdict: "PASSED" | "PASSED_WITH_WARNINGS" | "FAILED";
  findings: Finding[];
}

const WARN_BELOW = 0.95;
const FAIL_BELOW = 0.5;

/** The verdict on a number of records; without an expectation only "none at all" is a fault. */
export function judgeExpected({ expected, records }: { expected: number | null; records: number }): Verdict {
  if (expected === null || expected <= 0) {
    if (records > 0) return { verdict: "PASSED", findings: [] };
    return { verdict: "FAILED", findings: [{ level: "error", message: "no records at all" }] };
  }
  const share = records / expected;
  const message = `${records} of about ${expected} expected members, ${Math.floor(share * 1000) / 10} %`;
  if (share < FAIL_BELOW) return { verdict: "FAILED", findings: [{ level: "error", message }] };
  if (share < WARN_BELOW) return { verdict: "PASSED_WITH_WARNINGS", findings: [{ level: "warning", message }] };
  return { verdict: "PASSED", findings: [] };
}
