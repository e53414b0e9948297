/** What the person who is logged in may do. The server decides; buttons that it would refuse are not shown. */
import { useQuery } from "@tanstack/react-query";
import { session } from "../api/queries.ts";

const ROLES = ["viewer", "operator", "admin"];

export function useMay(least: "operator" | "admin"): boolean {
  const role = useQuery(session).data?.role ?? "";
  return ROLES.indexOf(role) >= ROLES.indexOf(least);
}
