"use client"

/** The API's typed client, with tokens from Better Auth, and TanStack Query's cache. */
import { QueryClient, QueryClientProvider } from "@tanstack/react-query"
import { createContext, useContext, useState, type ReactNode } from "react"
import { createTasksClient, type Problem, type TasksClient } from "tasks-client"
import { authClient } from "./auth-client"

const Api = createContext<TasksClient | null>(null)

export function Providers({ apiUrl, children }: { apiUrl: string; children: ReactNode }) {
  const [api] = useState(() => connect(apiUrl))
  // The typed client retries by itself.
  const [queries] = useState(() => new QueryClient({ defaultOptions: { queries: { retry: false } } }))
  return (
    <QueryClientProvider client={queries}>
      <Api value={api}>{children}</Api>
    </QueryClientProvider>
  )
}

export function useApi(): TasksClient {
  const api = useContext(Api)
  if (!api) throw new Error("useApi is called outside Providers")
  return api
}

function connect(baseUrl: string): TasksClient {
  return createTasksClient({
    baseUrl,
    async getToken() {
      const { data, error } = await authClient.token()
      if (error) throw new Error(error.status === 401 ? "Your session has ended. Sign in again." : error.message)
      return data.token
    },
  })
}

/** An error response of the API. */
export class ApiError extends Error {
  constructor(readonly problem: Problem) {
    super(problem.errors?.map(({ field, message }) => `${field} ${message}`).join(", ") ?? problem.detail)
  }
}

/** Whether a change was refused because it was made to an outdated version. */
export function isConflict(error: Error | null): boolean {
  return error instanceof ApiError && error.problem.code === "task_changed"
}

/** The data of a response. Throws ApiError if it is an error. */
export function unwrap<Data>({ data, error }: { data?: Data; error?: Problem }): Data {
  if (error) throw new ApiError(error)
  return data as Data
}
