// A client whose types are generated from the OpenAPI document. It prints what the test compares.
import type { paths } from "./api";

type Get = paths["/api/usage"]["get"];
type Usage = Get["responses"][200]["content"]["application/json"];
type UsageError = Get["responses"][400]["content"]["application/json"];
type Query = NonNullable<Get["parameters"]["query"]>;

declare const process: { argv: string[] };
const [address = "", token = ""] = process.argv.slice(2);

async function get(query: Query, bearer = token): Promise<{ status: number; body: Usage | UsageError }> {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) parameters.set(name, String(value));
  const response = await fetch(`${address}/api/usage?${parameters}`, { headers: { Authorization: `Bearer ${bearer}` } });
  return { status: response.status, body: (await response.json()) as Usage | UsageError };
}

function isUsage(body: Usage | UsageError): body is Usage {
  return body.success;
}

async function main(): Promise<void> {
  const names: (string | null | undefined)[] = [];
  let cursor: string | null | undefined;
  do {
    const { body } = await get(cursor ? { limit: 2, cursor } : { limit: 2 });
    if (!isUsage(body)) throw new Error(body.message);
    names.push(...body.projectStats.map((project) => project.name));
    cursor = body.nextCursor;
  } while (cursor);
  const { body } = await get({ groupBy: ["plan", "status"], search: "api", limit: 0 });
  const groups = isUsage(body) ? body.groups?.map((group) => [group.plan, group.projects, group.totalRequests]) : [];
  const total = isUsage(body) ? body.totalProjects : undefined;
  const invalid = await get({ limit: 5000 });
  const messages = isUsage(invalid.body) ? undefined : invalid.body.errors;
  const unauthorized = await get({}, "x");
  console.log(JSON.stringify({ names, groups, total, messages, statuses: [invalid.status, unauthorized.status] }));
}

main();
