/** A typed client of the tasks API, for pages and for servers: openapi-fetch, sending as `send.ts` says. */
import createClient from "openapi-fetch"
import type { Client, ClientPathsWithMethod, FetchOptions, FetchResponse } from "openapi-fetch"
import { sender, type GetToken } from "./send.js"
// By way of ../src, so that the address is right in dist too: tsc puts no copy of a .d.ts there.
import type { components, paths } from "../src/schema.js"

export type { GetToken }
export type Task = components["schemas"]["TaskBody"]
export type Problem = components["schemas"]["Problem"]

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
}

export interface TasksClientOptions {
  /** Where the API is, like `https://api.example.com`. */
  baseUrl: string
  getToken: GetToken
}

/**
 * Every call comes back with `data` or with `error`, which is a Problem. It rejects where there was no answer: with
 * what `fetch` or `getToken` threw, or with the reason of the `signal` that was given with the call.
 */
export function createTasksClient({ baseUrl, getToken }: TasksClientOptions): TasksClient {
  return createClient<paths>({ baseUrl, fetch: sender(getToken) }) as TasksClient
}
