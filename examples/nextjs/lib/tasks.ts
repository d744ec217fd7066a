"use client"

/** Hooks that read and change tasks. */
import {
  keepPreviousData,
  useInfiniteQuery,
  useMutation,
  useQuery,
  useQueryClient,
  type InfiniteData,
} from "@tanstack/react-query"
import { nextCursor, type Task } from "tasks-client"
import { unwrap, useApi } from "./api"

export type Status = "all" | "pending" | "completed"

interface Page {
  tasks: Task[]
  next?: string
}

const LISTS = ["tasks"]
const version = (id: number) => ["version", id]

/** The newest tasks first, page by page. */
export function useTasks(status: Status, search: string) {
  const api = useApi()
  return useInfiniteQuery({
    queryKey: [...LISTS, status, search],
    initialPageParam: "",
    async queryFn({ pageParam: cursor, signal }): Promise<Page> {
      const query = { status, search, order: "desc", limit: 20, cursor } as const
      const result = await api.GET("/api/tasks", { params: { query }, signal })
      return { tasks: unwrap(result), next: nextCursor(result.response) }
    },
    getNextPageParam: ({ next }) => next,
    placeholderData: keepPreviousData,
  })
}

export function useAddTask() {
  const api = useApi()
  const queries = useQueryClient()
  return useMutation({
    mutationFn: async (title: string) => unwrap(await api.POST("/api/tasks", { body: { title } })),
    onSuccess: () => queries.invalidateQueries({ queryKey: LISTS }),
  })
}

/** Shows the change at once, and takes it back if the API refuses it. */
export function useCompleteTask(id: number) {
  const api = useApi()
  const queries = useQueryClient()
  const show = (completed: boolean) =>
    queries.setQueriesData<InfiniteData<Page>>({ queryKey: LISTS }, (list) => list && withTask(list, id, { completed }))
  return useMutation({
    mutationKey: ["complete"],
    scope: { id: `complete ${id}` }, // clicks on one box are sent in their order
    mutationFn: async (completed: boolean) =>
      unwrap(await api.PATCH("/api/tasks/{id}/complete", { params: { path: { id } }, body: { completed } })),
    async onMutate(completed) {
      await queries.cancelQueries({ queryKey: LISTS }) // a list on its way would undo it
      show(completed)
    },
    onError: (_error, completed) => void show(!completed),
    onSettled() {
      // While another box waits for its response, the list from the API would undo that one.
      if (queries.isMutating({ mutationKey: ["complete"] }) === 1) void queries.invalidateQueries({ queryKey: LISTS })
    },
  })
}

function withTask(list: InfiniteData<Page>, id: number, change: Partial<Task>): InfiniteData<Page> {
  const changed = (task: Task) => (task.id === id ? { ...task, ...change } : task)
  return { ...list, pages: list.pages.map((page) => ({ ...page, tasks: page.tasks.map(changed) })) }
}

export interface Version {
  task: Task
  etag: string
}

/** The current version of a task, for a change or deletion of exactly this one. */
export function useVersion(id: number) {
  const api = useApi()
  return useQuery({
    queryKey: version(id),
    async queryFn({ signal }): Promise<Version> {
      const result = await api.GET("/api/tasks/{id}", { params: { path: { id } }, signal })
      return { task: unwrap(result), etag: result.response.headers.get("ETag") ?? "" }
    },
    staleTime: Infinity, // what the user sees must not be replaced unnoticed
    gcTime: 0,
  })
}

export function useEditTask(id: number) {
  const api = useApi()
  return useMutation({
    mutationFn: async ({ etag, ...body }: { etag: string; title: string; description: string | null }) => {
      const params = { path: { id }, header: { "If-Match": etag } }
      return unwrap(await api.PATCH("/api/tasks/{id}", { params, body }))
    },
    ...useRefetch(id),
  })
}

export function useDeleteTask(id: number) {
  const api = useApi()
  return useMutation({
    mutationFn: async (etag: string) => {
      const params = { path: { id }, header: { "If-Match": etag } }
      return unwrap(await api.DELETE("/api/tasks/{id}", { params }))
    },
    ...useRefetch(id),
  })
}

/** After a change the lists are outdated; after a failed one, the version is too: the task has changed, or is gone. */
function useRefetch(id: number) {
  const queries = useQueryClient()
  const refetchLists = () => queries.invalidateQueries({ queryKey: LISTS })
  return {
    onSuccess: refetchLists,
    onError() {
      void refetchLists()
      return queries.invalidateQueries({ queryKey: version(id) })
    },
  }
}
