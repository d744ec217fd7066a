/** A typed client of the tasks API, for pages and for servers: openapi-fetch, sending as `send.ts` says. */
import createClient from "openapi-fetch"
import type { Client, ClientPathsWithMethod, FetchOptions, FetchResponse } from "openapi-fetch"
import type { components, paths } from "./schema.js"
import { sender } from "./send.js"
import { keeper, type GetToken } from "./token.js"

export { ProblemError, unwrap, type Problem } from "./problem.js"
export { betterAuth, type BetterAuthOptions, type GetToken } from "./token.js"
export type { components, paths }

export type Task = components["schemas"]["TaskBody"]
export type NewTask = components["schemas"]["NewTask"]
export type TaskChanges = components["schemas"]["TaskChanges"]
/** Filter, order and page of a list. */
export type TaskQuery = NonNullable<paths["/api/tasks"]["get"]["parameters"]["query"]>

type Method = "get" | "post" | "put" | "patch" | "delete"
type Options<Operation> = Omit<FetchOptions<Operation>, "fetch" | "parseAs">

/** As openapi-fetch has it, but for one thing: there, fields that do not exist may be sent. */
type Call<M extends Method> = <Path extends keyof paths & ClientPathsWithMethod<Client<paths>, M>>(
  url: Path,
  ...options: {} extends Options<paths[Path][M]> ? [Options<paths[Path][M]>?] : [Options<paths[Path][M]>]
) => Promise<FetchResponse<paths[Path][M] & {}, {}, "application/json">>

export interface TasksClient extends Pick<Client<paths>, "use" | "eject"> {
  GET: Call<"get">
  POST: Call<"post">
  PUT: Call<"put">
  PATCH: Call<"patch">
  DELETE: Call<"delete">
  /** The same client with openapi-fetch's own type, for libraries that build on it, such as openapi-react-query. */
  readonly client: Client<paths>
  /** Call it when the user signs out: the next request fetches a token. */
  forgetToken(): void
}

export interface TasksClientOptions {
  /** Where the API is, like `https://api.example.com`. */
  baseUrl: string
  /** Called when there is no valid token: see `betterAuth`. */
  getToken: GetToken
}

/**
 * Every call returns `data`, or `error`, which is a Problem. It rejects where there was no response: with what `fetch`
 * or `getToken` threw, or with the reason of the `signal` that was given with the call.
 */
export function createTasksClient({ baseUrl, getToken }: TasksClientOptions): TasksClient {
  const tokens = keeper(getToken)
  const client = createClient<paths>({ baseUrl, fetch: sender(tokens) })
  return Object.assign(client as unknown as TasksClient, { client, forgetToken: () => tokens.forget() })
}

/** The cursor of the next page of a list; undefined after the last one. */
export function nextCursor(response: Response): string | undefined {
  const [, next] = /<([^>]*)>;\s*rel="next"/.exec(response.headers.get("Link") ?? "") ?? []
  return (next && new URL(next, "http://localhost").searchParams.get("cursor")) || undefined
}
