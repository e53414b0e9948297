/** gate/expected_members: the gate behind the extraction. */
import { z } from "zod";
import { judgeExpected } from "../../domain/expected.ts";

export const expectedMembersInput = z.looseObject({
  input: z.looseObject({ expected_members: z.number().nullable().default(null) }),
  output: z.looseObject({ records: z.number() }),
});

export const expectedMembersOutput = z.object({
  verdict: z.enum(["PASSED", "PASSED_WITH_WARNINGS", "FAILED"]),
  findings: z.array(z.object({ level: z.enum(["info", "warning", "error"]), message: z.string() })),
});

export function expectedMembers() {
  return {
    name: "gate/expected_members",
    description: "Compares the number of records with the number of members that an association is known to have",
    version: "1",
    input: expectedMembersInput,
    output: expectedMembersOutput,
    run: ({ input, output }: z.infer<typeof expectedMembersInput>) =>
      judgeExpected({ expected: input.expected_members, records: output.records }),
  };
}
