/** Hooks for React with TanStack Query. Changes show at once and are rolled back if the API refuses them. */
import { useMutation, useQuery, useQueryClient, type UseMutationResult, type UseQueryResult } from "@tanstack/react-query"
import { createContext, createElement, useContext, type ReactElement, type ReactNode } from "react"
import { unwrap, type NewTask, type Task, type TaskChanges, type TaskQuery, type TasksClient } from "./index.js"

const LISTS = ["tasks"]
const CHANGES = ["tasks", "change"]

const Context = createContext<TasksClient | null>(null)

/** The client for the hooks below it. Goes inside TanStack Query's QueryClientProvider. */
export function TasksProvider(props: { client: TasksClient; children?: ReactNode }): ReactElement {
  return createElement(Context.Provider, { value: props.client }, props.children)
}

export function useTasksClient(): TasksClient {
  const client = useContext(Context)
  if (!client) throw new Error("useTasksClient is called outside TasksProvider")
  return client
}

/** The tasks of the user who is signed in. Errors are ProblemErrors, or those of the network. */
export function useTasks(query: TaskQuery = {}): UseQueryResult<Task[], Error> {
  const client = useTasksClient()
  return useQuery<Task[], Error>({
    queryKey: [...LISTS, query],
    queryFn: async ({ signal }) => unwrap(await client.GET("/api/tasks", { params: { query }, signal })),
    retry: false, // the client retries by itself
  })
}

/** `mutate({ title: "Buy milk" })`. The new task shows with the next list. */
export function useCreateTask(): UseMutationResult<Task, Error, NewTask> {
  const client = useTasksClient()
  return useChange(async (body: NewTask) => unwrap(await client.POST("/api/tasks", { body })), (tasks) => tasks)
}

/** `mutate({ id: 7, title: "Buy tea" })`. */
export function useUpdateTask(): UseMutationResult<Task, Error, TaskChanges & { id: number }> {
  const client = useTasksClient()
  return useChange(
    async ({ id, ...body }: TaskChanges & { id: number }) =>
      unwrap(await client.PATCH("/api/tasks/{id}", { params: { path: { id } }, body })),
    (tasks, { id, ...changes }) => tasks.map((task) => (task.id === id ? { ...task, ...changes } : task)),
  )
}

/** `mutate(task)`: completes it, or reopens it. Sends the state that is wanted, so it may be retried. */
export function useToggleTask(): UseMutationResult<Task, Error, Task> {
  const client = useTasksClient()
  return useChange(
    async ({ id, completed }: Task) =>
      unwrap(
        await client.PATCH("/api/tasks/{id}/complete", { params: { path: { id } }, body: { completed: !completed } }),
      ),
    (tasks, { id, completed }) =>
      tasks.map((task) =>
        task.id === id ? { ...task, completed: !completed, status: completed ? "incomplete" : "complete" } : task,
      ),
  )
}

/** `mutate(task)`. */
export function useDeleteTask(): UseMutationResult<void, Error, { id: number }> {
  const client = useTasksClient()
  return useChange(
    async ({ id }: { id: number }) =>
      void unwrap(await client.DELETE("/api/tasks/{id}", { params: { path: { id } } })),
    (tasks, { id }) => tasks.filter((task) => task.id !== id),
  )
}

/** `show` is what the change does to a list. */
function useChange<Variables, Result>(
  send: (variables: Variables) => Promise<Result>,
  show: (tasks: Task[], variables: Variables) => Task[],
): UseMutationResult<Result, Error, Variables> {
  const queries = useQueryClient()
  return useMutation({
    mutationKey: CHANGES,
    scope: { id: "tasks" }, // sent in the order of the clicks
    mutationFn: send,
    async onMutate(variables) {
      await queries.cancelQueries({ queryKey: LISTS }) // a list on its way would undo it
      const before = queries.getQueriesData<Task[]>({ queryKey: LISTS })
      queries.setQueriesData<Task[]>({ queryKey: LISTS }, (tasks) => tasks && show(tasks, variables))
      return before
    },
    onError(_error, _variables, before) {
      for (const [key, tasks] of before ?? []) queries.setQueryData(key, tasks)
    },
    onSettled() {
      // While another change waits for its response, the list from the API would undo that one.
      if (queries.isMutating({ mutationKey: CHANGES }) === 1) void queries.invalidateQueries({ queryKey: LISTS })
    },
  })
}
